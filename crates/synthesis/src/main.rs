//! The synthesis worker: trains generators, paints layers, paints single tiles online.

use clap::Parser;
use counterstain_api::Profile;
use counterstain_synthesis::service::{Online, REVISION, SynthesisEngine};
use counterstain_torch::{DeviceChoice, device_class, libtorch_version, set_threads};
use counterstain_worker::{Setup, WorkerOptions};
use std::process::ExitCode;
use std::sync::Arc;

/// The synthesis worker: trains generators, paints layers, paints single tiles online
#[derive(Debug, Parser)]
#[command(name = "counterstain-synthesis", version)]
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
        service: "synthesis",
        options: worker,
        engine: Arc::new(SynthesisEngine::new(device)),
        profile,
        routes: Box::new(move |context| {
            let online = Online::start(context, device, threads as usize);
            let online = online.expect("a process that has just started can start one more thread");
            tonic::service::Routes::new(online.into_server())
        }),
    })
}
