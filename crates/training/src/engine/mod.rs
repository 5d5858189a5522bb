//! The computation of a training run.

pub mod loss;
pub mod step;
