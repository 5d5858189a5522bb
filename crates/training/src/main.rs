//! `counterstain-training`: trains encoders, one part at a time, for a coordinator.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use counterstain_api::Profile;
use counterstain_api::proto::training::v1::training_service_server::TrainingServiceServer;
use counterstain_torch::{DeviceChoice, device_class, libtorch_version};
use counterstain_training::service::{Online, REVISION, TrainingEngine};
use counterstain_worker::{Setup, WorkerOptions, run};
use tonic::service::Routes;

/// Trains encoders for a coordinator
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: WorkerOptions,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

fn main() -> ExitCode {
    let Arguments { options, device } = Arguments::parse();
    let device = match device.resolve() {
        Ok(device) => device,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let profile = Profile {
        device_class: device_class(device),
        threads: options.threads(),
        libtorch: libtorch_version(),
        revision: REVISION,
    };
    run(Setup {
        service: "counterstain-training",
        options,
        engine: Arc::new(TrainingEngine::new(device)),
        profile,
        routes: Box::new(|context| {
            Routes::new(TrainingServiceServer::new(Online { status: context.status }))
        }),
    })
}
