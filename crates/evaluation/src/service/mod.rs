//! Evaluation as a service: the engine under leases, and the online calls.
//!
//! - `embed` gives the representations of a dataset by one encoder;
//! - `evaluate` probes encoders on a labelled dataset and prints, beside them, the
//!   floors: a randomly initialised encoder of each architecture, and plain colour
//!   statistics;
//! - `evaluate_generator` compares painted layers with real ones.
//!
//! Representations are artifacts: `evaluate` looks for each set before it computes it
//! and makes what it computed known, so that the next job finds it.

mod checkpoint;
mod embed;
mod encoders;
mod error;
mod evaluate;
mod judge;
mod online;
mod rows;
mod samples;

pub use online::Online;

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_artifact::Digest;
use counterstain_compute::guarded;
use counterstain_worker::{Engine, Task, TaskError};
use tch::Device;

/// Version of this service's algorithms, a part of the compute profile: raise it with
/// any change after which the same spec and inputs give other bytes.
pub const REVISION: u32 = 2;

/// Does the jobs `embed`, `evaluate` and `evaluate_generator`.
#[derive(Debug, Clone, Copy)]
pub struct EvaluationEngine {
    device: Device,
}

impl EvaluationEngine {
    /// Computes representations on `device`; probes and metrics are always computed on
    /// the CPU.
    #[must_use]
    pub fn new(device: Device) -> Self {
        Self { device }
    }
}

impl Engine for EvaluationEngine {
    fn kinds(&self) -> Vec<JobKind> {
        vec![JobKind::Embed, JobKind::Evaluate, JobKind::EvaluateGenerator]
    }

    fn run(&self, task: &Task) -> Result<Digest, TaskError> {
        // libtorch keeps its thread count per calling thread, and the count decides last bits.
        counterstain_torch::set_threads(task.profile().threads as usize);
        if task.part_count() != 1 {
            let text = format!(
                "this job has {} parts; evaluation jobs have one: submit it again",
                task.part_count()
            );
            return Err(TaskError::new(ErrorCode::FailedPrecondition, text));
        }
        guarded(|| match &task.spec().kind {
            Some(Kind::Embed(spec)) => embed::run(task, spec, self.device),
            Some(Kind::Evaluate(spec)) => evaluate::run(task, spec, self.device),
            Some(Kind::EvaluateGenerator(spec)) => judge::run(task, spec, self.device),
            _ => Err(TaskError::new(
                ErrorCode::InvalidArgument,
                "evaluation embeds datasets and evaluates encoders and generators; this job is of another kind",
            )),
        })
    }
}
