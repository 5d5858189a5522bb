//! What the coordinator remembers, behind one trait that every database implements.
//!
//! The traits move rows; they know no rule of the state machine. All rules run once, in the scheduler,
//! inside a [`Transaction`]. Invariants that a backend must hold (`conformance` checks them):
//!
//! - transactions are serialised, at least those that touch the same job; one that is dropped before
//!   [`Transaction::commit`] returned leaves no trace or all of it, never a part;
//! - what `commit` acknowledged survives the death of the process and of the machine;
//! - every change of a job gets a revision greater than all before, and the change of a smaller revision
//!   is visible to whoever sees that of a greater one;
//! - metrics are kept once per (job, name, step) and log lines once per (job, part, attempt, sequence).

#[cfg(test)]
mod conformance;
mod records;
pub mod sqlite;

use async_trait::async_trait;
use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1::{JobKind, Metric, Picture};

pub use records::{
    Artifact, JobFilter, JobView, LogRecord, NewJob, NewLogLine, NewPipeline, Offer, Pipeline, StoredJob,
    Submission, Tag, Worker,
};

use crate::machine::{JobId, Millis, WorkerId};

/// Number that rises with every change of any job.
pub type Revision = u64;

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("database {database}: could not {action}: {source}")]
    Backend {
        /// Which one.
        database: String,
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No space is left.
    #[error("database {database} is full; free some space and try again: {source}")]
    Full {
        /// Which one.
        database: String,
        /// Its answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It holds what this program did not write.
    #[error("the database holds a faulty {column}: {value:?}")]
    Faulty {
        /// The column.
        column: &'static str,
        /// Its value.
        value: String,
    },
    /// A newer version of the program wrote it.
    #[error("database {database} was written by a newer version of the program; update the coordinator")]
    NewerSchema {
        /// Which one.
        database: String,
    },
    /// Another coordinator uses it.
    #[error("database {database} is in use by another coordinator; stop that one, or name another database")]
    InUse {
        /// Which one.
        database: String,
    },
    /// The location cannot be used.
    #[error("database location {location:?} {reason}")]
    Location {
        /// As it was given.
        location: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
}

impl Error {
    /// The code of the closed set that this error maps to.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Backend { .. } => ErrorCode::Unavailable,
            Self::Full { .. } => ErrorCode::ResourceExhausted,
            Self::Faulty { .. } => ErrorCode::Corrupt,
            Self::NewerSchema { .. } => ErrorCode::NewerSchema,
            Self::InUse { .. } => ErrorCode::Conflict,
            Self::Location { .. } => ErrorCode::InvalidArgument,
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        ApiError::new(error.code(), error.to_string())
    }
}

/// Result of a storage call.
pub type Result<T> = std::result::Result<T, Error>;

/// A database of the coordinator. The reads see committed changes only.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Begins a transaction that will write.
    async fn begin(&self) -> Result<Box<dyn Transaction>>;

    /// The latest revision.
    async fn revision(&self) -> Result<Revision>;

    /// A pipeline.
    async fn pipeline(&self, id: &str) -> Result<Option<Pipeline>>;
    /// Ids of a pipeline's jobs, in topological order.
    async fn pipeline_jobs(&self, pipeline: &str) -> Result<Vec<JobId>>;
    /// Jobs with all there is to see of them, in the order of the ids; unknown ones are left out.
    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<JobView>>;
    /// Ids of jobs, newest first.
    async fn list_jobs(&self, filter: &JobFilter) -> Result<Vec<JobId>>;
    /// Ids of at most `limit` jobs whose id begins with this text.
    async fn jobs_by_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<JobId>>;
    /// Those of `jobs` that changed after `since`, with the revision of their latest change, by revision.
    async fn changed_jobs(&self, jobs: &[JobId], since: Revision) -> Result<Vec<(JobId, Revision)>>;

    /// At most one free part of each job that suits the offer, oldest job first.
    async fn free_parts(&self, offer: &Offer, now: Millis, limit: u32) -> Result<Vec<(JobId, u32)>>;
    /// Jobs with a lease that ends at or before `now`.
    async fn jobs_with_leases_until(&self, now: Millis) -> Result<Vec<JobId>>;
    /// Whether the pause of a pending part ended after `from` and at or before `to`.
    async fn pause_ended(&self, from: Millis, to: Millis) -> Result<bool>;
    /// Jobs that wait to be divided or assembled.
    async fn jobs_to_prepare(&self) -> Result<Vec<JobId>>;

    /// Metrics of a job by name and step, of these names (empty: all), of revisions in `after..=until`.
    async fn metrics(
        &self,
        job: JobId,
        names: &[String],
        after: Revision,
        until: Revision,
    ) -> Result<Vec<Metric>>;
    /// The kept pictures of a job, newest first.
    async fn pictures(&self, job: JobId) -> Result<Vec<Picture>>;
    /// Log lines of a job after a cursor, oldest first.
    async fn logs(&self, job: JobId, after: u64, limit: u32) -> Result<Vec<LogRecord>>;

    /// A worker.
    async fn worker(&self, id: WorkerId) -> Result<Option<Worker>>;
    /// All workers seen at or after `since`, oldest first, with what they hold.
    async fn workers(&self, since: Millis) -> Result<Vec<Worker>>;

    /// An artifact.
    async fn artifact(&self, digest: &Digest) -> Result<Option<Artifact>>;
    /// Digests of at most `limit` artifacts whose digest begins with this text.
    async fn artifacts_by_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<Digest>>;
    /// The oldest artifact with this artifact key.
    async fn artifact_by_key(&self, key: &str) -> Result<Option<Artifact>>;
    /// Artifacts of these kinds, newest first, known before the one with the cursor `before` (none: all).
    async fn list_artifacts(&self, kinds: &[&str], before: Option<u64>, limit: u32) -> Result<Vec<Artifact>>;
    /// The artifact that a tag points to.
    async fn tag(&self, tag: &str) -> Result<Option<Digest>>;
}

/// How many pictures are kept.
#[derive(Clone, Copy, Debug)]
pub struct PictureLimits {
    /// Of each name of a job: the latest.
    pub per_name: u32,
    /// Names of a job: the first.
    pub names: u32,
    /// Jobs that have any: those whose pictures are the latest, so that the database does not grow with its age.
    pub jobs: u32,
}

/// A transaction that may write. Dropping it undoes it.
#[async_trait]
pub trait Transaction: Send {
    /// The submission that was made with this idempotency key.
    async fn submission(&mut self, principal: &str, key: &str) -> Result<Option<Submission>>;
    /// Adds a pipeline and its jobs.
    async fn insert_pipeline(&mut self, pipeline: &NewPipeline, jobs: &[NewJob]) -> Result<()>;

    /// A job, to be changed.
    async fn job(&mut self, id: JobId) -> Result<Option<StoredJob>>;
    /// Replaces what the machine may change of a job, and its spec; gives it a new revision.
    async fn update_job(&mut self, before: &StoredJob, after: &StoredJob) -> Result<Revision>;
    /// Jobs that need this one.
    async fn dependants(&mut self, id: JobId) -> Result<Vec<JobId>>;
    /// Jobs that this one needs, met or not.
    async fn dependencies(&mut self, id: JobId) -> Result<Vec<JobId>>;
    /// The part that a worker holds, with its fence.
    async fn held_part(&mut self, worker: WorkerId) -> Result<Option<(JobId, u32, u64)>>;

    /// Replaces a part's progress.
    async fn set_progress(&mut self, job: JobId, part: u32, progress: &Progress) -> Result<()>;
    /// Adds metrics under a revision; those whose (name, step) is known change nothing. Of names beyond the
    /// first `name_limit` of the job nothing is kept. Values that are not finite are kept as NaN.
    async fn add_metrics(
        &mut self,
        job: JobId,
        metrics: &[Metric],
        revision: Revision,
        name_limit: u32,
    ) -> Result<()>;
    /// Adds pictures, within limits; those whose (name, step) is known change nothing.
    async fn add_pictures(&mut self, job: JobId, pictures: &[Picture], limits: PictureLimits) -> Result<()>;
    /// Forgets a job's metrics and pictures.
    async fn clear_observations(&mut self, job: JobId) -> Result<()>;
    /// Adds log lines and keeps the latest `limit` of the job. A line whose sequence is known is left out.
    async fn add_logs(&mut self, job: JobId, lines: &[NewLogLine], limit: u32) -> Result<()>;

    /// Adds a worker.
    async fn insert_worker(&mut self, worker: &Worker) -> Result<()>;
    /// Notes that a worker was heard of.
    async fn touch_worker(&mut self, worker: WorkerId, now: Millis) -> Result<()>;

    /// Adds an artifact with its inputs. A known one stays; only the job that made it is filled in.
    async fn put_artifact(&mut self, artifact: &Artifact) -> Result<()>;
    /// Points a tag to an artifact.
    async fn set_tag(&mut self, tag: &Tag) -> Result<()>;
    /// Removes a tag; false when there was none.
    async fn delete_tag(&mut self, tag: &str) -> Result<bool>;

    /// Makes everything durable and visible.
    async fn commit(self: Box<Self>) -> Result<()>;
}

/// The name of a kind of job in the database.
pub(crate) fn kind_name(kind: JobKind) -> &'static str {
    counterstain_api::spec::kind_name(kind)
}
