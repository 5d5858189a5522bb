//! What an encoder is worth: representations of a dataset, probes on them, and results
//! with intervals and floors.
//!
//! - [`engine`] is pure computation and knows neither store nor gRPC;
//! - [`service`] does jobs under leases and answers online calls;
//! - [`weights`] makes encoders of published weights.

pub mod engine;
pub mod service;
pub mod weights;
