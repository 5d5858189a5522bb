//! `counterstain-evaluation`: representations, probes, results; embeds single tiles online, one part at a time, for a coordinator.
//! `counterstain-evaluation import-weights` imports published weights.

use std::process::ExitCode;

use clap::Parser as _;
use counterstain_evaluation::service::{EvaluationEngine, Online, REVISION};
use counterstain_evaluation::weights::{self, ImportWeights};
use tonic::service::Routes;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|command| command == "import-weights") {
        return weights::main(&ImportWeights::parse_from(std::env::args_os().skip(1)));
    }
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
