//! The coordinator through its gRPC face, with a fake worker in the test's hands.

#![allow(clippy::unwrap_used)]

mod artifacts;
mod checkpoints;
mod kill;
mod leases;
mod pipelines;
mod reading;
mod submission;
mod support;
