//! `counterstain-synthesis`: trains generators, paints layers, paints single tiles online, one part at a time, for a coordinator.

use std::process::ExitCode;

use counterstain_synthesis::service::{Online, REVISION, SynthesisEngine};
use tonic::service::Routes;

fn main() -> ExitCode {
    counterstain_compute::main(
        "counterstain-synthesis",
        "Trains generators, paints layers, paints single tiles online",
        REVISION,
        SynthesisEngine::new,
        |context, compute| {
            let online = Online::start(context, compute.device, compute.threads)
                .expect("a process that has just started can start one more thread");
            Routes::new(online.into_server())
        },
    )
}
