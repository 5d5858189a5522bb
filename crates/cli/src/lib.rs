//! The command line of Counterstain: imports, the local system, pipelines and reports.
//!
//! Links no libtorch. Programs of the system talk to the coordinator over gRPC; imports and reports work
//! on the object store directly.

mod client;
mod commands;
mod failure;
mod follow;
pub mod import;
mod json;
mod options;
mod output;
mod progress;
pub mod report;
mod system;

use std::process::ExitCode;

use clap::Parser as _;

/// Reads the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    let options = options::Options::parse();
    let json = options.common.json;
    match commands::dispatch(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(failure::report(&error, json)),
    }
}
