//! `evaluate`: probes and k-means on the representations of every encoder, and on the
//! floors beside them.
//!
//! Representations are checkpointed; probes are not, since they are a deterministic
//! function of the representations and take little of the time.

use std::collections::BTreeMap;

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::evaluation::v1::{EmbedSpec, EvaluateSpec};
use counterstain_api::result::{self, ResultDocument};
use counterstain_api::spec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::{ArtifactKind, Digest, ManifestParts, RESULT, ResultBody, put_artifact};
use counterstain_tile::statistics::{COUNT, colour_statistics};
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;
use tch::{Device, Tensor};

use super::embed::{self, Sets};
use super::encoders::{self, Description, RANDOM};
use super::rows::{Context, Subject};
use super::samples::{self, LabelledSplit};
use crate::engine::kmeans::{KMeansConfig, Naming};
use crate::engine::points;
use crate::engine::probe::{ProbeConfig, Split, k_means_probe, linear_probe};
use crate::engine::scoring::{Scores, ScoringConfig, score};
use crate::engine::split::validation_parts;

/// Level of all intervals.
const LEVEL: f64 = 0.95;
/// Tiles whose colour statistics are computed between two looks at the lease.
const STATISTICS_BLOCK: usize = 256;

/// Does an `evaluate` job; gives the digest of the `result` artifact.
pub fn run(task: &Task, spec: &EvaluateSpec, device: Device) -> Result<Digest, TaskError> {
    let dataset = counterstain_compute::digest(&spec.dataset, "dataset")?;
    let dataset = task.block_on(Dataset::open(task.store(), &dataset))?;
    let train = LabelledSplit::new(&dataset, spec.train_split())?;
    let test = LabelledSplit::new(&dataset, spec.test_split())?;
    samples::check_classes(&dataset, &train, &test)?;
    let mut encoders = Vec::new();
    for (position, text) in spec.encoders.iter().enumerate() {
        let digest = counterstain_compute::digest(text, &format!("encoders[{position}]"))?;
        let description = task.block_on(encoders::describe(task.store(), &digest))?;
        if encoders.iter().all(|known: &Description| known.digest != digest) {
            encoders.push(description);
        }
    }
    encoders.extend(encoders::random_ones(task, &encoders, spec.seed())?);

    let template = EmbedSpec {
        encoder: String::new(),
        dataset: spec.dataset.clone(),
        batch_size: Some(spec.batch_size()),
        dtype: Some(spec.dtype().into()),
    };
    let mut sets = Sets::open(task, &dataset, device, &template)?;
    let mut subjects = Vec::new();
    for (position, encoder) in encoders.into_iter().enumerate() {
        let representations = sets.find_or_compute(&encoder, position)?;
        subjects.push(Subject { encoder: Some(encoder), representations: Some(representations) });
    }
    subjects.push(Subject { encoder: None, representations: None });

    let evaluation = Evaluation { task, spec, dataset: &dataset, train: &train, test: &test };
    let document = evaluation.document(&subjects)?;
    write(task, &dataset, &subjects, &document)
}

struct Evaluation<'a> {
    task: &'a Task,
    spec: &'a EvaluateSpec,
    dataset: &'a Dataset,
    train: &'a LabelledSplit,
    test: &'a LabelledSplit,
}

impl Evaluation<'_> {
    fn document(&self, subjects: &[Subject]) -> Result<ResultDocument, TaskError> {
        let context = Context {
            dataset: self.dataset.digest,
            task: self.spec.task().to_owned(),
            samples: self.test.samples.len() as u64,
            classes: self.dataset.body.classes.clone(),
            seed: self.spec.seed(),
        };
        let mut document =
            ResultDocument { schema: result::SCHEMA, notes: self.notes()?, ..ResultDocument::default() };
        document.notes.extend(several_random_floors(subjects));
        for (position, subject) in subjects.iter().enumerate() {
            self.task.check()?;
            self.task.progress("probes", position as u64, subjects.len() as u64, "sets");
            let (train, test) = self.features(subject)?;
            for (classifier, scores, chosen) in [self.probe(&train, &test)?, self.k_means(&train, &test)?] {
                let rows = subject.rows(&context, classifier, &scores);
                self.report(subject, position, &rows);
                document.rows.extend(rows);
                document.confusions.push(subject.confusion(&context, classifier, &scores, chosen));
            }
        }
        self.task.progress("probes", subjects.len() as u64, subjects.len() as u64, "sets");
        Ok(document)
    }

    fn report(&self, subject: &Subject, position: usize, rows: &[result::Row]) {
        let figures: Vec<String> = rows
            .iter()
            .map(|row| match (row.ci_low, row.ci_high) {
                (Some(low), Some(high)) => format!("{} {:.4} [{low:.4}, {high:.4}]", row.metric, row.value),
                _ => format!("{} {:.4}", row.metric, row.value),
            })
            .collect();
        self.task.info(&format!("{}: {}", subject.title(), figures.join(", ")));
        for row in rows {
            self.task.metric(position as u64, &row.metric, row.value);
        }
    }

    /// Rows of both splits, `[N, width]`.
    fn features(&self, subject: &Subject) -> Result<(Tensor, Tensor), TaskError> {
        match &subject.representations {
            Some(digest) => {
                let all = embed::load(self.task, self.dataset, digest)?;
                Ok((points::select(&all, &self.train.samples)?, points::select(&all, &self.test.samples)?))
            }
            None => Ok((self.statistics(&self.train.samples)?, self.statistics(&self.test.samples)?)),
        }
    }

    fn statistics(&self, samples: &[usize]) -> Result<Tensor, TaskError> {
        let mut rows = Vec::with_capacity(samples.len() * COUNT);
        for block in samples.chunks(STATISTICS_BLOCK) {
            self.task.check()?;
            let computed: Vec<Vec<f32>> = block
                .par_iter()
                .map(|&sample| {
                    let tile = samples::tile(self.task.reader(), self.dataset, sample)?;
                    colour_statistics(&tile).map_err(|error| {
                        let key = &self.dataset.samples[sample].key;
                        TaskError::new(
                            ErrorCode::Corrupt,
                            format!("colour statistics of sample {key}: {error}"),
                        )
                    })
                })
                .collect::<Result<_, TaskError>>()?;
            rows.extend(computed.into_iter().flatten().map(f64::from));
            self.task.progress(
                "colour statistics",
                (rows.len() / COUNT) as u64,
                samples.len() as u64,
                "tiles",
            );
        }
        Ok(points::from_rows(&rows, samples.len(), COUNT)?)
    }

    fn probe(&self, train: &Tensor, test: &Tensor) -> Result<Outcome, TaskError> {
        let config = ProbeConfig {
            validation_fraction: self.spec.validation_share(),
            seed: self.spec.seed(),
            ..ProbeConfig::default()
        };
        let (probe, predictions) = linear_probe(&self.train_split(train), test, self.classes(), &config)?;
        if !probe.classifier.converged {
            let text = format!(
                "the probe stopped after {} iterations before it converged",
                probe.classifier.iterations
            );
            self.task.warn(&text);
        }
        let scores = self.score(&predictions)?;
        let chosen = BTreeMap::from([
            ("c".to_owned(), probe.c),
            ("validation_samples".to_owned(), probe.parts.validation.len() as f64),
            ("validation_by_group".to_owned(), f64::from(u8::from(probe.parts.by_group))),
        ]);
        Ok(("probe", scores, chosen))
    }

    fn k_means(&self, train: &Tensor, test: &Tensor) -> Result<Outcome, TaskError> {
        let clusters = match self.spec.clusters() {
            0 => self.classes(),
            clusters => clusters as usize,
        };
        let config = KMeansConfig::new(clusters, self.spec.seed());
        let naming = Naming::Majority;
        let (_, predictions) =
            k_means_probe(&self.train_split(train), test, self.classes(), &config, naming)?;
        let chosen = BTreeMap::from([("clusters".to_owned(), clusters as f64)]);
        Ok(("kmeans", self.score(&predictions)?, chosen))
    }

    fn score(&self, predictions: &crate::engine::probe::Predictions) -> Result<Scores, TaskError> {
        let config = ScoringConfig { resamples: self.spec.bootstrap(), level: LEVEL, seed: self.spec.seed() };
        let groups = self.test.groups.as_deref();
        Ok(score(&self.test.labels, predictions, groups, self.classes(), &config)?)
    }

    fn train_split<'b>(&'b self, points: &'b Tensor) -> Split<'b> {
        Split { points, labels: &self.train.labels, groups: self.train.groups.as_deref() }
    }

    fn classes(&self) -> usize {
        self.dataset.body.classes.len()
    }

    /// What a reader must know to judge the rows.
    fn notes(&self) -> Result<Vec<String>, TaskError> {
        let mut notes = vec![format!(
            "Probe and k-means learn from split {}; split {} is scored once.",
            self.train.describe(),
            self.test.describe()
        )];
        let share = self.spec.validation_share();
        let groups = self.train.groups.as_deref();
        let parts = validation_parts(&self.train.labels, groups, share, self.spec.seed())?;
        let by = match (parts.by_group, groups) {
            (true, _) => "whole groups",
            (false, Some(_)) => "samples, since the groups cannot be divided so that every class stays",
            (false, None) => "samples, stratified by class",
        };
        notes.push(format!(
            "The probe's regularisation is chosen on {:.0} % of the train split, drawn by {by}; clusters are named by the majority of their train samples.",
            share * 100.0
        ));
        notes.push(match (self.spec.bootstrap(), self.test.group_count()) {
            (0, _) => "No intervals were asked for.".to_owned(),
            (rounds, Some(groups)) => {
                format!("Intervals: 95 % percentile bootstrap, {rounds} resamples of the {groups} groups of the test split.")
            }
            (rounds, None) => format!(
                "Intervals: 95 % percentile bootstrap, {rounds} resamples of samples: no groups are known, so they are too narrow if tiles come from few patients."
            ),
        });
        if self.test.group_count().is_some_and(|groups| groups < 10) {
            notes.push("The test split has fewer than ten groups: its intervals say little.".to_owned());
        }
        let left_out = self.train.unlabelled + self.test.unlabelled;
        if left_out > 0 {
            notes.push(format!("{left_out} samples without label are left out."));
        }
        notes.push(
            "Floors: `random` is an untrained encoder of the same architecture, `colour-statistics` are 33 figures of colour and gradient. A difference smaller than that to a floor is no finding."
                .to_owned(),
        );
        Ok(notes)
    }
}

/// Result rows do not state an architecture; with several, their order tells them apart.
fn several_random_floors(subjects: &[Subject]) -> Option<String> {
    let encoders = subjects.iter().filter_map(|subject| subject.encoder.as_ref());
    let random: Vec<String> = encoders
        .filter(|encoder| encoder.body.method == RANDOM)
        .map(|encoder| format!("{} at {} px", encoder.body.architecture, encoder.body.image_size))
        .collect();
    (random.len() > 1).then(|| format!("The `random` rows are, in this order: {}.", random.join(", ")))
}

type Outcome = (&'static str, Scores, BTreeMap<String, f64>);

fn write(
    task: &Task,
    dataset: &Dataset,
    subjects: &[Subject],
    document: &ResultDocument,
) -> Result<Digest, TaskError> {
    let body = ResultBody { rows: document.rows.len() as u64 };
    let mut parts = ManifestParts::new(ArtifactKind::Result, &body).input("dataset", dataset.digest);
    for (position, subject) in subjects.iter().enumerate() {
        if let (Some(encoder), Some(representations)) = (&subject.encoder, &subject.representations) {
            parts = parts
                .input(format!("encoder/{position}"), encoder.digest)
                .input(format!("representations/{position}"), *representations);
        }
    }
    let parts = parts.job(spec::canonical_json(task.spec()), task.profile().clone());
    let bytes = Bytes::from(spec::canonical_bytes(document));
    Ok(task.block_on(put_artifact(task.store(), parts, vec![(RESULT.to_owned(), bytes)]))?)
}
