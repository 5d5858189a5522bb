//! UMAP (McInnes, Healy & Melville 2018): the fuzzy neighbour graph, the curve of the
//! low-dimensional similarity, and a seeded layout.
//!
//! Graph and curve equal umap-learn's. The layout follows the same stochastic descent
//! but starts from principal components and draws from the project's own streams, so
//! that a picture repeats itself; its quality is what is comparable, not its
//! coordinates.

mod curve;
mod graph;
mod layout;

pub use curve::{Curve, fit_curve};
pub use graph::{FuzzyGraph, fuzzy_graph, smooth_distances};
pub use layout::{UmapConfig, embed};
