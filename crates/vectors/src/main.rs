//! `counterstain-vectors [DIR]`: compares the project's code with a folder of
//! reference vectors. Exit codes: 0 all equal, 1 something failed, 2 the folder
//! cannot be read.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use counterstain_vectors::report::FileReport;
use counterstain_vectors::{cases, folder::Folder, runner};

/// Run the project's code on reference vectors and compare every result.
#[derive(Parser)]
struct Arguments {
    /// The folder with index.json.
    #[arg(env = "COUNTERSTAIN_VECTORS", value_name = "DIR")]
    folder: PathBuf,
    /// Only this file (name without extension); may be repeated.
    #[arg(long, value_name = "FILE")]
    only: Vec<String>,
    /// Print the whole report as JSON instead of lines.
    #[arg(long)]
    json: bool,
    /// Print failures and counts only.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let folder = match Folder::open(&arguments.folder) {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    let print = |file: &FileReport| {
        if arguments.json {
            return;
        }
        for line in file.lines.iter().filter(|line| !arguments.quiet || line.failed()) {
            say(&line.text());
        }
        say(&format!("{}: {}", file.file, file.counts.text()));
    };
    let report = runner::run(&folder, cases::REGISTRY, &arguments.only, print);
    if arguments.json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => say(&text),
            Err(error) => {
                eprintln!("error: the report cannot be written as JSON: {error}");
                return ExitCode::from(2);
            }
        }
    } else {
        say(&format!("total: {}", report.total.text()));
        say(if report.passed() { "ok" } else { "FAIL" });
    }
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line. A reader that went away (`| head`) ends nothing: the exit code
/// still says how the checks went.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
