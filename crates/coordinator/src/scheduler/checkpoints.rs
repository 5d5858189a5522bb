//! Checkpoints: taking a part's new one, and removing those that nobody will go on from.
//!
//! Only the latest of each part is kept, and none once the job has succeeded. Removing follows the change that allows
//! it and holds nobody up. What a fault leaves behind goes with the part's next checkpoint, with the job's success, or
//! when the coordinator starts again.

use std::future::Future;
use std::time::Duration;

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::{Digest, spec};
use counterstain_artifact::{ArtifactKind, CheckpointBody, CheckpointPlace, Error, Store};

use super::{Result, Scheduler};
use crate::machine::{Checkpoint, Claim, Event, JobId, JobState};
use crate::storage::StoredJob;

/// How long the end of the coordinator waits for removals.
const SETTLING: Duration = Duration::from_secs(3);

impl Scheduler {
    /// Keeps a part's new checkpoint and removes what it supersedes.
    ///
    /// # Errors
    /// The claim is stale, the checkpoint is not one of this job or not further than the last, or store or
    /// database fail.
    pub async fn commit_checkpoint(&self, job: JobId, claim: Claim, digest: Digest, step: u64) -> Result<()> {
        let event = Event::CommitCheckpoint(claim, Checkpoint { digest, step, fence: claim.fence });
        let stored = self.try_on(job, &event).await?;
        let place = CheckpointPlace { job: job.to_string(), part: claim.part, fence: claim.fence, step };
        self.verify_checkpoint(&stored, &digest, &place).await?;
        self.act(job, event).await?;
        self.remove(async move |store| store.remove_older_checkpoints(&place).await);
        Ok(())
    }

    /// Reads a checkpoint and checks that it is one of this kind of job, at this step.
    async fn verify_checkpoint(
        &self,
        job: &StoredJob,
        digest: &Digest,
        place: &CheckpointPlace,
    ) -> Result<()> {
        let manifest = self.store().checkpoint(place).manifest(digest).await?;
        let body: CheckpointBody = manifest.body_of(ArtifactKind::Checkpoint)?;
        if body.job_kind != spec::kind_name(job.kind) || body.step != place.step {
            let message = format!(
                "checkpoint {} is of {} at step {}, not of {} at step {}",
                digest.short(),
                body.job_kind,
                body.step,
                spec::kind_name(job.kind),
                place.step,
            );
            return Err(ApiError::new(ErrorCode::InvalidArgument, message));
        }
        Ok(())
    }

    /// Removes the checkpoints of a job that has succeeded.
    pub(super) fn remove_checkpoints(&self, job: JobId) {
        self.remove(async move |store| store.remove_checkpoints(&job.to_string()).await);
    }

    /// Removes the checkpoints of jobs that succeeded just before the coordinator ended. Jobs that this coordinator
    /// does not know may be another's.
    pub(super) async fn remove_left_behind(self) {
        match self.left_behind().await {
            Ok(jobs) => jobs.into_iter().for_each(|job| self.remove_checkpoints(job)),
            Err(error) => tracing::warn!("cannot look for checkpoints that are left behind: {error}"),
        }
    }

    async fn left_behind(&self) -> Result<Vec<JobId>> {
        let named = self.store().jobs_with_checkpoints().await?;
        let named: Vec<JobId> = named.iter().filter_map(|job| job.parse().ok()).collect();
        let known = self.storage().jobs(&named).await?;
        let succeeded = known.iter().filter(|view| view.stored.job.state == JobState::Succeeded);
        Ok(succeeded.map(|view| view.stored.id).collect())
    }

    /// Waits a moment for the removals that are under way, so that a pipeline that was run to its end leaves nothing.
    pub async fn settle(&self) {
        self.inner.removals.close();
        let _ = tokio::time::timeout(SETTLING, self.inner.removals.wait()).await;
    }

    fn remove<Removing>(&self, removal: impl FnOnce(Store) -> Removing + Send + 'static)
    where
        Removing: Future<Output = std::result::Result<(), Error>> + Send,
    {
        let store = self.store().clone();
        self.inner.removals.spawn(async move {
            if let Err(error) = removal(store).await {
                tracing::warn!("checkpoints that are not needed any more stay for now: {error}");
            }
        });
    }
}
