//! Trying again: which failures of a store may pass, and how long to wait for that.
//!
//! One loop for all kinds of store, so that a folder on a network disk and an S3 bucket behave alike.

use std::error::Error as StdError;
use std::future::Future;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use object_store::client::{HttpError, HttpErrorKind};

use crate::error::{Error, is_full};

/// How long to go on, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// First pause; each further one is twice as long.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// No new attempt starts later than this after the first.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    /// Rides out a store that is away for a minute.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            give_up_after: Duration::from_secs(90),
        }
    }
}

/// How an operation ended when it did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The object is not there.
    Absent(Error),
    /// The object is there already (a conditional write).
    Exists,
    /// Everything else.
    Other(Error),
}

impl Failure {
    /// The error, for operations that cannot meet an existing object.
    pub(crate) fn into_error(self, what: &str, location: &str) -> Error {
        match self {
            Self::Absent(error) | Self::Other(error) => error,
            Self::Exists => Error::Refused {
                what: what.to_owned(),
                location: location.to_owned(),
                source: "it reports a conflict with an existing object".into(),
            },
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Transient,
    Full,
    Permanent,
}

/// Runs `operation` until it succeeds, fails for good, or the policy's time is over.
pub(crate) async fn run<T, F, Running>(
    policy: &RetryPolicy,
    location: &str,
    what: &str,
    operation: F,
) -> Result<T, Failure>
where
    F: Fn() -> Running,
    Running: Future<Output = object_store::Result<T>>,
{
    let start = Instant::now();
    let mut pause = policy.first_pause;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let (what, location) = (what.to_owned(), location.to_owned());
        match error {
            object_store::Error::NotFound { .. } => {
                return Err(Failure::Absent(Error::NotFound { what, location }));
            }
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
                return Err(Failure::Exists);
            }
            _ => {}
        }
        match judge(&error) {
            Verdict::Full => {
                return Err(Failure::Other(Error::Full { what, location, source: error.into() }));
            }
            Verdict::Permanent => {
                return Err(Failure::Other(Error::Refused { what, location, source: error.into() }));
            }
            Verdict::Transient => {}
        }
        let elapsed = start.elapsed();
        if elapsed + pause > policy.give_up_after {
            let source = error.into();
            return Err(Failure::Other(Error::Unavailable { what, location, attempts, elapsed, source }));
        }
        tracing::warn!(what, location, attempts, pause = ?pause, error = %error, "store did not answer, trying again");
        tokio::time::sleep(with_jitter(pause)).await;
        pause = (pause * 2).min(policy.longest_pause);
    }
}

/// Between half and the whole of `pause`, so that many workers do not come back at the same moment.
/// Timing is no part of any result, so this need not come from the seeded streams.
fn with_jitter(pause: Duration) -> Duration {
    let random = uuid::Uuid::now_v7().as_u128() as u32;
    pause.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

fn judge(error: &object_store::Error) -> Verdict {
    use object_store::Error as Backend;
    match error {
        Backend::Generic { .. } => {}
        _ => return Verdict::Permanent,
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(link) = cause {
        if let Some(error) = link.downcast_ref::<std::io::Error>() {
            return judge_io(error);
        }
        if let Some(error) = link.downcast_ref::<HttpError>() {
            // A connection that was refused because of a wrong certificate will be refused again, but
            // cannot be told apart here from a store that is restarting.
            return if error.kind() == HttpErrorKind::Decode {
                Verdict::Permanent
            } else {
                Verdict::Transient
            };
        }
        cause = link.source();
    }
    // The type that carries an HTTP status is private to object_store; its text is what is left.
    let text = error.to_string();
    let server_side = ["status code: 5", "status code: 429", "status code: 408", "SlowDown", "InternalError"];
    if server_side.iter().any(|sign| text.contains(sign)) { Verdict::Transient } else { Verdict::Permanent }
}

fn judge_io(error: &std::io::Error) -> Verdict {
    match error.kind() {
        _ if is_full(error) => Verdict::Full,
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidData
        | ErrorKind::InvalidFilename
        | ErrorKind::UnexpectedEof
        | ErrorKind::Unsupported
        | ErrorKind::TooManyLinks => Verdict::Permanent,
        _ => Verdict::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl Into<crate::error::Cause>) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: source.into() }
    }

    #[test]
    fn causes_are_told_apart() {
        let io = |kind: ErrorKind| generic(std::io::Error::from(kind));
        assert_eq!(judge(&io(ErrorKind::TimedOut)), Verdict::Transient);
        assert_eq!(judge(&io(ErrorKind::StaleNetworkFileHandle)), Verdict::Transient);
        assert_eq!(judge(&io(ErrorKind::StorageFull)), Verdict::Full);
        assert_eq!(judge(&io(ErrorKind::ReadOnlyFilesystem)), Verdict::Permanent);
        assert_eq!(judge(&generic("non-2xx status code: 503: busy")), Verdict::Transient);
        assert_eq!(judge(&generic("non-2xx status code: 400: no")), Verdict::Permanent);
        let lost = HttpError::new(HttpErrorKind::Connect, std::io::Error::from(ErrorKind::ConnectionRefused));
        assert_eq!(judge(&generic(lost)), Verdict::Transient);
    }

    #[test]
    fn pauses_stay_between_half_and_whole() {
        for _ in 0..100 {
            let pause = with_jitter(Duration::from_millis(100));
            assert!(pause >= Duration::from_millis(50) && pause <= Duration::from_millis(100));
        }
    }
}
