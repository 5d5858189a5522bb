//! Checkpoints of training jobs: one object of named tensors.

use bytes::Bytes;
use counterstain_worker::{NewCheckpoint, Task, TaskError};

use crate::engine::state::CHECKPOINT_SCHEMA;

/// Name of a checkpoint's object.
const STATE: &str = "state.safetensors";

/// The job's last state, and the steps that are done.
///
/// # Errors
/// When the checkpoint belongs to another spec or schema, and the store's.
pub fn last(task: &Task) -> Result<Option<(Bytes, u64)>, TaskError> {
    let Some(saved) = task.saved_checkpoint(CHECKPOINT_SCHEMA)? else { return Ok(None) };
    Ok(Some((saved.object(STATE)?, saved.step)))
}

/// Keeps a state after `step` steps; the next step belongs to `epoch`.
///
/// # Errors
/// The store's, and the task's word to stop.
pub fn save(task: &Task, step: u64, epoch: u64, state: Vec<u8>) -> Result<(), TaskError> {
    let objects = vec![(STATE.to_owned(), Bytes::from(state))];
    task.save_checkpoint(NewCheckpoint {
        step,
        epoch,
        schema: CHECKPOINT_SCHEMA,
        objects,
        ..NewCheckpoint::default()
    })
}
