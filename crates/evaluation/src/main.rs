//! `counterstain-evaluation`: representations, probes, results; embeds single tiles online, one part at a time, for a coordinator.

use std::process::ExitCode;

use counterstain_evaluation::service::{EvaluationEngine, Online, REVISION};
use tonic::service::Routes;

fn main() -> ExitCode {
    counterstain_compute::main(
        "counterstain-evaluation",
        "Computes representations, probes and results; embeds single tiles online",
        REVISION,
        EvaluationEngine::new,
        |context, compute| {
            let online = Online::start(context, compute.device, compute.threads)
                .expect("a process that has just started can start one more thread");
            Routes::new(online.into_server())
        },
    )
}
