//! What libtorch's errors mean for a job: their code, and so whether another try can help.

use counterstain_api::error::ErrorCode;
use counterstain_torch::Error;
use counterstain_worker::TaskError;

/// The code of a libtorch error: damaged tensors, memory that ran out, or a fault.
pub fn torch_code(error: &Error) -> ErrorCode {
    if matches!(error, Error::Safetensors(_) | Error::Tensor { .. } | Error::DuplicateTensor(_)) {
        return ErrorCode::Corrupt;
    }
    libtorch_code(&error.to_string())
}

/// The code of a message of libtorch's own.
pub fn libtorch_code(text: &str) -> ErrorCode {
    if text.contains("out of memory") || text.contains("can't allocate memory") {
        ErrorCode::ResourceExhausted
    } else {
        ErrorCode::Internal
    }
}

/// Runs `compute`; a panic in it, libtorch's errors included, becomes an error.
///
/// # Errors
/// What `compute` returns, or the panic's message.
pub fn guarded<R>(compute: impl FnOnce() -> Result<R, TaskError>) -> Result<R, TaskError> {
    // `guard` wants an error that it can make from its own; neither type is this crate's.
    struct Failed(TaskError);
    impl From<Error> for Failed {
        fn from(error: Error) -> Self {
            Self(TaskError::new(torch_code(&error), error.to_string()))
        }
    }
    counterstain_torch::guard(|| compute().map_err(Failed)).map_err(|Failed(error)| error)
}
