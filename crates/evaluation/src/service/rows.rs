//! From scores to the rows and matrices of `result.json`.

use std::collections::BTreeMap;

use counterstain_api::result::{Confusion, Row};
use counterstain_artifact::Digest;

use super::encoders::{Description, RANDOM};
use crate::engine::scoring::Scores;

/// Method of the colour floor in result rows.
pub const COLOUR_STATISTICS: &str = "colour-statistics";

/// Whose figures they are.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The encoder; none for colour statistics.
    pub encoder: Option<Description>,
    /// The representations that were probed.
    pub representations: Option<Digest>,
}

/// What all rows of a job share.
#[derive(Debug, Clone)]
pub struct Context {
    /// The dataset that is scored.
    pub dataset: Digest,
    /// Name of the task.
    pub task: String,
    /// Test samples.
    pub samples: u64,
    /// Class names.
    pub classes: Vec<String>,
    /// Seed of the job, for the floors.
    pub seed: u64,
}

impl Subject {
    /// Name for logs and notes.
    pub fn title(&self) -> String {
        self.encoder.as_ref().map_or_else(|| "colour statistics".to_owned(), Description::title)
    }

    fn method(&self) -> String {
        self.encoder
            .as_ref()
            .map_or_else(|| COLOUR_STATISTICS.to_owned(), |encoder| encoder.body.method.clone())
    }

    /// The encoder, unless it is a floor.
    fn trained(&self) -> Option<&Description> {
        self.encoder.as_ref().filter(|encoder| encoder.body.method != RANDOM)
    }

    /// One row for each figure; `classifier` is `probe` or `kmeans`.
    pub fn rows(&self, context: &Context, classifier: &str, scores: &Scores) -> Vec<Row> {
        let trained = self.trained();
        let row = |metric: &str, value, interval: Option<crate::engine::bootstrap::Interval>| Row {
            loss: trained.map(|encoder| encoder.body.loss.clone()).unwrap_or_default(),
            method: self.method(),
            privileged: trained.map(|encoder| encoder.body.privileged.join("+")).unwrap_or_default(),
            generator: trained.and_then(|encoder| encoder.generator),
            encoder: trained.map(|encoder| encoder.digest),
            train_dataset: trained.and_then(|encoder| encoder.train_dataset),
            eval_dataset: context.dataset,
            task: context.task.clone(),
            metric: format!("{classifier}/{metric}"),
            value,
            ci_low: interval.map(|interval| interval.low),
            ci_high: interval.map(|interval| interval.high),
            n: context.samples,
            seed: self.encoder.as_ref().map_or(context.seed, |encoder| encoder.seed),
            artifact: self.representations,
        };
        scores.figures.iter().map(|figure| row(figure.name, figure.value, figure.interval)).collect()
    }

    /// The confusion matrix; `chosen` are choices made on the train split.
    pub fn confusion(
        &self,
        context: &Context,
        classifier: &str,
        scores: &Scores,
        chosen: BTreeMap<String, f64>,
    ) -> Confusion {
        Confusion {
            method: self.method(),
            loss: self.trained().map(|encoder| encoder.body.loss.clone()).unwrap_or_default(),
            encoder: self.trained().map(|encoder| encoder.digest),
            classifier: classifier.to_owned(),
            classes: context.classes.clone(),
            counts: scores.confusion.rows(),
            chosen,
        }
    }
}
