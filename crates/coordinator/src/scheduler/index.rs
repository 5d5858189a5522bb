//! The index of artifacts: what the coordinator knows of what is in the store.

use std::collections::HashSet;

use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_artifact::{ArtifactKind, Manifest};

use super::{Result, Scheduler, whole};
use crate::machine::JobId;
use crate::storage::{Artifact, Tag};

impl Scheduler {
    /// Makes an artifact of the store known, with all that it was made from.
    ///
    /// # Errors
    /// The store does not have it, it is damaged or of a newer schema, or the database fails.
    pub async fn index(&self, digest: Digest, job: Option<JobId>) -> Result<Artifact> {
        let manifest = self.store().manifest(&digest).await?;
        let new = self.lineage(digest, &manifest, job).await?;
        let this = self.clone();
        whole(async move {
            let mut change = this.change().await?;
            change.put_artifacts(&new).await?;
            this.commit(change).await
        })
        .await?;
        let known = self.storage().artifact(&digest).await?;
        known.ok_or_else(|| ApiError::new(ErrorCode::Internal, "an artifact that was just indexed is gone"))
    }

    /// What the index is to hold of an artifact and of those of its ancestors that are not known yet, which
    /// come first, so that their order of age is that of the lineage.
    pub(super) async fn lineage(
        &self,
        digest: Digest,
        manifest: &Manifest,
        job: Option<JobId>,
    ) -> Result<Vec<Artifact>> {
        let mut new = vec![self.record(digest, manifest, job)];
        let mut seen = HashSet::from([digest]);
        let mut open: Vec<Digest> = manifest.inputs.iter().map(|input| input.digest).collect();
        while let Some(input) = open.pop() {
            if !seen.insert(input) || self.storage().artifact(&input).await?.is_some() {
                continue;
            }
            match self.store().manifest(&input).await {
                Ok(manifest) => {
                    open.extend(manifest.inputs.iter().map(|input| input.digest));
                    new.push(self.record(input, &manifest, None));
                }
                // The artifact itself is sound; its lineage ends where the store does.
                Err(error) if error.code() == ErrorCode::NotFound => {
                    tracing::warn!(artifact = %digest, "an input is not in the store: {error}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        new.reverse();
        Ok(new)
    }

    /// Points a tag to an artifact.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_tag(&self, tag: Tag) -> Result<()> {
        let this = self.clone();
        whole(async move {
            let mut change = this.change().await?;
            change.transaction.set_tag(&tag).await?;
            this.commit(change).await
        })
        .await
    }

    /// Removes a tag; false when there was none.
    ///
    /// # Errors
    /// The database fails.
    pub async fn delete_tag(&self, tag: String) -> Result<bool> {
        let this = self.clone();
        whole(async move {
            let mut change = this.change().await?;
            let existed = change.transaction.delete_tag(&tag).await?;
            this.commit(change).await?;
            Ok(existed)
        })
        .await
    }

    fn record(&self, digest: Digest, manifest: &Manifest, job: Option<JobId>) -> Artifact {
        Artifact {
            digest,
            kind: manifest.kind.as_str().to_owned(),
            key: is_output(manifest.kind).then(|| manifest.key()).flatten(),
            manifest: String::from_utf8_lossy(&manifest.encode()).into_owned(),
            inputs: manifest.inputs.iter().map(|input| input.digest).collect(),
            job,
            created_at: self.clock().now(),
            tags: Vec::new(),
            cursor: 0,
        }
    }
}

/// Whether artifacts of a kind are the outputs of jobs, rather than imports or what lies on the way to an output.
fn is_output(kind: ArtifactKind) -> bool {
    !matches!(kind, ArtifactKind::Dataset | ArtifactKind::LayerPart | ArtifactKind::Checkpoint)
}
