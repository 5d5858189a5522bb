//! A training run under a lease: data, networks, steps, checkpoints, the encoder at the end.
//!
//! The output is a function of spec, inputs and compute profile. Order comes from (seed, epoch), an
//! augmentation from (seed, epoch, sample, view), initial weights from (seed, parameter name): there is no
//! generator state to save, and where a run was cut off and resumed changes no bit of it.

mod checkpoint;
mod data;
mod diagnostics;
mod mix;
mod networks;
mod objective;
mod plan;
mod train;

pub use train::run;
