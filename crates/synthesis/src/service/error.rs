//! What an engine's error means for a job: its code, and whether another try can help.

use crate::engine::Error;
use counterstain_api::error::ErrorCode;
use counterstain_compute::torch_code;
use counterstain_worker::TaskError;

/// The code of an engine's error.
pub fn code(error: &Error) -> ErrorCode {
    match error {
        Error::Unfit(_) => ErrorCode::InvalidArgument,
        Error::NonFiniteLoss { .. } | Error::NonFiniteTensor { .. } | Error::NonFiniteImage => {
            ErrorCode::NonFinite
        }
        Error::Checkpoint(_) => ErrorCode::FailedPrecondition,
        Error::Weights(_) | Error::Image { .. } => ErrorCode::Corrupt,
        Error::Model(counterstain_model::Error::Torch(error)) | Error::Torch(error) => torch_code(error),
        Error::Model(_) => ErrorCode::InvalidArgument,
    }
}

impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        Self::new(code(&error), error.to_string())
    }
}
