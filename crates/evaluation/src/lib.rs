//! What an encoder is worth: representations of a dataset, probes on them, and results
//! with intervals and floors.
//!
//! [`engine`] is pure computation on tensors and knows no gRPC.

pub mod engine;
