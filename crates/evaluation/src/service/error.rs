//! What an engine's error means for a job: its code, and whether another try can help.

use counterstain_api::error::ErrorCode;
use counterstain_torch::Error as TorchError;
use counterstain_worker::TaskError;

use crate::engine::Error;
use crate::engine::encoder::EncoderError;

fn code(error: &Error) -> ErrorCode {
    match error {
        Error::NotFinite { .. } => ErrorCode::NonFinite,
        Error::Torch(error) => libtorch_code(&error.to_string()),
        Error::Undefined { .. } | Error::Invalid { .. } => ErrorCode::FailedPrecondition,
        Error::Length { .. } | Error::Label { .. } => ErrorCode::Internal,
    }
}

fn libtorch_code(text: &str) -> ErrorCode {
    if text.contains("out of memory") || text.contains("can't allocate memory") {
        ErrorCode::ResourceExhausted
    } else {
        ErrorCode::Internal
    }
}

fn torch_code(error: &TorchError) -> ErrorCode {
    match error {
        TorchError::Safetensors(_) | TorchError::Tensor { .. } | TorchError::DuplicateTensor(_) => {
            ErrorCode::Corrupt
        }
        other => libtorch_code(&other.to_string()),
    }
}

impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        Self::new(code(&error), error.to_string())
    }
}

impl From<EncoderError> for TaskError {
    fn from(error: EncoderError) -> Self {
        let code = match &error {
            EncoderError::Architecture(_) | EncoderError::Normalisation(_) => ErrorCode::NewerSchema,
            EncoderError::Model(counterstain_model::Error::Torch(torch)) | EncoderError::Torch(torch) => {
                torch_code(torch)
            }
            EncoderError::Model(_) => ErrorCode::Corrupt,
            EncoderError::Tile { .. } => ErrorCode::FailedPrecondition,
        };
        Self::new(code, error.to_string())
    }
}

/// Runs `compute`; a panic in it, libtorch's errors included, becomes an error.
pub fn guarded<R>(compute: impl FnOnce() -> Result<R, TaskError>) -> Result<R, TaskError> {
    // `guard` wants an error that it can make from its own; neither type is this crate's.
    struct Failed(TaskError);
    impl From<TorchError> for Failed {
        fn from(error: TorchError) -> Self {
            Self(TaskError::new(torch_code(&error), error.to_string()))
        }
    }
    counterstain_torch::guard(|| compute().map_err(Failed)).map_err(|Failed(error)| error)
}
