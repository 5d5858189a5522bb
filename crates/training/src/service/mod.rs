//! Training as a service: the run under leases, and the online calls.

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_api::proto::training::v1::training_service_server::TrainingService;
use counterstain_api::proto::training::v1::{GetStatusRequest, GetStatusResponse};
use counterstain_artifact::Digest;
use counterstain_compute::guarded;
use counterstain_worker::{Engine, StatusHandle, Task, TaskError};
use tch::Device;
use tonic::{Request, Response, Status};

/// Version of this service's algorithms, a part of the compute profile: raise it with any change after which
/// the same spec and inputs give other bytes.
pub const REVISION: u32 = 1;

/// Does the jobs `train_encoder`.
#[derive(Debug, Clone, Copy)]
pub struct TrainingEngine {
    device: Device,
}

impl TrainingEngine {
    /// Computes on `device`.
    pub fn new(device: Device) -> Self {
        Self { device }
    }
}

impl Engine for TrainingEngine {
    fn kinds(&self) -> Vec<JobKind> {
        vec![JobKind::TrainEncoder]
    }

    fn run(&self, task: &Task) -> Result<Digest, TaskError> {
        // libtorch keeps its thread count per calling thread, and the count decides last bits.
        counterstain_torch::set_threads(task.profile().threads as usize);
        match &task.spec().kind {
            Some(Kind::TrainEncoder(spec)) => guarded(|| crate::run::run(task, spec, self.device)),
            _ => Err(TaskError::new(
                ErrorCode::InvalidArgument,
                "training trains encoders; this job is of another kind",
            )),
        }
    }
}

/// The online calls.
#[derive(Clone)]
pub struct Online {
    /// The run in hand.
    pub status: StatusHandle,
}

#[tonic::async_trait]
impl TrainingService for Online {
    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { run: Some(self.status.get()) }))
    }
}
