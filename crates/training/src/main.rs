//! `counterstain-training`: trains encoders, one part at a time, for a coordinator.

use std::process::ExitCode;

use counterstain_api::proto::training::v1::training_service_server::TrainingServiceServer;
use counterstain_training::service::{Online, REVISION, TrainingEngine};
use tonic::service::Routes;

fn main() -> ExitCode {
    counterstain_compute::main(
        "counterstain-training",
        "Trains encoders",
        REVISION,
        TrainingEngine::new,
        |context, _compute| Routes::new(TrainingServiceServer::new(Online { status: context.status })),
    )
}
