//! Why a checkpoint file cannot be read.

/// An error of reading a torch checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file is in none of the known formats.
    #[error("this is no torch checkpoint: {0}")]
    UnknownFormat(&'static str),
    /// The file ends early.
    #[error("the checkpoint is cut short in {0}")]
    Truncated(String),
    /// The pickle names a Python object outside the closed list.
    #[error("the checkpoint names the Python object `{0}`, which weights never need; it is refused")]
    Forbidden(String),
    /// The pickle uses an instruction that weights never need.
    #[error("the checkpoint's pickle has instruction {opcode:#04x} at byte {position}, which is refused")]
    Opcode { opcode: u8, position: usize },
    /// The parts of the file contradict one another.
    #[error("the checkpoint is not valid: {0}")]
    Malformed(String),
    /// Something is larger than allowed.
    #[error("the checkpoint's {what} takes {size} bytes, more than the {limit} allowed")]
    TooLarge { what: &'static str, size: u64, limit: u64 },
    /// The weights are not where they were looked for.
    #[error("no weights at `{path}`; there is {found}")]
    NoWeights { path: String, found: String },
    /// libtorch refused a tensor.
    #[error(transparent)]
    Torch(#[from] counterstain_torch::Error),
}

impl From<tch::TchError> for CheckpointError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

pub(super) fn malformed(what: impl Into<String>) -> CheckpointError {
    CheckpointError::Malformed(what.into())
}
