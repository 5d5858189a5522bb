//! What can go wrong in the computation.

/// An error of training or using a generator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration or an image that does not fit; the text says what to change.
    #[error("{0}")]
    Unfit(String),
    /// A loss became NaN or infinite.
    #[error(
        "loss term {term} is {value} at step {step}: training cannot go on; \
         lower the learning rate, or use dtype f32"
    )]
    NonFiniteLoss { term: &'static str, value: f64, step: u64 },
    /// A weight or an optimiser moment became NaN or infinite while the losses were finite.
    #[error("tensor {tensor} holds a value that is not finite after step {step}; lower the learning rate")]
    NonFiniteTensor { tensor: String, step: u64 },
    /// A generator painted NaN or infinity.
    #[error("the generator painted values that are not finite: train it again with a lower learning rate")]
    NonFiniteImage,
    /// A checkpoint that this program or this run cannot go on from.
    #[error("cannot resume from the checkpoint: {0}")]
    Checkpoint(String),
    /// Weights that do not fit the network.
    #[error("weights do not fit the network: {0}")]
    Weights(String),
    /// An image could not be read or written.
    #[error("{what}: {source}")]
    Image { what: String, source: counterstain_tile::Error },
    /// libtorch.
    #[error(transparent)]
    Torch(#[from] counterstain_torch::Error),
    /// A network could not be built.
    #[error(transparent)]
    Model(#[from] counterstain_model::Error),
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
