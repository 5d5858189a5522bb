//! What can happen to a job, and what has to be done outside after it did.

use counterstain_api::{Digest, Profile};

use super::{Checkpoint, Failure, JobId, WorkerId};

/// What a worker's write says about its right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The worker that writes.
    pub worker: WorkerId,
    /// Index of the part.
    pub part: u32,
    /// Fence of its lease.
    pub fence: u64,
}

/// What can happen to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A job that it needs has its output.
    DependencySucceeded(JobId),
    /// A job that it needs failed, was cancelled or is blocked.
    DependencyEnded {
        /// The job that ended.
        job: JobId,
        /// What it is called and what became of it.
        why: String,
    },
    /// A job that it needs was retried, or is no longer blocked.
    DependencyRevived(JobId),
    /// It was divided into this many parts (at least one).
    Divided(u32),
    /// It cannot be divided, or its output cannot be assembled.
    Impossible(Failure),
    /// A worker wants a part.
    Lease {
        /// Index of the part.
        part: u32,
        /// The worker.
        worker: WorkerId,
        /// The worker's compute profile.
        profile: Profile,
    },
    /// An artifact with the job's key exists.
    Reuse(Digest),
    /// The holder is alive.
    Heartbeat(Claim),
    /// The holder stored a checkpoint.
    CommitCheckpoint(Claim, Checkpoint),
    /// The holder stored the part's output.
    Complete(Claim, Digest),
    /// The holder's attempt ended with an error.
    Fail {
        /// The holder.
        claim: Claim,
        /// What happened.
        failure: Failure,
        /// Whether another attempt can help.
        retryable: bool,
    },
    /// The holder gives the part back unfinished.
    Release(Claim),
    /// The holder asked for other work, so it does not know of its lease.
    Abandon(Claim),
    /// Time has passed: leases that are over are lost.
    Expire,
    /// The output was assembled from the parts.
    Assembled(Digest),
    /// An operator ends the job.
    Cancel {
        /// What the operator said.
        reason: String,
    },
    /// An operator gives the job a new start.
    Retry {
        /// Forget checkpoints and finished parts.
        fresh: bool,
    },
    /// The coordinator started: holders of leases could not renew them while it was away.
    Restart,
}

/// What has to be done outside after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Divide the job into parts.
    Divide,
    /// Tell waiting workers that a part may be free.
    WorkAvailable,
    /// Assemble the job's output from its parts, in order.
    Assemble,
    /// Tell dependants that it succeeded.
    TellSucceeded(Digest),
    /// Tell dependants that it ended without success.
    TellEnded {
        /// What became of it.
        why: String,
    },
    /// Tell dependants that it may succeed after all.
    TellRevived,
    /// Write a line to the job's log.
    Note {
        /// How much it matters.
        level: Level,
        /// The part it is about, if one.
        part: Option<u32>,
        /// What happened.
        message: String,
    },
}

/// Levels of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something ended without success.
    Error,
    /// Something went wrong and goes on.
    Warn,
    /// All is well.
    Info,
}

impl Level {
    /// Its name in the database and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }

    /// The level of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info].into_iter().find(|level| level.name() == name)
    }
}
