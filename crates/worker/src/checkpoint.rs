//! Checkpoints: what an engine goes on from after a cut.
//!
//! Each lies in a place of its own in the store, which the coordinator clears once it has a further one.

use std::sync::PoisonError;
use std::time::Instant;

use bytes::Bytes;
use counterstain_api::{Digest, spec};
use counterstain_artifact::{
    ArtifactKind, CheckpointBody, CheckpointPlace, Manifest, ManifestParts, NamedInput, PlacedCheckpoint,
    Store, get_named, put_artifact,
};

use crate::report::Stop;
use crate::{Task, TaskError};

/// A checkpoint to write.
#[derive(Clone, Debug, Default)]
pub struct NewCheckpoint {
    /// Steps that are done.
    pub step: u64,
    /// Epoch that the next step belongs to, from 0.
    pub epoch: u64,
    /// Version of the content, which each kind of job counts for itself.
    pub schema: u32,
    /// Artifacts that it speaks of.
    pub inputs: Vec<NamedInput>,
    /// The state: names and contents.
    pub objects: Vec<(String, Bytes)>,
}

/// A checkpoint to go on from, which is this job's.
pub struct SavedCheckpoint<'task> {
    /// Steps that are done.
    pub step: u64,
    manifest: Manifest,
    store: Store,
    task: &'task Task,
}

impl SavedCheckpoint<'_> {
    /// Its digest, for messages.
    pub fn digest(&self) -> Digest {
        self.manifest.digest()
    }

    /// One of its objects.
    ///
    /// # Errors
    /// It has none of that name, and those of the store.
    pub fn object(&self, name: &str) -> Result<Bytes, TaskError> {
        Ok(self.task.block_on(get_named(&self.store, &self.manifest, name))?)
    }
}

impl Task {
    /// Whether it is time for a checkpoint: by the clock, or because the process is about to end.
    /// The cadence must not change any bit of the output.
    pub fn checkpoint_due(&self) -> bool {
        let last = *self.last_checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        last.elapsed() >= self.checkpoint_interval || self.report.stopped() == Some(Stop::ShuttingDown)
    }

    /// Writes a checkpoint and names it to the coordinator as the one to go on from. Returns when the coordinator has
    /// it; while the coordinator cannot be reached it waits.
    ///
    /// # Errors
    /// The lease was lost (pass it on), the checkpoint was refused, and those of the store.
    pub fn save_checkpoint(&self, checkpoint: NewCheckpoint) -> Result<(), TaskError> {
        let NewCheckpoint { step, epoch, schema, inputs, objects } = checkpoint;
        let (job_kind, spec_digest) = self.identity();
        let body = CheckpointBody { job_kind: job_kind.to_owned(), step, epoch, spec_digest, schema };
        let parts = ManifestParts { inputs, ..ManifestParts::new(ArtifactKind::Checkpoint, &body) };
        let (job, part, fence) = (self.job_id.clone(), self.part, self.fence);
        let store = self.store.checkpoint(&CheckpointPlace { job, part, fence, step });
        let digest = self.block_on(put_artifact(&store, parts, objects))?;
        self.persist(|| self.control.commit_checkpoint(&digest, step))?;
        *self.last_checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(())
    }

    /// The checkpoint to go on from; none for a new start.
    ///
    /// # Errors
    /// It is of another kind of job, spec or `schema`, and those of the store.
    pub fn saved_checkpoint(&self, schema: u32) -> Result<Option<SavedCheckpoint<'_>>, TaskError> {
        let Some(PlacedCheckpoint { digest, place }) = &self.checkpoint else { return Ok(None) };
        let store = self.store.checkpoint(place);
        let manifest = self.block_on(store.manifest(digest))?;
        let body: CheckpointBody = manifest.body_of(ArtifactKind::Checkpoint)?;
        let (job_kind, spec_digest) = self.identity();
        body.check(job_kind, &spec_digest, schema)?;
        Ok(Some(SavedCheckpoint { step: body.step, manifest, store, task: self }))
    }

    /// What a checkpoint must share with the job: its kind, and the digest of its spec.
    fn identity(&self) -> (&'static str, Digest) {
        let canonical = spec::canonical_json(&self.spec);
        (spec::kind_name(spec::kind(&self.spec)), Digest::of(&spec::canonical_bytes(&canonical)))
    }
}
