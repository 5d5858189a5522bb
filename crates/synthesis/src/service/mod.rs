//! Synthesis as a service: the engine under leases, and the online calls.

mod checkpoint;
mod collection;
mod course;
mod error;
mod generate;
mod generator;
mod health;
mod online;
mod segmenter;
mod settings;
mod shard;
mod source;
mod survey;
mod train;

pub use generator::described;
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
pub const REVISION: u32 = 3;

/// Does the jobs `train_generator`, `train_segmenter` and `generate_layer`.
#[derive(Debug, Clone, Copy)]
pub struct SynthesisEngine {
    device: Device,
}

impl SynthesisEngine {
    /// Computes on `device`.
    pub fn new(device: Device) -> Self {
        Self { device }
    }
}

impl Engine for SynthesisEngine {
    fn kinds(&self) -> Vec<JobKind> {
        vec![JobKind::TrainGenerator, JobKind::TrainSegmenter, JobKind::GenerateLayer]
    }

    fn run(&self, task: &Task) -> Result<Digest, TaskError> {
        // libtorch keeps its thread count per calling thread, and the count decides last bits.
        counterstain_torch::set_threads(task.profile().threads as usize);
        guarded(|| match &task.spec().kind {
            Some(Kind::TrainGenerator(spec)) => train::run(task, spec, self.device),
            Some(Kind::TrainSegmenter(spec)) => segmenter::train(task, spec, self.device),
            Some(Kind::GenerateLayer(spec)) => generate::run(task, spec, self.device),
            _ => Err(TaskError::new(
                ErrorCode::InvalidArgument,
                "synthesis trains generators and segmenters and generates layers; this job is of another kind",
            )),
        })
    }
}
