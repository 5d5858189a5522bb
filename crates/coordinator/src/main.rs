//! The coordinator's process.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use counterstain_api::error::ApiError;
use counterstain_coordinator::options::Options;
use counterstain_service::{shutdown, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let code = error.downcast_ref::<ApiError>().map_or(1, |error| error.code.exit_code());
            ExitCode::from(code)
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let _telemetry = telemetry::init("counterstain-coordinator").context("starting telemetry")?;
    let stop = shutdown::token().context("installing signal handlers")?;
    counterstain_coordinator::run(options, stop, |address| {
        // Whoever started this process waits for the line; if nobody reads it, that is fine too.
        let mut out = std::io::stdout();
        let _ = writeln!(out, "listening on {address}").and_then(|()| out.flush());
    })
    .await?;
    Ok(())
}
