//! The report: one self-contained HTML file, rendered from the result document, the database's times and
//! metrics, and a few tiles of the store.
//!
//! Invariants: nothing is loaded from elsewhere (fonts, scripts, pictures); floors are marked as floors; no
//! row is singled out as best unless its interval lies clear of all others'.

mod chart;
mod figures;
mod gallery;
mod page;
mod style;
mod tables;
mod verdict;
mod words;

use counterstain_api::Profile;
use counterstain_api::result::ResultDocument;
use serde_json::Value;

pub use gallery::{GalleryRow, Picture};
pub use page::render;
pub use tables::{blocks, metrics, subject_heading, subjects};
pub use words::{
    Floor, classifier_label, classifier_of, figure, floor_of, is_same_subject, judges_generators,
    lower_is_better, measure_label, method_label, metric_label, row_label,
};

/// Everything that a report shows.
#[derive(Clone, Debug, Default)]
pub struct ReportData {
    /// The results, pipeline named.
    pub document: ResultDocument,
    /// The jobs in topological order.
    pub jobs: Vec<JobReport>,
    /// What the results were made from, each artifact once.
    pub lineage: Vec<LineageEntry>,
    /// Pictures, by what they show.
    pub galleries: Vec<Gallery>,
    /// Compute profiles of the artifacts, each once.
    pub profiles: Vec<Profile>,
}

/// A job and how it went.
#[derive(Clone, Debug, Default)]
pub struct JobReport {
    /// Name in the pipeline.
    pub name: String,
    /// `train_encoder` ...
    pub kind: String,
    /// `succeeded` ...
    pub state: String,
    /// Resolved spec.
    pub spec: Value,
    /// Digest of the output.
    pub output: String,
    /// The output was known before.
    pub reused: bool,
    /// Start in UTC, for people.
    pub started: String,
    /// Seconds from first lease to end.
    pub seconds: Option<f64>,
    /// Failed attempts.
    pub failed_attempts: u32,
    /// Lost leases.
    pub lost_leases: u32,
    /// Kept metrics by name, in step order.
    pub metrics: Vec<Series>,
}

/// A metric over steps.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Name of the metric.
    pub name: String,
    /// Step and value.
    pub points: Vec<(u64, f64)>,
}

/// An artifact of the lineage.
#[derive(Clone, Debug, Default)]
pub struct LineageEntry {
    /// `sha256:...`
    pub digest: String,
    /// `encoder` ...
    pub kind: String,
    /// A few words.
    pub summary: String,
    /// Part played and digest of what it was made from.
    pub inputs: Vec<(String, String)>,
}

/// A gallery: rows of pictures under common headings.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    /// What it shows.
    pub title: String,
    /// One more sentence.
    pub caption: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// What the colours of painted label maps stand for.
    pub colours: Vec<(String, [u8; 3])>,
    /// Rows.
    pub rows: Vec<GalleryRow>,
}

#[cfg(test)]
mod tests;
