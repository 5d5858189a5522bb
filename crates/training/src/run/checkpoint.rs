//! Checkpoints: all variables and the optimiser's state in one safetensors file.

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_model::weights;
use counterstain_torch::optim::Optimizer;
use counterstain_torch::{NamedTensors, from_safetensors, to_safetensors};
use counterstain_worker::{NewCheckpoint, Task, TaskError};

use super::networks::Networks;

/// Version of the content of checkpoints.
const SCHEMA: u32 = 1;
const STATE: &str = "state.safetensors";
const NETWORKS: &str = "networks/";
const OPTIMIZER: &str = "optimizer/";

/// Writes a checkpoint and names it to the coordinator.
pub fn save(
    task: &Task,
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
    let bytes = Bytes::from(to_safetensors(&tensors).map_err(internal)?);
    let objects = vec![(STATE.to_owned(), bytes)];
    task.save_checkpoint(NewCheckpoint { step, epoch, schema: SCHEMA, objects, ..NewCheckpoint::default() })
}

/// Goes back to the job's last checkpoint. Gives the steps that are done; 0 without a checkpoint.
///
/// # Errors
/// The checkpoint is of another schema or spec, or damaged.
pub fn restore(task: &Task, networks: &Networks, optimizer: &mut dyn Optimizer) -> Result<u64, TaskError> {
    let Some(saved) = task.saved_checkpoint(SCHEMA)? else { return Ok(0) };
    let bytes = saved.object(STATE)?;
    let tensors = from_safetensors(&bytes).map_err(internal)?;
    let part = |prefix: &str| -> NamedTensors {
        let with_prefix = tensors.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
        });
        with_prefix.collect()
    };
    let unfit = |error: &dyn std::fmt::Display| {
        let message = format!("checkpoint {} does not fit the networks: {error}", saved.digest().short());
        TaskError::new(ErrorCode::FailedPrecondition, message)
    };
    weights::load(&networks.store, &part(NETWORKS)).map_err(|error| unfit(&error))?;
    optimizer.load_state(&part(OPTIMIZER)).map_err(|error| unfit(&error))?;
    Ok(saved.step)
}

fn internal(error: counterstain_torch::Error) -> TaskError {
    TaskError::new(ErrorCode::Internal, error.to_string())
}
