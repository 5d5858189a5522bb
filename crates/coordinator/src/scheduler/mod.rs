//! Runs the state machine on the database: the one place where jobs change.
//!
//! Every change is one transaction in a task of its own, so that a caller that goes away in the middle
//! can neither tear it nor keep waiting workers and watchers from hearing of it. Nothing is done outside
//! the database before the change that asks for it is committed; what is asked for (dividing a job,
//! assembling an output, ending a lease) is found in the database again after a restart.

mod change;
mod checkpoints;
mod index;
mod leasing;
mod prepare;
mod report;
mod sweep;
mod verify;

use std::sync::Arc;

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_artifact::Store;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::clock::Clock;
use crate::machine::{Event, JobId, JobState, Policy};
use crate::storage::{Artifact, NewJob, NewPipeline, Storage, StoredJob, Submission};
use change::{Applied, Change, Signals};

pub use leasing::Granted;
pub use report::Beat;
pub(crate) use verify::output_kind;

/// Result of what the scheduler does.
pub type Result<T> = std::result::Result<T, ApiError>;

/// Runs the state machine on the database. Clones share everything.
#[derive(Clone)]
pub struct Scheduler {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Arc<dyn Storage>,
    store: Store,
    policy: Policy,
    clock: Clock,
    /// Counts how often a part may have become free.
    work: watch::Sender<u64>,
    /// Counts committed changes.
    changes: watch::Sender<u64>,
    /// A job waits to be divided or assembled.
    prepare: Notify,
    /// Removals that are under way.
    removals: TaskTracker,
    stop: CancellationToken,
}

impl Scheduler {
    /// Takes over a database: leases that were alive are extended, and what was begun goes on in background
    /// tasks until `stop` is cancelled.
    ///
    /// # Errors
    /// The database fails.
    pub async fn start(
        storage: Arc<dyn Storage>,
        store: Store,
        policy: Policy,
        stop: CancellationToken,
    ) -> Result<Self> {
        let inner = Inner {
            storage,
            store,
            policy,
            clock: Clock::new(),
            work: watch::Sender::new(0),
            changes: watch::Sender::new(0),
            prepare: Notify::new(),
            removals: TaskTracker::new(),
            stop,
        };
        let scheduler = Self { inner: Arc::new(inner) };
        for job in scheduler.storage().jobs_with_leases_until(u64::MAX).await? {
            scheduler.act(job, Event::Restart).await?;
        }
        tokio::spawn(scheduler.clone().sweep());
        tokio::spawn(scheduler.clone().prepare());
        tokio::spawn(scheduler.clone().remove_left_behind());
        Ok(scheduler)
    }

    /// The database, to read from.
    pub fn storage(&self) -> &dyn Storage {
        &*self.inner.storage
    }

    /// The object store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// How patient it is.
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// The clock that decides.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Is cancelled when the coordinator stops.
    pub fn stop(&self) -> &CancellationToken {
        &self.inner.stop
    }

    /// Changes whenever a change was committed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// What an idempotency key was used for.
    ///
    /// # Errors
    /// The database fails.
    pub async fn submission(&self, principal: &str, key: &str) -> Result<Option<Submission>> {
        let mut change = self.change().await?;
        Ok(change.transaction.submission(principal, key).await?)
    }

    /// Adds a pipeline, unless its idempotency key was used for the same before. Gives the pipeline's id and
    /// whether it existed.
    ///
    /// # Errors
    /// The key was used for something else, or the database fails.
    pub async fn submit(&self, pipeline: NewPipeline, jobs: Vec<NewJob>) -> Result<(Uuid, bool)> {
        let this = self.clone();
        whole(async move {
            let mut change = this.change().await?;
            let NewPipeline { principal, idempotency_key, content, .. } = &pipeline;
            if let Some(known) = change.transaction.submission(principal, idempotency_key).await? {
                return same_submission(&known, content, idempotency_key).map(|id| (id, true));
            }
            change.transaction.insert_pipeline(&pipeline, &jobs).await?;
            // Jobs with one part are ready at once; the others are divided once the store was asked.
            for new in jobs.iter().filter(|new| new.job.is_to_divide() && !new.job.assembled) {
                change.apply(new.id, Event::Divided(1)).await?;
            }
            this.commit(change).await?;
            this.inner.prepare.notify_one();
            Ok((pipeline.id, false))
        })
        .await
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// The job is not known or has ended otherwise, or the database fails.
    pub async fn cancel(&self, job: JobId, reason: String) -> Result<StoredJob> {
        self.act(job, Event::Cancel { reason }).await
    }

    /// Gives a failed or cancelled job a new start, and so the jobs that it blocks; for a blocked job,
    /// those that block it.
    ///
    /// # Errors
    /// The job is not known or has not ended without success, or the database fails.
    pub async fn retry(&self, job: JobId, fresh: bool) -> Result<StoredJob> {
        let this = self.clone();
        whole(async move {
            let mut change = this.change().await?;
            let mut to_retry = vec![job];
            while let Some(id) = to_retry.pop() {
                let blocked = change.job(id).await?.job;
                if blocked.state == JobState::Blocked {
                    to_retry.extend(blocked.blocked_by);
                } else if id == job || matches!(blocked.state, JobState::Failed | JobState::Cancelled) {
                    let fresh = fresh && id == job;
                    if fresh {
                        change.transaction.clear_observations(id).await?;
                    }
                    let applied = change.apply(id, Event::Retry { fresh }).await?;
                    to_retry.extend(applied.job.job.blocked_by);
                }
            }
            let retried = change.job(job).await?;
            this.commit(change).await?;
            Ok(retried)
        })
        .await
    }

    /// Applies one event in a transaction of its own.
    async fn act(&self, job: JobId, event: Event) -> Result<StoredJob> {
        self.act_with(job, event, Vec::new()).await
    }

    /// Applies an event and makes the artifacts known that it is about, both or neither.
    async fn act_with(&self, job: JobId, event: Event, artifacts: Vec<Artifact>) -> Result<StoredJob> {
        let this = self.clone();
        whole(async move {
            let mut change = this.change().await?;
            change.put_artifacts(&artifacts).await?;
            let Applied { job, .. } = change.apply(job, event).await?;
            this.commit(change).await?;
            Ok(job)
        })
        .await
    }

    async fn change(&self) -> Result<Change> {
        let transaction = self.storage().begin().await?;
        // Read after the wait for the transaction, so that time does not go back from one to the next.
        Ok(Change::new(transaction, self.inner.clock.now(), self.inner.policy.clone()))
    }

    async fn commit(&self, change: Change) -> Result<()> {
        let Signals { work, prepare, succeeded } = change.commit().await?;
        self.inner.changes.send_modify(|count| *count += 1);
        if work {
            self.inner.work.send_modify(|count| *count += 1);
        }
        if prepare {
            self.inner.prepare.notify_one();
        }
        succeeded.into_iter().for_each(|job| self.remove_checkpoints(job));
        Ok(())
    }
}

/// The pipeline of a submission that was made before with the same key.
///
/// # Errors
/// It had other content.
pub fn same_submission(known: &Submission, content: &counterstain_api::Digest, key: &str) -> Result<Uuid> {
    if known.content == *content {
        return Ok(known.pipeline);
    }
    let message = format!(
        "the idempotency key {key:?} was used before, for pipeline {} of other content",
        known.pipeline
    );
    Err(ApiError::new(ErrorCode::Conflict, message).help("use a new key for a new submission"))
}

/// Runs a change to its end even if the caller goes away.
async fn whole<T: Send + 'static>(
    change: impl std::future::Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(change).await.unwrap_or_else(|error| {
        Err(ApiError::new(ErrorCode::Internal, format!("a change of the coordinator broke off: {error}")))
    })
}
