//! The project's own commands: `cargo xtask setup | demo | test | vectors | bench | fuzz | ci`.
//!
//! Depends on no crate of the workspace, so that it builds in seconds on a bare machine and can prepare
//! what the others need. What needs libtorch is started as a process.

mod fuzz;
mod setup;
mod shell;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Counterstain's set-up, demo, tests, reference checks, benchmarks and fuzzing")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Prepare libtorch under target/ (an existing LIBTORCH is respected) and check system packages
    Setup {
        /// Also what whole-slide images need: OpenSlide and libclang
        #[arg(long)]
        slides: bool,
    },
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
        /// losses, augment, synthesis, nuclei (a part of synthesis); all when none is named
        names: Vec<String>,
    },
    /// Feed what parses files from outside with damaged ones (needs a nightly toolchain)
    Fuzz {
        /// How long each target runs
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// checkpoint, weights, image, labels, shard, shard_index, manifest; all when none is named
        targets: Vec<String>,
    },
    /// Everything that must hold before a change lands
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Setup { slides } => {
            setup::prepare().and_then(|()| if slides { setup::slides() } else { Ok(()) })
        }
        Task::Demo { rest } => steps::demo(&rest),
        Task::Test { rest } => steps::test(&rest),
        Task::Vectors { dir, rest } => steps::vectors(dir, &rest),
        Task::Bench { names } => steps::bench(&names),
        Task::Fuzz { seconds, targets } => fuzz::fuzz(&targets, seconds),
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
