//! What can go wrong in this crate.

/// An error of libtorch, or of asking it for something it cannot do here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch refused an operation; the text is its own message without the backtrace.
    #[error("libtorch: {0}")]
    Libtorch(String),
    /// Code under [`crate::guard()`] panicked for a reason other than libtorch.
    #[error("computation stopped at {location}: {message}")]
    Panicked { message: String, location: String },
    /// The text is no device name.
    #[error("unknown device `{0}`: use auto, cpu, cuda or cuda:N")]
    UnknownDevice(String),
    /// CUDA was asked for and cannot be had.
    #[error("{asked} was asked for, but {found}; use --device cpu or --device auto")]
    NoCuda { asked: String, found: String },
    /// A device beyond the last one was asked for.
    #[error("cuda:{asked} was asked for, but this machine has {count} CUDA device(s), numbered from 0")]
    NoSuchCudaDevice { asked: usize, count: usize },
    /// A setting came too late or is out of range.
    #[error("cannot set {setting}: {reason}")]
    Setting { setting: &'static str, reason: String },
    /// Two tensors have the same name.
    #[error("tensor `{0}` is given twice")]
    DuplicateTensor(String),
    /// A tensor cannot be stored in, or read from, a safetensors file.
    #[error("tensor `{name}`: {reason}")]
    Tensor { name: String, reason: String },
    /// The bytes are no safetensors file.
    #[error("not a valid safetensors file: {0}")]
    Safetensors(String),
    /// A state (of an optimiser, say) does not fit what it is loaded into.
    #[error("saved state does not fit: {0}")]
    State(String),
}

impl From<cxx::Exception> for Error {
    fn from(exception: cxx::Exception) -> Self {
        Self::Libtorch(exception.what().to_owned())
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        match error {
            tch::TchError::Torch(message) => Self::Libtorch(without_backtrace(&message).to_owned()),
            other => Self::Libtorch(other.to_string()),
        }
    }
}

/// The message of a c10 error without the C++ frames that follow it.
pub(crate) fn without_backtrace(message: &str) -> &str {
    let end = ["\nException raised from ", "\nframe #0"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .unwrap_or(message.len());
    message[..end].trim_end()
}
