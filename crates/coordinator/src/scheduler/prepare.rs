//! Dividing jobs into parts and assembling outputs from them: what needs the store between two states.
//!
//! Both are found in the database, done outside a transaction, and recorded by an event that the machine
//! takes only once. The work is a function of immutable artifacts, so doing it twice does no harm.

use std::time::Duration;

use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_artifact::{ArtifactKind, DatasetBody, Manifest, layer_from_parts};

use super::{Result, Scheduler};
use crate::limits;
use crate::machine::{Event, Failure, JobId, PartState};
use crate::storage::{Artifact, StoredJob};

/// Pause before another try when the store cannot be reached.
const PAUSE: Duration = Duration::from_secs(2);

impl Scheduler {
    /// Prepares jobs whenever some may wait for it, until the coordinator stops.
    pub(super) async fn prepare(self) {
        loop {
            let all_done = self.prepare_all().await;
            let pause = async {
                if all_done { std::future::pending().await } else { tokio::time::sleep(PAUSE).await }
            };
            tokio::select! {
                () = self.inner.prepare.notified() => {}
                () = pause => {}
                () = self.inner.stop.cancelled() => return,
            }
        }
    }

    /// False when something is to be tried again.
    async fn prepare_all(&self) -> bool {
        let jobs = match self.storage().jobs_to_prepare().await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::error!("cannot look for jobs to prepare: {error}");
                return false;
            }
        };
        let mut all_done = true;
        for job in jobs {
            if let Err(error) = self.prepare_job(job).await {
                tracing::warn!(%job, "cannot prepare the job now: {error}");
                all_done = false;
            }
        }
        all_done
    }

    async fn prepare_job(&self, id: JobId) -> Result<()> {
        let Some(view) = self.storage().jobs(&[id]).await?.pop() else { return Ok(()) };
        let job = view.stored;
        let outcome = if job.job.is_to_divide() {
            self.count_parts(&job).await.map(|parts| (Event::Divided(parts), Vec::new()))
        } else if job.job.is_to_assemble() {
            self.assemble(&job).await
        } else {
            return Ok(());
        };
        let (event, artifacts) = match outcome {
            Ok(prepared) => prepared,
            Err(error) if error.code.retryable() => return Err(error),
            Err(error) => (Event::Impossible(Failure::new(error.code, error.message)), Vec::new()),
        };
        match self.act_with(id, event, artifacts).await {
            // Cancelled or retried meanwhile: the machine knows better.
            Err(error) if error.code == ErrorCode::FailedPrecondition => Ok(()),
            other => other.map(drop),
        }
    }

    /// One part per shard of the dataset for a layer; one part for everything else.
    async fn count_parts(&self, job: &StoredJob) -> Result<u32> {
        let Some(Kind::GenerateLayer(spec)) = &job.spec.kind else { return Ok(1) };
        let dataset: Digest = spec.dataset.parse().map_err(|error| {
            ApiError::new(ErrorCode::Internal, format!("the dataset of job {} is not known: {error}", job.id))
        })?;
        let body: DatasetBody = self.store().manifest(&dataset).await?.body_of(ArtifactKind::Dataset)?;
        let shards = body.shards.len();
        if shards == 0 || shards > limits::PARTS_PER_JOB {
            let message = format!(
                "dataset {} has {shards} shards; a layer needs 1 to {} of them",
                dataset.short(),
                limits::PARTS_PER_JOB
            );
            return Err(ApiError::new(ErrorCode::FailedPrecondition, message));
        }
        Ok(u32::try_from(shards).unwrap_or(u32::MAX))
    }

    /// Writes the layer whose shards are the outputs of the parts, in part order.
    async fn assemble(&self, job: &StoredJob) -> Result<(Event, Vec<Artifact>)> {
        let Some(Kind::GenerateLayer(spec)) = &job.spec.kind else {
            let message = format!("job {} has no output to assemble", job.id);
            return Err(ApiError::new(ErrorCode::Internal, message));
        };
        let mut parts: Vec<Manifest> = Vec::with_capacity(job.job.parts.len());
        for part in &job.job.parts {
            if let PartState::Done { output } = &part.state {
                parts.push(self.store().manifest(output).await?);
            }
        }
        let layer = layer_from_parts(&spec.layer, &parts)?;
        let digest = self.store().put_manifest(&layer).await?;
        let artifacts = self.lineage(digest, &layer, Some(job.id)).await?;
        Ok((Event::Assembled(digest), artifacts))
    }
}
