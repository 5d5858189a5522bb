//! Why the machine refuses an event. A refused event changes nothing.

use counterstain_api::error::{ApiError, ErrorCode};

use super::{JobState, Millis};

/// Why an event was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The job has no such part.
    #[error("the job has {parts} parts; part {part} does not exist")]
    NoSuchPart {
        /// The part that was named.
        part: u32,
        /// How many there are.
        parts: usize,
    },
    /// The lease is no longer the worker's.
    #[error("the lease with fence {fence} of part {part} is over; the part's latest fence is {latest}")]
    StaleFence {
        /// The part.
        part: u32,
        /// The fence of the write.
        fence: u64,
        /// The fence of the part's latest lease.
        latest: u64,
    },
    /// The job has ended; the lease is worth nothing any more.
    #[error("the job is {}; its workers are to stop", .0.name())]
    Ended(JobState),
    /// The part was completed with another output.
    #[error("part {0} was already completed with another output")]
    OtherOutput(u32),
    /// A checkpoint must be further than the one before.
    #[error("a checkpoint at step {step} does not follow the one at step {latest}")]
    StepBack {
        /// Step of the new checkpoint.
        step: u64,
        /// Step of the latest one.
        latest: u64,
    },
    /// The part cannot be leased now.
    #[error("part {0} is not free")]
    NotFree(u32),
    /// The part pauses after a failure.
    #[error("part {part} pauses after a failure until {not_before}")]
    Pausing {
        /// The part.
        part: u32,
        /// End of the pause.
        not_before: Millis,
    },
    /// The job goes on with another compute profile.
    #[error("the job goes on with another compute profile: {0}")]
    OtherProfile(counterstain_api::Profile),
    /// The job's state does not allow it.
    #[error("the job is {}: {action}", .state.name())]
    WrongState {
        /// The job's state.
        state: JobState,
        /// What cannot be done, and what can.
        action: &'static str,
    },
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (code, help) = match &refusal {
            Refusal::NoSuchPart { .. } => (ErrorCode::NotFound, None),
            Refusal::StaleFence { .. } => {
                (ErrorCode::StaleFence, Some("drop the part and ask for a new lease"))
            }
            Refusal::Ended(JobState::Cancelled) => (ErrorCode::Cancelled, Some("release the part")),
            Refusal::Ended(_) => (ErrorCode::FailedPrecondition, Some("release the part")),
            Refusal::OtherOutput(_) => (ErrorCode::Conflict, None),
            Refusal::StepBack { .. } => (ErrorCode::InvalidArgument, None),
            Refusal::NotFree(_)
            | Refusal::Pausing { .. }
            | Refusal::OtherProfile(_)
            | Refusal::WrongState { .. } => (ErrorCode::FailedPrecondition, None),
        };
        let error = ApiError::new(code, refusal.to_string());
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }
}
