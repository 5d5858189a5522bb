//! The project's code on each file of the vectors: one module per file, or per
//! family of files of the same form.
//!
//! A module reads a [`Case`](crate::Case)'s parameters and inputs, calls the code
//! of the product crates, and hands in every output and intermediate. To add one,
//! write `cases/NAME.rs` with `pub fn run(case: &mut Case) -> anyhow::Result<()>`
//! and register it here under the file's name without extension.

use crate::runner::{Implementation, Registry};

mod classification_metrics;
mod embedding_eval;
mod helpers;
mod image_quality;
mod nuclei_metrics;
mod official_pipeline;
mod stain;
mod tf_image;
mod tiles;
mod umap_graph;

/// Every implementation, by file name without extension.
pub const REGISTRY: &Registry = &[
    ("05_classification_metrics", cases(classification_metrics::run)),
    ("05_embedding_eval", cases(embedding_eval::run)),
    ("05_image_quality", cases(image_quality::run)),
    ("05_nuclei_metrics", cases(nuclei_metrics::run)),
    ("05_umap_graph", cases(umap_graph::run)),
    ("06_official_pipeline", cases(official_pipeline::run)),
    ("06_stain", cases(stain::run)),
    ("06_tf_image", cases(tf_image::run)),
];

/// Shorthand for a registry line.
const fn cases(run: fn(&mut crate::Case) -> anyhow::Result<()>) -> Implementation {
    Implementation::Cases(run)
}
