//! The vocabulary that every process shares: generated protobuf code, digests, the closed set of
//! error codes, specs with their canonical form, pipeline files, and the result document.
//!
//! Everything from outside is parsed once, here, and faults are collected rather than met one by one.

mod digest;
pub mod error;
pub mod pipeline;
mod profile;
pub mod proto;
pub mod result;
pub mod spec;

pub use digest::{Digest, ParseDigestError};
pub use profile::Profile;
pub use proto::DESCRIPTOR_SET;
