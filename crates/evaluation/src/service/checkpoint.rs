//! Where a job stands: which sets of representations are finished, and the beginning
//! of the one in hand.

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::spec;
use counterstain_artifact::{Digest, NamedInput};
use counterstain_torch::{from_safetensors, to_safetensors};
use counterstain_worker::{NewCheckpoint, Task, TaskError};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Version of the content of checkpoints.
const SCHEMA: u32 = 1;
const STATE: &str = "state.json";
const PARTIAL: &str = "partial.safetensors";
/// Name of the tensor in files of representations.
pub const TENSOR: &str = "representations";

/// Where a job stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Finished sets.
    pub finished: Vec<Finished>,
    /// The set in hand.
    pub partial: Option<Partial>,
}

/// A finished set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// Its encoder.
    pub encoder: Digest,
    /// The artifact.
    pub representations: Digest,
}

/// The beginning of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// Its encoder.
    pub encoder: Digest,
    /// Samples that are done.
    pub samples: usize,
    /// Row-major `[samples, width]`.
    pub rows: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    finished: Vec<Finished>,
    partial: Option<PartialDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartialDocument {
    encoder: Digest,
    samples: u64,
}

impl State {
    /// The state to go on from: that of the task's checkpoint, or the beginning.
    ///
    /// # Errors
    /// When the checkpoint is damaged, or of another schema, kind or spec.
    pub fn resume(task: &Task) -> Result<Self, TaskError> {
        let Some(saved) = task.saved_checkpoint(SCHEMA)? else { return Ok(Self::default()) };
        let damaged = |reason: String| {
            TaskError::new(ErrorCode::Corrupt, format!("checkpoint {}: {reason}", saved.digest()))
        };
        let document = saved.object(STATE)?;
        let document: Document =
            serde_json::from_slice(&document).map_err(|error| damaged(format!("{STATE}: {error}")))?;
        let partial = match document.partial {
            None => None,
            Some(PartialDocument { encoder, samples }) => {
                let bytes = saved.object(PARTIAL)?;
                let tensor = read_rows(&bytes).map_err(|error| damaged(format!("{PARTIAL}: {error}")))?;
                if tensor.size().first() != Some(&(samples as i64)) {
                    return Err(damaged(format!(
                        "{PARTIAL} has shape {:?}, not {samples} rows",
                        tensor.size()
                    )));
                }
                let rows = Vec::<f32>::try_from(tensor.flatten(0, -1))
                    .map_err(|error| damaged(error.to_string()))?;
                Some(Partial { encoder, samples: samples as usize, rows })
            }
        };
        Ok(Self { finished: document.finished, partial })
    }

    /// Writes the state as a checkpoint and names it to the coordinator. `step` counts
    /// samples over all sets.
    ///
    /// # Errors
    /// Those of the store; the lease was lost.
    pub fn commit(&self, task: &Task, step: u64) -> Result<(), TaskError> {
        let document = Document {
            finished: self.finished.clone(),
            partial: self
                .partial
                .as_ref()
                .map(|partial| PartialDocument { encoder: partial.encoder, samples: partial.samples as u64 }),
        };
        let input = |(position, finished): (usize, &Finished)| NamedInput {
            name: format!("representations/{position}"),
            digest: finished.representations,
        };
        let inputs = self.finished.iter().enumerate().map(input).collect();
        let mut objects = vec![(STATE.to_owned(), Bytes::from(spec::canonical_bytes(&document)))];
        if let Some(partial) = &self.partial {
            let file = write_rows(&partial.rows, partial.samples)?;
            objects.push((PARTIAL.to_owned(), Bytes::from(file)));
        }
        task.save_checkpoint(NewCheckpoint { step, epoch: 0, schema: SCHEMA, inputs, objects })
    }

    /// The finished set of an encoder.
    pub fn finished(&self, encoder: &Digest) -> Option<Digest> {
        self.finished
            .iter()
            .find(|finished| finished.encoder == *encoder)
            .map(|finished| finished.representations)
    }
}

/// A safetensors file of `samples` rows.
pub fn write_rows(rows: &[f32], samples: usize) -> Result<Vec<u8>, TaskError> {
    let width = rows.len().checked_div(samples).unwrap_or(0);
    let internal = |error: &dyn std::fmt::Display| TaskError::new(ErrorCode::Internal, error.to_string());
    let tensor = Tensor::from_slice(rows)
        .f_reshape([samples as i64, width as i64])
        .map_err(|error| internal(&error))?;
    to_safetensors(&vec![(TENSOR.to_owned(), tensor)]).map_err(|error| internal(&error))
}

/// The tensor `[samples, width]` of a file of representations.
pub fn read_rows(bytes: &[u8]) -> Result<Tensor, String> {
    let tensors = from_safetensors(bytes).map_err(|error| error.to_string())?;
    let found = tensors.into_iter().find(|(name, _)| name == TENSOR);
    let (_, tensor) = found.ok_or_else(|| format!("it has no tensor {TENSOR:?}"))?;
    if tensor.dim() != 2 || tensor.kind() != tch::Kind::Float {
        return Err(format!(
            "tensor {TENSOR:?} is {:?} {:?}, not f32 [samples, width]",
            tensor.kind(),
            tensor.size()
        ));
    }
    Ok(tensor)
}
