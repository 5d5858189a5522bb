//! The job state machine: what happens to a job, as a pure function of job, event and time.
//!
//! [`step`] does no I/O and reads no clock, so every storage backend runs the same rules inside one of
//! its transactions, and property tests can drive it through any history. Invariants:
//!
//! - A part has at most one holder. Its fence rises with every lease, and only the holder of the latest
//!   fence changes the part.
//! - All leases of a job that are alive at one time have one compute profile, and so has everything that
//!   was committed: a job never mixes bits of two profiles.
//! - An acknowledged checkpoint or output is forgotten only by an operator's fresh retry.
//! - A job that ended stays as it is until an operator retries it; one that succeeded stays for ever.
//! - Failed attempts and leases lost without progress are bounded by the [`Policy`].

mod claim;
mod dependency;
mod event;
mod lease;
mod operator;
mod refusal;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use counterstain_api::error::ErrorCode;
use counterstain_api::{Digest, Profile};
use uuid::Uuid;

pub use event::{Claim, Effect, Event, Level};
pub use refusal::Refusal;
pub use step::step;

/// Milliseconds of the coordinator's clock, since the Unix epoch.
pub type Millis = u64;
/// Id of a job.
pub type JobId = Uuid;
/// Id of a worker.
pub type WorkerId = Uuid;

/// The states of a job; as `counterstain.job.v1.JobState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waits for other jobs, or to be divided into parts.
    Waiting,
    /// Divided into parts; no attempt has begun since.
    Queued,
    /// At least one part was leased.
    Running,
    /// Has its output.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// An operator ended it.
    Cancelled,
    /// A job that it needs ended without success.
    Blocked,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Blocked,
    ];

    /// Its name in the database and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Blocked => "blocked",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Nothing more happens to it unless an operator acts (on it or on what blocks it).
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Blocked)
    }
}

/// A job as the machine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where it stands.
    pub state: JobState,
    /// Jobs that must succeed first and have not yet.
    pub needs: BTreeSet<JobId>,
    /// Those of `needs` that ended without success.
    pub blocked_by: BTreeSet<JobId>,
    /// Its parts; none until it was divided.
    pub parts: Vec<Part>,
    /// Its output is assembled from the outputs of its parts; otherwise it has one part, whose output it takes.
    pub assembled: bool,
    /// Runs even if an artifact with the same job key exists.
    pub fresh: bool,
    /// Profile of everything committed and of every lease that is alive; none while there is neither.
    pub profile: Option<Profile>,
    /// The output artifact, once succeeded.
    pub output: Option<Digest>,
    /// The output existed already and was reused.
    pub reused: bool,
    /// Why it failed, was cancelled or is blocked.
    pub failure: Option<Failure>,
    /// Attempts that failed, over all parts and retries.
    pub failed_attempts: u32,
    /// Leases that were lost, over all parts and retries.
    pub lost_leases: u32,
    /// When the first part was leased.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub ended_at: Option<Millis>,
}

/// A share of a job that one worker does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it stands.
    pub state: PartState,
    /// Number of the latest lease, 0 before the first. One lease is one attempt, so it also numbers those.
    pub fence: u64,
    /// What the next attempt goes on from.
    pub checkpoint: Option<Checkpoint>,
    /// Failed attempts since the job was submitted or retried.
    pub failures: u32,
    /// Leases lost since then or since the latest progress.
    pub lost: u32,
}

/// The states of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartState {
    /// Nobody works on it; not to be leased before this time.
    Pending {
        /// End of the pause after a failure; 0 for none.
        not_before: Millis,
    },
    /// A worker holds it.
    Leased(Lease),
    /// Has its output, committed under the part's fence.
    Done {
        /// The part's output artifact.
        output: Digest,
    },
    /// No attempts are left, or another cannot help.
    Failed,
}

impl PartState {
    /// Free to be leased, without a pause.
    pub const FREE: Self = Self::Pending { not_before: 0 };
}

/// The time-limited right to work on a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub worker: WorkerId,
    /// When it ends unless renewed.
    pub expires_at: Millis,
}

/// A checkpoint that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The checkpoint artifact.
    pub digest: Digest,
    /// The step it was taken at.
    pub step: u64,
    /// Fence of the lease that it was taken under.
    pub fence: u64,
}

/// Why something ended without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure with this code and message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// How patient the coordinator is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a lease lasts without a heartbeat.
    pub lease: Millis,
    /// Failed attempts after which a part, and with it the job, fails.
    pub max_attempts: u32,
    /// Leases lost without progress after which a part, and with it the job, fails.
    pub max_lost_leases: u32,
    /// Pause after the first failure; it doubles with every further one.
    pub backoff: Millis,
    /// Longest pause.
    pub max_backoff: Millis,
}

impl Default for Policy {
    fn default() -> Self {
        Self { lease: 30_000, max_attempts: 3, max_lost_leases: 10, backoff: 1_000, max_backoff: 60_000 }
    }
}

impl Job {
    /// A job that was just submitted and needs these others.
    pub fn new(needs: BTreeSet<JobId>, assembled: bool, fresh: bool) -> Self {
        Self {
            state: JobState::Waiting,
            needs,
            blocked_by: BTreeSet::new(),
            parts: Vec::new(),
            assembled,
            fresh,
            profile: None,
            output: None,
            reused: false,
            failure: None,
            failed_attempts: 0,
            lost_leases: 0,
            started_at: None,
            ended_at: None,
        }
    }

    /// Waits for nothing but to be divided into parts.
    pub fn is_to_divide(&self) -> bool {
        self.state == JobState::Waiting && self.needs.is_empty() && self.parts.is_empty()
    }

    /// All its parts are done and its output is to be assembled from them.
    pub fn is_to_assemble(&self) -> bool {
        self.assembled
            && self.state == JobState::Running
            && !self.parts.is_empty()
            && self.parts.iter().all(|part| matches!(part.state, PartState::Done { .. }))
    }

    /// Whether anything that a retry could go on from was committed.
    pub fn has_commits(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.checkpoint.is_some() || matches!(part.state, PartState::Done { .. }))
    }

    /// The leases that exist, by part.
    pub fn leases(&self) -> impl Iterator<Item = (u32, &Part, &Lease)> {
        self.parts.iter().zip(0..).filter_map(|(part, index)| match &part.state {
            PartState::Leased(lease) => Some((index, part, lease)),
            _ => None,
        })
    }
}
