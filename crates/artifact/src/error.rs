//! What can go wrong with the store and with what is in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use counterstain_api::error::{ApiError, ErrorCode};

/// Cause of an error, from whichever store is behind it.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What can go wrong with the store and with what is in it. Every message names the object and the place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such object.
    #[error("{what} is not in {location}; check the digest, and that this is the store it was written to")]
    NotFound {
        /// The object.
        what: String,
        /// The store.
        location: String,
    },
    /// The bytes are not those that were written.
    #[error("{what} in {location} is damaged: {reason}")]
    Corrupt {
        /// The object, with the member where one is meant.
        what: String,
        /// The store.
        location: String,
        /// What does not fit.
        reason: String,
    },
    /// Written by a newer version of the program.
    #[error("{what} has schema {found}, but this program reads schema {supported} at most; update it")]
    NewerSchema {
        /// The artifact and its kind.
        what: String,
        /// Schema of the artifact.
        found: u32,
        /// Newest schema that is understood.
        supported: u32,
    },
    /// The store did not answer for as long as we were ready to wait.
    #[error(
        "{location} cannot be reached for {what}: gave up after {attempts} attempts in {elapsed:.1?}: {source}"
    )]
    Unavailable {
        /// The object.
        what: String,
        /// The store.
        location: String,
        /// How often it was tried.
        attempts: u32,
        /// For how long it was tried.
        elapsed: Duration,
        /// The last failure.
        source: Cause,
    },
    /// A disk or a quota is full.
    #[error("no space left for {what} in {location}; free some space and try again: {source}")]
    Full {
        /// The object or file.
        what: String,
        /// The store or folder.
        location: String,
        /// The failure.
        source: Cause,
    },
    /// The store answered, and refused.
    #[error("{location} refused {what}: {source}")]
    Refused {
        /// The object.
        what: String,
        /// The store.
        location: String,
        /// Its answer.
        source: Cause,
    },
    /// The location cannot be used.
    #[error("store location {location:?} {reason}")]
    Location {
        /// As it was given.
        location: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// The store cannot carry what depends on it.
    #[error("{location} cannot be used as a store: {reason}")]
    Unfit {
        /// The store.
        location: String,
        /// What it does wrong.
        reason: String,
    },
    /// What was to be written is faulty.
    #[error("{what} {reason}")]
    Invalid {
        /// The field or thing.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An artifact of another kind, schema or origin than is needed here.
    #[error("{what} {reason}")]
    Mismatch {
        /// The artifact.
        what: String,
        /// What does not fit together.
        reason: String,
    },
    /// A local file.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The failure.
        source: std::io::Error,
    },
}

impl Error {
    /// The code of the closed set that this error maps to.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Corrupt { .. } => ErrorCode::Corrupt,
            Self::NewerSchema { .. } => ErrorCode::NewerSchema,
            Self::Unavailable { .. } => ErrorCode::Unavailable,
            Self::Full { .. } => ErrorCode::ResourceExhausted,
            Self::Refused { .. } | Self::Unfit { .. } | Self::Mismatch { .. } => {
                ErrorCode::FailedPrecondition
            }
            Self::Location { .. } | Self::Invalid { .. } => ErrorCode::InvalidArgument,
            Self::Io { source, .. } if is_full(source) => ErrorCode::ResourceExhausted,
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => ErrorCode::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorCode::FailedPrecondition,
                _ => ErrorCode::Internal,
            },
        }
    }

    pub(crate) fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), reason: reason.into() }
    }

    pub(crate) fn mismatch(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Mismatch { what: what.into(), reason: reason.into() }
    }

    /// A failed file operation; a full disk is told apart.
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        if is_full(&source) {
            let location = path.parent().unwrap_or(path).display().to_string();
            return Self::Full { what: path.display().to_string(), location, source: source.into() };
        }
        Self::Io { action, path: path.to_owned(), source }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        ApiError::new(error.code(), error.to_string())
    }
}

/// Whether a file operation failed for want of space.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}
