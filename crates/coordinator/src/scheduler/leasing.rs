//! Handing out parts: a long poll that wakes when a part may be free, and never polls.

use std::time::Duration;

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::{Digest, Profile};
use tokio::time::Instant;

use super::verify::job_key;
use super::{Result, Scheduler, whole};
use crate::machine::{Claim, Event, JobId, WorkerId};
use crate::storage::{Offer, StoredJob, Worker};

/// Jobs that are looked at in one go.
const CANDIDATES: u32 = 32;

/// A lease that was handed out.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The job.
    pub job: StoredJob,
    /// Index of the part.
    pub part: u32,
}

impl Scheduler {
    /// Adds a worker.
    ///
    /// # Errors
    /// The database fails.
    pub async fn register(&self, worker: Worker) -> Result<()> {
        let this = self.clone();
        whole(async move {
            let mut change = this.change().await?;
            change.transaction.insert_worker(&worker).await?;
            this.commit(change).await
        })
        .await
    }

    /// Waits up to `wait` for a part that suits the worker. A part that the worker still holds is lost to it:
    /// it would not ask if it knew.
    ///
    /// # Errors
    /// The worker is not known, or the database or the store fails.
    pub async fn lease(&self, worker: WorkerId, wait: Duration) -> Result<Option<Granted>> {
        let deadline = Instant::now() + wait;
        let mut work = self.inner.work.subscribe();
        let worker = self.heard_of(worker).await?;
        loop {
            work.borrow_and_update();
            if let Some(handout) = self.try_lease(&worker).await? {
                return Ok(handout.accept());
            }
            tokio::select! {
                // The sender lives as long as the scheduler.
                _ = work.changed() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(None),
                () = self.inner.stop.cancelled() => return Ok(None),
            }
        }
    }

    /// Notes that a worker asks for work, and takes from it what it still holds.
    async fn heard_of(&self, id: WorkerId) -> Result<Worker> {
        let worker = self.storage().worker(id).await?.ok_or_else(|| {
            let message = format!("there is no worker {id}");
            ApiError::new(ErrorCode::NotFound, message).help("register again")
        })?;
        let this = self.clone();
        whole(async move {
            let mut change = this.change().await?;
            let now = change.now;
            change.transaction.touch_worker(id, now).await?;
            while let Some((job, part, fence)) = change.transaction.held_part(id).await? {
                change.apply(job, Event::Abandon(Claim { worker: id, part, fence })).await?;
            }
            this.commit(change).await
        })
        .await?;
        Ok(worker)
    }

    async fn try_lease(&self, worker: &Worker) -> Result<Option<Box<Handout>>> {
        let offer = Offer { kinds: worker.kinds.clone(), profile: worker.profile.clone() };
        loop {
            let mut outrun = false;
            let candidates = self.storage().free_parts(&offer, self.clock().now(), CANDIDATES).await?;
            for (job, part) in candidates {
                if self.reused(job, &worker.profile).await? {
                    continue;
                }
                match self.grant(job, part, worker).await? {
                    Grant::Given(handout) => return Ok(Some(handout)),
                    Grant::Held => return Ok(None),
                    Grant::Outrun => outrun = true,
                }
            }
            // All who wait wake up at once and want the same first part; the jobs' further parts are free still, and
            // nobody will be told of them again.
            if !outrun {
                return Ok(None);
            }
        }
    }

    /// Ends a job with the artifact that has its key under this profile, if there is one.
    async fn reused(&self, job: JobId, profile: &Profile) -> Result<bool> {
        let Some(view) = self.storage().jobs(&[job]).await?.pop() else { return Ok(true) };
        if view.stored.job.fresh || view.stored.job.leases().next().is_some() {
            return Ok(false);
        }
        let Some(output) = self.existing(&job_key(&view.stored, profile)).await? else { return Ok(false) };
        Ok(self.act(job, Event::Reuse(output)).await.is_ok())
    }

    /// The artifact with this key, if it is known and still in the store.
    pub async fn existing(&self, key: &str) -> Result<Option<Digest>> {
        let Some(known) = self.storage().artifact_by_key(key).await? else { return Ok(None) };
        Ok(self.store().has_manifest(&known.digest).await?.then_some(known.digest))
    }

    async fn grant(&self, job: JobId, part: u32, worker: &Worker) -> Result<Grant> {
        let this = self.clone();
        let worker = worker.clone();
        whole(async move {
            let mut change = this.change().await?;
            // An earlier call of this worker, whose caller has gone, may have been given a part meanwhile.
            if change.transaction.held_part(worker.id).await?.is_some() {
                return Ok(Grant::Held);
            }
            let event = Event::Lease { part, worker: worker.id, profile: worker.profile.clone() };
            match change.apply(job, event).await {
                Ok(applied) => {
                    this.commit(change).await?;
                    let granted = Some(Granted { job: applied.job, part });
                    let handout = Handout { scheduler: this, worker: worker.id, granted };
                    Ok(Grant::Given(handout.into()))
                }
                Err(error) if error.code == ErrorCode::FailedPrecondition => Ok(Grant::Outrun),
                Err(error) => Err(error),
            }
        })
        .await
    }
}

/// What becomes of a wish for a part.
enum Grant {
    Given(Box<Handout>),
    /// The worker has a part already.
    Held,
    /// Somebody else was faster.
    Outrun,
}

/// A lease on its way to its worker. When the caller has hung up before it got there, the part is given
/// back at once, rather than lost when the lease ends.
struct Handout {
    scheduler: Scheduler,
    worker: WorkerId,
    granted: Option<Granted>,
}

impl Handout {
    fn accept(mut self) -> Option<Granted> {
        self.granted.take()
    }
}

impl Drop for Handout {
    fn drop(&mut self) {
        let Some(Granted { job, part }) = self.granted.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let scheduler = self.scheduler.clone();
        let fence = job.job.parts[part as usize].fence;
        let claim = Claim { worker: self.worker, part, fence };
        runtime.spawn(async move {
            if let Err(error) = scheduler.release(job.id, claim).await {
                tracing::warn!(job = %job.id, part, "a part whose worker hung up is not given back: {error}");
            }
        });
    }
}
