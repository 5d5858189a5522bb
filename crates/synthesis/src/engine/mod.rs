//! The computation: no gRPC, no leases, no store. Everything here is a function of its
//! arguments, so that the same spec, inputs and profile give the same bytes.

pub mod adversarial;
pub mod cyclegan;
mod error;
pub mod fit;
pub mod generator;
pub mod images;
pub mod loss;
pub mod painter;
pub mod pix2pix;
pub mod range;
pub mod sampling;
pub mod schedule;
pub mod segmenter;
pub mod state;
pub mod watch;

pub use error::Error;
