//! Training of encoders: self-supervised on joint embeddings of several branches, and supervised.
//!
//! - [`engine`] is pure computation, losses and schedules; it knows no store and no coordinator;
//! - [`run`] is a whole training run under a lease;
//! - [`service`] is what the worker process serves.

pub mod engine;
pub mod run;
pub mod service;
