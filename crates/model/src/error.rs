//! What can go wrong when a network is built or its weights are loaded.

use crate::weights::Mismatch;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network cannot have this shape.
    #[error("{network}: {field} = {value} is not possible: {rule}")]
    Config { network: &'static str, field: &'static str, value: String, rule: &'static str },
    /// An image does not fit the network.
    #[error("{network}: images of {width}x{height} px do not fit: {rule}")]
    ImageSize { network: &'static str, width: i64, height: i64, rule: String },
    /// Weights do not belong to the network they are loaded into.
    #[error("the weights do not fit the network: {0}")]
    Mismatch(Box<Mismatch>),
    /// A torch checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
    /// libtorch, or a safetensors file.
    #[error(transparent)]
    Torch(#[from] counterstain_torch::Error),
}

impl From<Mismatch> for Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(Box::new(mismatch))
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
