//! Why a part was not finished.

use counterstain_api::error::{ApiError, ErrorCode};

/// Why a part was not finished.
#[derive(Clone, Debug)]
pub struct TaskError {
    /// For programs and for the decision to retry.
    pub code: ErrorCode,
    /// What was wrong, with which file, field or step, and what to do next.
    pub message: String,
    /// Whether another attempt can help.
    pub retryable: bool,
    /// The engine was told to stop: no failure of the part.
    pub(crate) stopped: bool,
}

impl TaskError {
    /// An error of this code; retryable as the code says.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.retryable(), stopped: false }
    }

    /// What [`crate::Task::check`] returns when the engine must stop.
    pub(crate) fn stopped(reason: &str) -> Self {
        Self { code: ErrorCode::Cancelled, message: reason.to_owned(), retryable: false, stopped: true }
    }

    /// Whether the engine was told to stop, rather than having failed.
    pub fn is_stop(&self) -> bool {
        self.stopped
    }
}

impl std::fmt::Display for TaskError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for TaskError {}

impl From<counterstain_artifact::Error> for TaskError {
    fn from(error: counterstain_artifact::Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<ApiError> for TaskError {
    fn from(error: ApiError) -> Self {
        Self::new(error.code, error.to_string())
    }
}
