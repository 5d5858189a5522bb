//! Checkpoints of training jobs: one object of named tensors, and who may go on from it.

use crate::engine::state::CHECKPOINT_SCHEMA;
use bytes::Bytes;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::spec;
use counterstain_artifact::{ArtifactKind, CheckpointBody, Digest, ManifestParts, get_named, put_artifact};
use counterstain_worker::{Task, TaskError};

/// Name of a checkpoint's object.
const STATE: &str = "state.safetensors";

/// The checkpoints of a job.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoints {
    kind: JobKind,
    spec_digest: Digest,
}

impl Checkpoints {
    /// Those of jobs of this kind with this task's spec.
    pub fn of(task: &Task, kind: JobKind) -> Self {
        let canonical = spec::canonical_json(task.spec());
        Self { kind, spec_digest: Digest::of(&spec::canonical_bytes(&canonical)) }
    }

    /// The job's last state, and the steps that are done.
    ///
    /// # Errors
    /// When the checkpoint belongs to another spec or schema, and the store's.
    pub fn last(&self, task: &Task) -> Result<Option<(Bytes, u64)>, TaskError> {
        let Some(digest) = task.checkpoint() else { return Ok(None) };
        let manifest = task.block_on(task.store().manifest(&digest))?;
        let body: CheckpointBody = manifest.body_of(ArtifactKind::Checkpoint)?;
        body.check(spec::kind_name(self.kind), &self.spec_digest, CHECKPOINT_SCHEMA)?;
        Ok(Some((task.block_on(get_named(task.store(), &manifest, STATE))?, body.step)))
    }

    /// Keeps a state after `step` steps; the next step belongs to `epoch`.
    ///
    /// # Errors
    /// The store's, and the task's word to stop.
    pub fn commit(&self, task: &Task, step: u64, epoch: u64, state: Vec<u8>) -> Result<(), TaskError> {
        let body = CheckpointBody {
            job_kind: spec::kind_name(self.kind).to_owned(),
            step,
            epoch,
            spec_digest: self.spec_digest,
            schema: CHECKPOINT_SCHEMA,
        };
        let parts = ManifestParts::new(ArtifactKind::Checkpoint, &body);
        let objects = vec![(STATE.to_owned(), Bytes::from(state))];
        let digest = task.block_on(put_artifact(task.store(), parts, objects))?;
        task.commit_checkpoint(&digest, step)
    }
}
