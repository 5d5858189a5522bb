//! What an engine asks of the control plane while it runs.

use std::time::Duration;

use async_trait::async_trait;
use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::artifact::v1::artifact_service_client::ArtifactServiceClient;
use counterstain_api::proto::artifact::v1::{FindArtifactRequest, RegisterArtifactRequest};
use counterstain_api::proto::job::v1::worker_service_client::WorkerServiceClient;
use counterstain_api::proto::job::v1::{CommitCheckpointRequest, LeaseRef};
use tonic::Status;
use tonic::transport::Channel;

/// The control plane's answer to a call that it did not carry out.
pub type Refused = ApiError;

/// What an engine asks of the control plane while it runs.
#[async_trait]
pub trait Control: Send + Sync {
    /// Names the part's new checkpoint.
    async fn commit_checkpoint(&self, checkpoint: &Digest, step: u64) -> Result<(), Refused>;
    /// The artifact with this key, if one exists.
    async fn find_artifact(&self, key: &str) -> Result<Option<Digest>, Refused>;
    /// Makes an artifact of the store known.
    async fn register_artifact(&self, artifact: &Digest) -> Result<(), Refused>;
}

/// The coordinator, for one lease.
pub(crate) struct Remote {
    pub workers: WorkerServiceClient<Channel>,
    pub artifacts: ArtifactServiceClient<Channel>,
    pub lease: LeaseRef,
}

#[async_trait]
impl Control for Remote {
    async fn commit_checkpoint(&self, checkpoint: &Digest, step: u64) -> Result<(), Refused> {
        let request = CommitCheckpointRequest {
            lease: Some(self.lease.clone()),
            checkpoint: checkpoint.to_string(),
            step,
        };
        self.workers.clone().commit_checkpoint(request).await.map_err(refused)?;
        Ok(())
    }

    async fn find_artifact(&self, key: &str) -> Result<Option<Digest>, Refused> {
        let request = FindArtifactRequest { key: key.to_owned() };
        let found = self.artifacts.clone().find_artifact(request).await.map_err(refused)?.into_inner();
        let digest = found.artifact.map(|artifact| artifact.digest.parse()).transpose();
        digest
            .map_err(|error| ApiError::new(ErrorCode::Internal, format!("the coordinator's answer: {error}")))
    }

    async fn register_artifact(&self, artifact: &Digest) -> Result<(), Refused> {
        let request = RegisterArtifactRequest { digest: artifact.to_string() };
        self.artifacts.clone().register_artifact(request).await.map_err(refused)?;
        Ok(())
    }
}

pub(crate) fn refused(status: Status) -> Refused {
    ApiError::from_status(&status)
}

/// Waits between tries of a call: 0.2 s, doubling, at most 5 s.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub fn new() -> Self {
        Self(Duration::from_millis(200))
    }

    pub fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(Duration::from_secs(5));
        wait
    }
}
