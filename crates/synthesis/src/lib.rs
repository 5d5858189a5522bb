//! Synthesis: trains generators of privileged images, paints layers with them, and
//! paints single tiles online.
//!
//! [`engine`] computes and knows no gRPC; [`service`] adapts it to leases and calls; [`weights`] imports published
//! checkpoints.

pub mod engine;
pub mod service;
pub mod weights;
