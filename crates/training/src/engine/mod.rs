//! The computation of a training run.

pub mod loss;
pub mod schedule;
pub mod step;
