//! Starts and ends the local system.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use counterstain_api::error::{ApiError, ErrorCode};

use super::binaries::{self, COORDINATOR, SYNTHESIS, TRAINING, WORKERS};
use super::child::tail;
use super::lock::{Lock, RunningSystem};
use super::supervisor::{Ended, Program, Supervisor};
use crate::client::Client;
use crate::options::WorkerChoice;

/// How long the coordinator may take to answer for the first time.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Data folder.
    pub data: PathBuf,
    /// Location of the store.
    pub store: String,
    /// Address to listen on; none chooses a free port on the loopback interface.
    pub listen: Option<SocketAddr>,
    /// How workers compute.
    pub workers: WorkerChoice,
}

/// A running local system; dropping it ends it.
#[derive(Debug)]
pub struct LocalSystem {
    /// Where it is.
    pub running: RunningSystem,
    supervisor: Supervisor,
    // Released after the supervisor has ended the children (fields drop in order).
    _lock: Lock,
}

impl LocalSystem {
    /// Starts the coordinator, waits for it to answer, then starts the workers.
    ///
    /// # Errors
    /// `conflict` when a system is up on the folder or the port is in use; `not_found` when a program is
    /// missing; otherwise why the coordinator does not answer, with the end of its log.
    pub async fn start(options: &LocalOptions, on_end: impl Fn(Ended) + Send + 'static) -> Result<Self> {
        let coordinator_path = binaries::find(COORDINATOR)?;
        let worker_paths = WORKERS.iter().map(|name| binaries::find(name)).collect::<Result<Vec<_>>>()?;
        let data = std::path::absolute(&options.data)?;
        for folder in ["", "cache", "logs"] {
            let folder = data.join(folder);
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut lock = Lock::take(&data)?;
        let listen = free_address(options.listen)?;
        let url = format!("http://{listen}");
        let early_ends = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&early_ends);
        let supervisor = Supervisor::new(move |ended| {
            if ended.name == "coordinator" {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            on_end(ended);
        })?;

        let coordinator_log = data.join("logs/coordinator.log");
        supervisor.start(Program {
            name: "coordinator".to_owned(),
            path: coordinator_path,
            arguments: arguments(&[
                ("--listen", listen.to_string()),
                ("--database", format!("sqlite:{}", data.join("coordinator.sqlite").display())),
                ("--store", options.store.clone()),
            ]),
            log: coordinator_log.clone(),
            ends_last: true,
        })?;
        wait_until_it_answers(&url, &coordinator_log, &early_ends).await?;
        let running =
            RunningSystem { pid: std::process::id(), coordinator: url, store: options.store.clone() };
        lock.announce(&running)?;
        for (service, path) in WORKERS.iter().zip(worker_paths) {
            let count = match *service {
                TRAINING => options.workers.training_workers(),
                SYNTHESIS => options.workers.synthesis_workers.unwrap_or(1),
                _ => 1,
            };
            for number in 1..=count {
                supervisor.start(worker(service, number, path.clone(), &data, options, &running))?;
            }
        }
        Ok(Self { running, supervisor, _lock: lock })
    }

    /// Ends workers, then the coordinator, and waits for them.
    pub fn stop(&self) {
        self.supervisor.stop();
    }
}

fn worker(
    service: &str,
    number: u32,
    path: PathBuf,
    data: &Path,
    options: &LocalOptions,
    running: &RunningSystem,
) -> Program {
    let kind = service.trim_start_matches("counterstain-").to_owned();
    let name = if number == 1 { kind.clone() } else { format!("{kind}-{number}") };
    let pairs = [
        ("--coordinator", running.coordinator.clone()),
        ("--store", options.store.clone()),
        ("--name", name.clone()),
        ("--device", options.workers.device.clone()),
        // Workers of one kind share their cache.
        ("--cache-dir", data.join("cache").join(&kind).display().to_string()),
        ("--threads", options.workers.threads().to_string()),
    ];
    let log = data.join("logs").join(format!("{name}.log"));
    Program { name, path, arguments: arguments(&pairs), log, ends_last: false }
}

fn arguments(pairs: &[(&str, String)]) -> Vec<OsString> {
    pairs.iter().flat_map(|(key, value)| [OsString::from(key), OsString::from(value)]).collect()
}

/// The address to listen on, known to be free a moment ago.
fn free_address(wanted: Option<SocketAddr>) -> Result<SocketAddr> {
    let address = wanted.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = TcpListener::bind(address).map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::AddrInUse => ErrorCode::Conflict,
            _ => ErrorCode::InvalidArgument,
        };
        let what =
            if code == ErrorCode::Conflict { "is already in use".to_owned() } else { error.to_string() };
        ApiError::new(code, format!("cannot listen on {address}: the port {what}"))
            .help("stop the program that uses it, or choose another with --listen 127.0.0.1:PORT")
    })?;
    Ok(listener.local_addr()?)
}

/// Waits for the first answer; gives up early on a coordinator that keeps ending.
async fn wait_until_it_answers(url: &str, log: &Path, early_ends: &AtomicU32) -> Result<()> {
    let client = Client::lazy(url)?;
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match client.check().await {
            Ok(()) => return Ok(()),
            Err(status) => {
                let keeps_ending = early_ends.load(Ordering::Relaxed) >= 2;
                if keeps_ending || Instant::now() >= deadline {
                    let what = if keeps_ending {
                        "the coordinator does not start".to_owned()
                    } else {
                        let seconds = START_PATIENCE.as_secs();
                        format!("the coordinator did not answer within {seconds} s ({})", status.message())
                    };
                    let text = format!("{what}; the end of {}:\n{}", log.display(), tail(log, 10));
                    return Err(ApiError::new(ErrorCode::Unavailable, text).into());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
