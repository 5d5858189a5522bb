//! Pure computation: no gRPC, no store, no clock.
//!
//! Numbers follow scikit-learn's definitions; all randomness comes from
//! [`counterstain_tile::random::Stream`], so that the same input gives the same bits
//! within one compute profile.

pub mod assignment;
pub mod bootstrap;
pub mod encoder;
pub mod error;
pub mod kmeans;
pub mod knn;
pub mod lbfgs;
pub mod logistic;
pub mod metrics;
pub mod pca;
pub mod points;
pub mod probe;
pub mod scoring;
pub mod split;
pub mod standardise;
pub mod umap;

pub use error::{Error, Result};
