//! What an engine's error means for a job: its code, and whether another try can help.

use counterstain_api::error::ErrorCode;
use counterstain_compute::{libtorch_code, torch_code};
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
