//! Figures of merit on predictions, scores and clusterings, in `f64`.
//!
//! Conventions are scikit-learn's, so that a number printed here is the number a
//! notebook would print: balanced accuracy averages over the classes that occur in
//! the truth, macro F1 over the classes that occur in the truth or among the
//! predictions, a precision without predictions is 0. What has no value (an AUC with
//! one class) is an error, never a quiet NaN.

pub mod clustering;
pub mod confusion;
pub mod image_quality;
pub mod kernel_distance;
pub mod nuclei;
pub mod nucleus_types;
pub mod probability;
pub mod ranking;
pub mod separation;

pub use confusion::ConfusionMatrix;
