//! What the holder of a lease reports: heartbeats, and how its attempt ends.
//!
//! Manifests are read and checked before the transaction, and the fence inside it.

use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1::{Metric, Picture};

use super::{Result, Scheduler, whole};
use crate::limits;
use crate::machine::{self, Claim, Event, Failure, JobId};
use crate::storage::{NewLogLine, StoredJob};

/// What a heartbeat carries.
#[derive(Clone, Debug, Default)]
pub struct Beat {
    /// How far the part is.
    pub progress: Option<Progress>,
    /// New metrics.
    pub metrics: Vec<Metric>,
    /// New log lines; part, attempt and time are filled in here.
    pub logs: Vec<NewLogLine>,
    /// New pictures.
    pub pictures: Vec<Picture>,
}

impl Scheduler {
    /// Renews a lease and keeps what came with it. True when the worker is to stop.
    ///
    /// # Errors
    /// The claim is stale, or the database fails.
    pub async fn heartbeat(&self, job: JobId, claim: Claim, beat: Beat) -> Result<bool> {
        let this = self.clone();
        whole(async move {
            let mut change = this.change().await?;
            let now = change.now;
            let applied = change.apply(job, Event::Heartbeat(claim)).await?;
            if let Some(progress) = &beat.progress {
                change.transaction.set_progress(job, claim.part, progress).await?;
            }
            if !beat.metrics.is_empty() {
                let names = limits::METRIC_NAMES_PER_JOB;
                change.transaction.add_metrics(job, &beat.metrics, applied.revision, names).await?;
            }
            if !beat.logs.is_empty() {
                let (part, attempt) = (claim.part, claim.fence);
                let logs: Vec<NewLogLine> =
                    beat.logs.into_iter().map(|line| NewLogLine { at: now, part, attempt, ..line }).collect();
                change.transaction.add_logs(job, &logs, limits::LOG_LINES_PER_JOB).await?;
            }
            if !beat.pictures.is_empty() {
                change.transaction.add_pictures(job, &beat.pictures, limits::PICTURES).await?;
            }
            change.transaction.touch_worker(claim.worker, now).await?;
            this.commit(change).await?;
            Ok(applied.job.job.state.has_ended())
        })
        .await
    }

    /// Takes a part's output.
    ///
    /// # Errors
    /// The claim is stale, the output is not what the part makes, or store or database fail.
    pub async fn complete(&self, job: JobId, claim: Claim, output: Digest) -> Result<()> {
        let event = Event::Complete(claim, output);
        let stored = self.try_on(job, &event).await?;
        let manifest = self.verify_output(&stored, claim.part, &output).await?;
        let artifacts = self.lineage(output, &manifest, Some(job)).await?;
        self.act_with(job, event, artifacts).await?;
        Ok(())
    }

    /// Ends an attempt with an error.
    ///
    /// # Errors
    /// The claim is stale, or the database fails.
    pub async fn fail(&self, job: JobId, claim: Claim, failure: Failure, retryable: bool) -> Result<()> {
        self.act(job, Event::Fail { claim, failure, retryable }).await?;
        Ok(())
    }

    /// Takes a part back unfinished.
    ///
    /// # Errors
    /// The claim is stale, or the database fails.
    pub async fn release(&self, job: JobId, claim: Claim) -> Result<()> {
        self.act(job, Event::Release(claim)).await?;
        Ok(())
    }

    /// The job, if it would accept the event now: a stale worker is refused before the store is asked.
    pub(super) async fn try_on(&self, job: JobId, event: &Event) -> Result<StoredJob> {
        let view = self.storage().jobs(&[job]).await?.pop();
        let view =
            view.ok_or_else(|| ApiError::new(ErrorCode::NotFound, format!("there is no job {job}")))?;
        machine::step(&view.stored.job, event, self.clock().now(), self.policy())?;
        Ok(view.stored)
    }
}
