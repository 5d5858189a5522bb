//! The process of a computing worker: options, device, compute profile.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use counterstain_api::Profile;
use counterstain_api::error::ErrorCode;
use counterstain_torch::{DeviceChoice, device_class, libtorch_version, set_threads};
use counterstain_worker::{Engine, OnlineContext, Setup, WorkerOptions, run};
use tch::Device;
use tonic::service::Routes;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    worker: WorkerOptions,
    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, env = "COUNTERSTAIN_DEVICE", default_value = "auto")]
    device: DeviceChoice,
}

/// Where and how widely a worker computes.
#[derive(Clone, Copy, Debug)]
pub struct Compute {
    /// The device.
    pub device: Device,
    /// Threads of the computation.
    pub threads: usize,
}

/// The whole program of a worker named `service` (`counterstain-synthesis`, …): reads the command line, resolves the
/// device, and works for a coordinator until it is told to stop. `revision` is that of the service's
/// algorithms: raise it with any change after which the same spec and inputs give other bytes.
pub fn main<E, R>(
    service: &'static str,
    about: &'static str,
    revision: u32,
    engine: impl FnOnce(Device) -> E,
    routes: R,
) -> ExitCode
where
    E: Engine,
    R: FnOnce(OnlineContext, Compute) -> Routes + Send + 'static,
{
    let command = Arguments::command().name(service).about(about).version(env!("CARGO_PKG_VERSION"));
    let matches = command.get_matches();
    let Arguments { worker, device } =
        Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let device = match device.resolve() {
        Ok(device) => device,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(ErrorCode::InvalidArgument.exit_code());
        }
    };
    let threads = worker.threads();
    counterstain_torch::deterministic(true);
    set_threads(threads as usize);
    let profile =
        Profile { device_class: device_class(device), threads, libtorch: libtorch_version(), revision };
    let compute = Compute { device, threads: threads as usize };
    run(Setup {
        service,
        options: worker,
        engine: Arc::new(engine(device)),
        profile,
        routes: Box::new(move |context| routes(context, compute)),
    })
}
