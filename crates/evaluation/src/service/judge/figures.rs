//! From figures of samples to rows with intervals.

use counterstain_api::result::{ResultDocument, Row};
use counterstain_artifact::Digest;
use counterstain_worker::TaskError;

use super::candidate::Candidate;
use super::{Judge, Scores};
use crate::engine::bootstrap::{Interval, Resampler};

/// Level of all intervals.
const LEVEL: f64 = 0.95;
/// Method of the floor in result rows: the primary image as if it had been painted.
const PRIMARY: &str = "primary";

/// Collects the rows of one candidate, or of the floor.
pub struct Figures<'a> {
    judge: &'a Judge<'a>,
    candidate: Option<&'a Candidate>,
    position: usize,
    rows: Vec<Row>,
    samples: Vec<(String, Vec<Option<f64>>)>,
}

impl<'a> Figures<'a> {
    /// None yet.
    pub fn new(judge: &'a Judge<'a>, candidate: Option<&'a Candidate>) -> Self {
        let same = |other: &Candidate| candidate.is_some_and(|one| std::ptr::eq(one, other));
        let position = judge.candidates.iter().position(same).unwrap_or(judge.candidates.len());
        Self { judge, candidate, position, rows: Vec::new(), samples: Vec::new() }
    }

    /// The mean of a figure over the samples that have one.
    pub fn mean(&mut self, metric: &str, of_samples: Vec<Option<f64>>) -> Result<(), TaskError> {
        let weighted = |times: &dyn Fn(usize) -> f64| {
            let mut sums = (0.0, 0.0);
            for (sample, value) in of_samples.iter().enumerate() {
                if let Some(value) = value {
                    sums = (sums.0 + times(sample) * value, sums.1 + times(sample));
                }
            }
            (sums.1 > 0.0).then(|| sums.0 / sums.1)
        };
        self.pooled(metric, of_samples.iter().flatten().count(), weighted)?;
        self.samples.push((metric.to_owned(), of_samples));
        Ok(())
    }

    /// A figure that is computed of all samples together; `figure` gets each sample's weight.
    pub fn pooled(
        &mut self,
        metric: &str,
        count: usize,
        figure: impl Fn(&dyn Fn(usize) -> f64) -> Option<f64>,
    ) -> Result<(), TaskError> {
        let Some(value) = figure(&|_| 1.0) else { return Ok(()) };
        let spec = self.judge.spec;
        let mut interval = None;
        if spec.bootstrap() > 0 {
            let groups = self.judge.groups.as_deref();
            let resampler = Resampler::new(self.judge.samples.len(), groups, spec.seed())?;
            // Undefined on most resamples: the row stands without an interval.
            interval = resampler
                .interval(spec.bootstrap(), LEVEL, |times| figure(&|sample| f64::from(times[sample])))
                .ok();
        }
        self.row(metric, value, interval, count, None);
        Ok(())
    }

    /// A row without resampling.
    pub fn row(
        &mut self,
        metric: &str,
        value: f64,
        interval: Option<Interval>,
        count: usize,
        encoder: Option<Digest>,
    ) {
        let candidate = self.candidate;
        let layer = &self.judge.spec.reference;
        self.rows.push(Row {
            loss: String::new(),
            method: candidate.map_or(PRIMARY, |candidate| &candidate.body.method).to_owned(),
            privileged: candidate.map_or(layer, |candidate| &candidate.layer.body.layer.name).clone(),
            generator: candidate.map(|candidate| candidate.generator),
            encoder,
            train_dataset: candidate.and_then(|candidate| candidate.train_dataset),
            eval_dataset: self.judge.dataset.digest,
            task: self.judge.spec.task().to_owned(),
            metric: metric.to_owned(),
            value,
            ci_low: interval.map(|interval| interval.low),
            ci_high: interval.map(|interval| interval.high),
            n: count as u64,
            seed: candidate.map_or(self.judge.spec.seed(), |candidate| candidate.seed),
            artifact: candidate.map(|candidate| candidate.layer.digest),
        });
    }

    /// Reports the rows and appends them to the result.
    pub fn finish(self, document: &mut ResultDocument, scores: &mut Scores) {
        let task = self.judge.task;
        let title = self.candidate.map_or_else(|| PRIMARY.to_owned(), Candidate::title);
        let text: Vec<String> = self
            .rows
            .iter()
            .map(|row| match (row.ci_low, row.ci_high) {
                (Some(low), Some(high)) => format!("{} {:.4} [{low:.4}, {high:.4}]", row.metric, row.value),
                _ => format!("{} {:.4}", row.metric, row.value),
            })
            .collect();
        if !text.is_empty() {
            task.info(&format!("{title}: {}", text.join(", ")));
        }
        for row in &self.rows {
            task.metric(self.position as u64, &row.metric, row.value);
        }
        if self.candidate.is_some() {
            for (metric, values) in self.samples {
                for (&sample, value) in self.judge.samples.iter().zip(values) {
                    let Some(value) = value else { continue };
                    scores.entry((self.position, sample)).or_default().insert(metric.clone(), value);
                }
            }
        }
        document.rows.extend(self.rows);
    }
}
