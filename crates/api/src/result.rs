//! The result document, `result.json`: what a pipeline is worth, with no times in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Schema version of the document.
pub const SCHEMA: u32 = 1;

/// `result.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultDocument {
    /// Schema version, [`SCHEMA`].
    pub schema: u32,
    /// Name of the pipeline, or empty in an artifact (an artifact knows no pipeline).
    pub pipeline: String,
    /// One row per encoder (or floor), task and metric.
    pub rows: Vec<Row>,
    /// One matrix per encoder (or floor) and classifier.
    #[serde(default)]
    pub confusions: Vec<Confusion>,
    /// What a reader must know to judge the rows (choices made, on which data).
    #[serde(default)]
    pub notes: Vec<String>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// `vicreg`, `infonce`, `cross-entropy`; empty for floors.
    pub loss: String,
    /// `trident`, `siamese`, `unprivileged`, `supervised`; `random` and `colour-statistics` are the floors.
    pub method: String,
    /// Names of the privileged layers, joined by `+`; empty for none.
    pub privileged: String,
    /// Digest of the generator that painted the privileged layer.
    pub generator: Option<Digest>,
    /// Digest of the encoder; none for floors.
    pub encoder: Option<Digest>,
    /// Digest of the dataset that the encoder learnt from.
    pub train_dataset: Option<Digest>,
    /// Digest of the dataset that was scored.
    pub eval_dataset: Digest,
    /// Name of the task.
    pub task: String,
    /// `probe/accuracy`, `probe/balanced_accuracy`, `probe/f1`, `probe/auc`, `kmeans/accuracy` ...
    pub metric: String,
    /// Point estimate on the test split.
    pub value: f64,
    /// Lower end of the 95 % bootstrap interval.
    pub ci_low: Option<f64>,
    /// Upper end of the 95 % bootstrap interval.
    pub ci_high: Option<f64>,
    /// Test samples.
    pub n: u64,
    /// Seed of the encoder's training (of its initialisation, for the random floor).
    pub seed: u64,
    /// Digest of the representations that were probed; none for colour statistics.
    pub artifact: Option<Digest>,
}

/// A confusion matrix on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// As in [`Row::method`].
    pub method: String,
    /// As in [`Row::loss`].
    pub loss: String,
    /// As in [`Row::encoder`].
    pub encoder: Option<Digest>,
    /// `probe` or `kmeans`.
    pub classifier: String,
    /// Class names, in the order of rows and columns.
    pub classes: Vec<String>,
    /// `counts[truth][prediction]`.
    pub counts: Vec<Vec<u64>>,
    /// Choices made on the train split (such as the chosen regularisation).
    #[serde(default)]
    pub chosen: BTreeMap<String, f64>,
}

/// Name of the object beside `result.json` that holds the scores of single samples.
pub const SAMPLE_SCORES: &str = "samples.json";

/// Scores of single samples, of results that judge painted layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleScores {
    /// Schema version, [`SCHEMA`].
    pub schema: u32,
    /// By layer, in the order of the dataset.
    pub samples: Vec<SampleScore>,
}

/// Scores of one sample of a painted layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleScore {
    /// Digest of the layer.
    pub layer: Digest,
    /// Position in the dataset.
    pub sample: u64,
    /// Its key.
    pub key: String,
    /// Value of each metric that has one for single samples.
    pub scores: BTreeMap<String, f64>,
}
