//! The evaluation worker: representations, probes, results; single tiles online.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use counterstain_api::Profile;
use counterstain_evaluation::service::{EvaluationEngine, Online, REVISION};
use counterstain_torch::{DeviceChoice, device_class, libtorch_version, set_threads};
use counterstain_worker::{Setup, WorkerOptions};

/// The evaluation worker: representations, probes, results; single tiles online
#[derive(Debug, Parser)]
#[command(name = "counterstain-evaluation", version)]
struct Arguments {
    #[command(flatten)]
    worker: WorkerOptions,
    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, env = "COUNTERSTAIN_DEVICE", default_value = "auto")]
    device: DeviceChoice,
}

fn main() -> ExitCode {
    let Arguments { worker, device } = Arguments::parse();
    let device = match device.resolve() {
        Ok(device) => device,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let threads = worker.threads();
    counterstain_torch::deterministic(true);
    set_threads(threads as usize);
    let profile = Profile {
        device_class: device_class(device),
        threads,
        libtorch: libtorch_version(),
        revision: REVISION,
    };
    counterstain_worker::run(Setup {
        service: "evaluation",
        options: worker,
        engine: Arc::new(EvaluationEngine::new(device)),
        profile,
        routes: Box::new(move |context| {
            let online = Online::start(context, device, threads as usize);
            let online = online.expect("a process that has just started can start one more thread");
            tonic::service::Routes::new(online.into_server())
        }),
    })
}
