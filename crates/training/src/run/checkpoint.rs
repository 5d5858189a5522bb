//! Checkpoints: all variables and the optimiser's state in one safetensors file.

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::spec;
use counterstain_artifact::{ArtifactKind, CheckpointBody, Digest, ManifestParts, get_named, put_artifact};
use counterstain_model::weights;
use counterstain_torch::optim::Optimizer;
use counterstain_torch::{NamedTensors, from_safetensors, to_safetensors};
use counterstain_worker::{Task, TaskError};

use super::networks::Networks;

/// Version of the content of checkpoints.
const SCHEMA: u32 = 1;
const STATE: &str = "state.safetensors";
const NETWORKS: &str = "networks/";
const OPTIMIZER: &str = "optimizer/";

/// Identity of the job that a checkpoint belongs to.
pub struct Identity {
    pub job_kind: &'static str,
    pub spec_digest: Digest,
}

impl Identity {
    pub fn of(task: &Task) -> Self {
        let canonical = spec::canonical_json(task.spec());
        Self {
            job_kind: spec::kind_name(spec::kind(task.spec())),
            spec_digest: Digest::of(&spec::canonical_bytes(&canonical)),
        }
    }
}

/// Writes a checkpoint and names it to the coordinator.
pub fn save(
    task: &Task,
    identity: &Identity,
    networks: &Networks,
    optimizer: &dyn Optimizer,
    step: u64,
    epoch: u64,
) -> Result<(), TaskError> {
    let mut tensors: NamedTensors = Vec::new();
    let networks = weights::export(&networks.store);
    tensors.extend(networks.into_iter().map(|(name, tensor)| (format!("{NETWORKS}{name}"), tensor)));
    let state = optimizer.state();
    tensors.extend(state.into_iter().map(|(name, tensor)| (format!("{OPTIMIZER}{name}"), tensor)));
    let body = CheckpointBody {
        job_kind: identity.job_kind.to_owned(),
        step,
        epoch,
        spec_digest: identity.spec_digest,
        schema: SCHEMA,
    };
    let bytes = Bytes::from(to_safetensors(&tensors).map_err(internal)?);
    let parts = ManifestParts::new(ArtifactKind::Checkpoint, &body);
    let digest = task.block_on(put_artifact(task.store(), parts, vec![(STATE.to_owned(), bytes)]))?;
    task.commit_checkpoint(&digest, step)
}

/// Goes back to the job's last checkpoint. Gives the steps that are done; 0 without a checkpoint.
///
/// # Errors
/// The checkpoint is of another schema or spec, or damaged.
pub fn restore(
    task: &Task,
    identity: &Identity,
    networks: &Networks,
    optimizer: &mut dyn Optimizer,
) -> Result<u64, TaskError> {
    let Some(digest) = task.checkpoint() else { return Ok(0) };
    let manifest = task.block_on(task.store().manifest(&digest))?;
    let body: CheckpointBody = manifest.body_of(ArtifactKind::Checkpoint)?;
    body.check(identity.job_kind, &identity.spec_digest, SCHEMA)?;
    let bytes = task.block_on(get_named(task.store(), &manifest, STATE))?;
    let tensors = from_safetensors(&bytes).map_err(internal)?;
    let part = |prefix: &str| -> NamedTensors {
        let with_prefix = tensors.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
        });
        with_prefix.collect()
    };
    let unfit = |error: &dyn std::fmt::Display| {
        let message = format!("checkpoint {} does not fit the networks: {error}", digest.short());
        TaskError::new(ErrorCode::FailedPrecondition, message)
    };
    weights::load(&networks.store, &part(NETWORKS)).map_err(|error| unfit(&error))?;
    optimizer.load_state(&part(OPTIMIZER)).map_err(|error| unfit(&error))?;
    Ok(body.step)
}

fn internal(error: counterstain_torch::Error) -> TaskError {
    TaskError::new(ErrorCode::Internal, error.to_string())
}
