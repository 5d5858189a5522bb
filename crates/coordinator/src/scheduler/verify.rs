//! Checks of the outputs that workers commit, against the manifests in the store.

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::{Digest, spec};
use counterstain_artifact::{ArtifactKind, LayerPartBody, Manifest};

use super::{Result, Scheduler};
use crate::storage::StoredJob;

/// The kind of artifact that a kind of job makes.
pub(crate) fn output_kind(kind: JobKind) -> Option<ArtifactKind> {
    match kind {
        JobKind::TrainGenerator | JobKind::TrainSegmenter => Some(ArtifactKind::Generator),
        JobKind::GenerateLayer => Some(ArtifactKind::Layer),
        JobKind::TrainEncoder => Some(ArtifactKind::Encoder),
        JobKind::Embed => Some(ArtifactKind::Representations),
        JobKind::Evaluate | JobKind::EvaluateGenerator => Some(ArtifactKind::Result),
        JobKind::Unspecified => None,
    }
}

/// The artifact key of a job under a profile.
pub(super) fn job_key(job: &StoredJob, profile: &counterstain_api::Profile) -> String {
    spec::artifact_key(spec::kind_name(job.kind), &spec::canonical_json(&job.spec), profile)
}

impl Scheduler {
    /// Reads a part's output and checks that it is what this part of this job makes under the job's profile.
    pub(super) async fn verify_output(
        &self,
        job: &StoredJob,
        part: u32,
        output: &Digest,
    ) -> Result<Manifest> {
        let manifest = self.store().manifest(output).await?;
        if job.job.assembled {
            manifest.expect_kind(ArtifactKind::LayerPart)?;
            let body: LayerPartBody = manifest.body()?;
            if body.part != part {
                let message =
                    format!("output {} is part {} of its layer, not {part}", output.short(), body.part);
                return Err(ApiError::new(ErrorCode::InvalidArgument, message));
            }
        } else if let Some(kind) = output_kind(job.kind) {
            manifest.expect_kind(kind)?;
        }
        let expected = job.job.profile.as_ref().map(|profile| job_key(job, profile));
        if manifest.key() != expected {
            let message = format!(
                "output {} was made with another spec or compute profile than job {} has",
                output.short(),
                job.id
            );
            let help = "the manifest must hold the lease's canonical spec and the profile that the worker registered";
            return Err(ApiError::new(ErrorCode::InvalidArgument, message).help(help));
        }
        Ok(manifest)
    }
}
