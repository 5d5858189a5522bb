//! The project's own commands: `cargo xtask setup | demo | test | vectors | bench | ci`.
//!
//! Depends on no crate of the workspace, so that it builds in seconds on a bare machine and can prepare
//! what the others need. What needs libtorch is started as a process.

mod setup;
mod shell;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Counterstain's set-up, demo, tests, reference checks and benchmarks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Prepare libtorch under target/ (an existing LIBTORCH is respected) and check system packages
    Setup,
    /// Run the main job on simulated tissue, end to end
    Demo {
        /// Passed on to `counterstain run`, after `--`
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Run all tests
    Test {
        /// Passed on to `cargo nextest run`, after `--`
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Compare with the reference numbers in DIR
    Vectors {
        /// Folder with index.json [default: $COUNTERSTAIN_VECTORS]
        dir: Option<PathBuf>,
        /// Passed on to the checker, after `--`
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Print the figures of benchmarks
    Bench {
        /// losses, augment, nuclei; all when none is named
        names: Vec<String>,
    },
    /// Everything that must hold before a change lands
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Setup => setup::prepare(),
        Task::Demo { rest } => steps::demo(&rest),
        Task::Test { rest } => steps::test(&rest),
        Task::Vectors { dir, rest } => steps::vectors(dir, &rest),
        Task::Bench { names } => steps::bench(&names),
        Task::Ci => steps::ci(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
