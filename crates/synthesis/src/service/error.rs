//! What an engine's error means for a job: its code, and whether another try can help.

use crate::engine::Error;
use counterstain_api::error::ErrorCode;
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

fn torch_code(error: &counterstain_torch::Error) -> ErrorCode {
    let text = error.to_string();
    if text.contains("out of memory") || text.contains("can't allocate memory") {
        ErrorCode::ResourceExhausted
    } else {
        ErrorCode::Internal
    }
}

impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        Self::new(code(&error), error.to_string())
    }
}

/// Runs `compute`; a panic in it, libtorch's errors included, becomes an error.
pub fn guarded<R>(compute: impl FnOnce() -> Result<R, TaskError>) -> Result<R, TaskError> {
    // `guard` wants an error that it can make from its own; neither type is this crate's.
    struct Failed(TaskError);
    impl From<counterstain_torch::Error> for Failed {
        fn from(error: counterstain_torch::Error) -> Self {
            Self(Error::Torch(error).into())
        }
    }
    counterstain_torch::guard(|| compute().map_err(Failed)).map_err(|Failed(error)| error)
}
