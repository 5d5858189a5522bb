//! Everything immutable: content-addressed objects, the manifests that make artifacts of them,
//! WebDataset shards with their index, layers, and the reading of samples through a local cache.
//!
//! Invariants:
//! - an object's name is the SHA-256 of its bytes, an artifact's name is the SHA-256 of its manifest;
//! - what a write acknowledged is durable, and a write that was cut off leaves nothing that can be read;
//! - what a read returns was verified against a digest in that very read. A flipped bit or a truncated
//!   shard is an error that names the object, never a wrong tile;
//! - the same samples in the same order give the same bytes, and so the same names.
//!
//! No part of this crate decodes images or links libtorch. `docs/formats.md` describes the formats.

mod artifact;
mod body;
pub mod dataset;
mod error;
pub mod faults;
mod location;
mod manifest;
mod retry;
pub mod shard;
mod store;

pub use artifact::{ManifestParts, get_named, put_artifact};
pub use body::{
    CheckpointBody, DatasetBody, EncoderBody, GeneratorBody, GeneratorNetwork, LayerBody, LayerInfo,
    LayerKind, LayerPartBody, RepresentationsBody, ResultBody, ShardInfo, Skipped, layer_from_parts,
};
pub use counterstain_api::{Digest, Profile};
pub use error::Error;
pub use manifest::{ArtifactKind, Manifest, NamedInput, NamedObject, SCHEMA};
pub use retry::RetryPolicy;
pub use store::{CheckpointPlace, ObjectRef, PlacedCheckpoint, Store};

/// Name of the weights object in generators and encoders.
pub const WEIGHTS: &str = "weights.safetensors";
/// Name of the object that holds the weights of a cycleGAN's other direction.
pub const REVERSE_WEIGHTS: &str = "reverse.safetensors";
/// Name of the tensor file in representations.
pub const REPRESENTATIONS: &str = "representations.safetensors";
/// Name of the document in results.
pub const RESULT: &str = "result.json";
