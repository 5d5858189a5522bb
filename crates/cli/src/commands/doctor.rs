//! `doctor`: what is installed and reachable, and what to do about what is not.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::ListWorkersRequest;
use serde_json::json;

use super::{open_store, store_location};
use crate::client::{Client, coordinator_url};
use crate::failure::fail;
use crate::options::Common;
use crate::output::{print_json, say, size};
use crate::system::binaries::{COORDINATOR, WORKERS, find};
use crate::system::lock;

/// How a check came out.
enum Outcome {
    Good(String),
    /// Not a fault, but worth knowing.
    Note(String),
    Bad(String),
}

/// Checks everything and prints it; fails when something that a local run needs is missing.
pub async fn doctor(common: &Common) -> Result<()> {
    let mut checks: Vec<(String, Outcome)> = vec![
        ("version".to_owned(), Outcome::Good(env!("CARGO_PKG_VERSION").to_owned())),
        ("processor".to_owned(), processor()),
        ("gpu".to_owned(), gpu()),
    ];
    for name in std::iter::once(COORDINATOR).chain(WORKERS) {
        checks.push((name.to_owned(), program(name).await));
    }
    checks.push(("data folder".to_owned(), data_folder(&common.data)));
    checks.push((format!("store {}", store_location(common)?), store(common).await));
    checks.push((format!("coordinator {}", coordinator_url(common)), coordinator(common).await));
    let bad = checks.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Bad(_))).count();
    if common.json {
        let list: Vec<_> = checks
            .iter()
            .map(|(what, outcome)| {
                let (state, text) = parts(outcome);
                json!({ "check": what, "state": state, "text": text })
            })
            .collect();
        print_json(&json!({ "checks": list }));
    } else {
        for (what, outcome) in &checks {
            let (state, text) = parts(outcome);
            say!("{state:<5} {what}: {text}");
        }
    }
    if bad == 0 {
        return Ok(());
    }
    Err(fail(ErrorCode::FailedPrecondition, format!("{bad} of {} checks failed", checks.len())))
}

fn parts(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Good(text) => ("ok", text),
        Outcome::Note(text) => ("note", text),
        Outcome::Bad(text) => ("bad", text),
    }
}

fn processor() -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let memory = kib.map_or_else(String::new, |kib| format!(", {} of memory", size(kib * 1024)));
    Outcome::Good(format!("{cores} cores{memory}"))
}

fn gpu() -> Outcome {
    let models: Vec<String> = std::fs::read_dir("/proc/driver/nvidia/gpus")
        .into_iter()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("information")).ok())
        .filter_map(|text| {
            text.lines().find_map(|line| line.strip_prefix("Model:").map(|model| model.trim().to_owned()))
        })
        .collect();
    if models.is_empty() {
        Outcome::Note("no NVIDIA driver found; workers compute on the processor".to_owned())
    } else {
        Outcome::Good(models.join(", "))
    }
}

/// Whether a program is there and starts: workers do not without libtorch.
async fn program(name: &str) -> Outcome {
    let path = match find(name) {
        Ok(path) => path,
        Err(error) => return Outcome::Bad(error.to_string()),
    };
    let mut command = tokio::process::Command::new(&path);
    command.arg("--version").kill_on_drop(true).stdin(std::process::Stdio::null());
    match tokio::time::timeout(Duration::from_secs(60), command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            Outcome::Good(format!("{} ({})", path.display(), String::from_utf8_lossy(&output.stdout).trim()))
        }
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
            Outcome::Bad(format!(
                "{} does not start: {text}; `cargo xtask setup` prepares libtorch",
                path.display()
            ))
        }
        Ok(Err(error)) => Outcome::Bad(format!("{} cannot be started: {error}", path.display())),
        Err(_) => Outcome::Bad(format!("{} does not answer within 60 s", path.display())),
    }
}

fn data_folder(data: &Path) -> Outcome {
    let shown = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let existing = shown.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    if rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_err() {
        return Outcome::Bad(format!(
            "{} cannot be written; choose another with --data DIR",
            existing.display()
        ));
    }
    let free = rustix::fs::statvfs(existing)
        .map_or_else(|_| "unknown".to_owned(), |disk| size(disk.f_bavail * disk.f_frsize));
    let up = lock::running_system(data)
        .map_or_else(String::new, |system| format!(", a system is up (process {})", system.pid));
    Outcome::Good(format!("{}, {free} free{up}", shown.display()))
}

async fn store(common: &Common) -> Outcome {
    let opened = open_store(common);
    match opened {
        Err(error) => Outcome::Bad(error.to_string()),
        Ok(store) => match tokio::time::timeout(Duration::from_secs(20), store.probe()).await {
            Ok(Ok(())) => Outcome::Good("writable, honours put-if-absent".to_owned()),
            Ok(Err(error)) => Outcome::Bad(error.to_string()),
            Err(_) => Outcome::Bad("does not answer within 20 s".to_owned()),
        },
    }
}

async fn coordinator(common: &Common) -> Outcome {
    let mut client = match Client::connect(common).await {
        Ok(client) => client,
        // `run` starts one by itself, so none is a fault only where one was named.
        Err(error) if common.coordinator.is_some() => {
            return Outcome::Bad(error.to_string().replace('\n', " "));
        }
        Err(_) => {
            return Outcome::Note(
                "none is up; `counterstain run` and `counterstain up` start one".to_owned(),
            );
        }
    };
    match client.jobs.list_workers(ListWorkersRequest {}).await {
        Ok(response) => {
            let workers = response.into_inner().workers;
            let list: Vec<String> = workers
                .iter()
                .map(|worker| {
                    let profile = worker.profile.clone().unwrap_or_default();
                    format!("{} ({}, {} threads)", worker.name, profile.device_class, profile.threads)
                })
                .collect();
            Outcome::Good(format!("{} workers: {}", workers.len(), list.join(", ")))
        }
        Err(status) => Outcome::Bad(status.message().to_owned()),
    }
}
