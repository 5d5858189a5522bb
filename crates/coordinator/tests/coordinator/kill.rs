//! The real binary: its face to whoever starts it, and that its sudden death loses nothing it acknowledged.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use counterstain_api::proto::job::v1::job_service_client::JobServiceClient;
use counterstain_api::proto::job::v1::worker_service_client::WorkerServiceClient;
use counterstain_api::proto::job::v1::*;
use counterstain_artifact::{ArtifactKind, CheckpointBody, ManifestParts, Store};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::support::{profile, request, train_generator};

/// A coordinator process that dies with its handle.
struct Process {
    child: Child,
    address: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterstain-coordinator"));
    let database = format!("sqlite:{}", folder.join("c.sqlite").display());
    command.args(["--listen", listen, "--database", &database, "--lease-seconds", "60"]);
    command.arg("--store").arg(folder.join("store"));
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = command(folder, "127.0.0.1:0").spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening on ").expect("the line that is waited for").to_owned();
        Self { child, address }
    }

    async fn channel(&self) -> Channel {
        counterstain_service::connect::eager(&format!("http://{}", self.address)).await.unwrap()
    }

    /// Sends a signal and waits for the end.
    fn end(&mut self, signal: &str) -> std::process::ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

async fn dataset(store: &Store) -> String {
    let body = serde_json::json!({
        "name": "d", "layers": [crate::support::layer_info("types")], "primary": "he", "classes": [],
        "splits": {"train": 1}, "samples": 1, "shards": [], "skipped": [], "source": {},
    });
    let manifest = ManifestParts::new(ArtifactKind::Dataset, &body).manifest(Vec::new());
    store.put_manifest(&manifest).await.unwrap().to_string()
}

async fn checkpoint(store: &Store, lease: &Lease, step: u64) -> String {
    let body = CheckpointBody {
        job_kind: "train_generator".to_owned(),
        step,
        epoch: 0,
        spec_digest: counterstain_api::Digest::of(b""),
        schema: 1,
    };
    let manifest = ManifestParts::new(ArtifactKind::Checkpoint, &body).manifest(Vec::new());
    store.checkpoint(&crate::support::place(lease, step)).put_manifest(&manifest).await.unwrap().to_string()
}

/// What was acknowledged before the process died.
#[derive(Default)]
struct Acknowledged {
    pipelines: Vec<String>,
    step: u64,
    checkpoint: String,
    metrics: u64,
    worker: String,
    lease: Option<Lease>,
}

/// Writes as fast as it can until the connection breaks.
async fn write(channel: Channel, store: Store, dataset: String, known: &mut Acknowledged, round: u64) {
    let mut jobs = JobServiceClient::new(channel.clone());
    let mut workers = WorkerServiceClient::new(channel);
    loop {
        let key = format!("round {round} number {}", known.pipelines.len());
        let name = format!("p{}", known.pipelines.len());
        let jobs_of_it =
            vec![request("generator", train_generator(&dataset, known.pipelines.len() as u64), false)];
        let submit = SubmitPipelineRequest { idempotency_key: key, name, jobs: jobs_of_it };
        let Ok(submitted) = jobs.submit_pipeline(submit).await else { return };
        known.pipelines.push(submitted.into_inner().pipeline.unwrap().id);

        let Some(lease) = &known.lease else {
            let register = RegisterRequest {
                name: "w".to_owned(),
                kinds: vec![JobKind::TrainGenerator.into()],
                profile: Some(profile(1).into()),
                address: String::new(),
            };
            let Ok(registered) = workers.register(register).await else { return };
            known.worker = registered.into_inner().worker_id;
            let ask = LeaseRequest { worker_id: known.worker.clone(), wait: None };
            let Ok(leased) = workers.lease(ask).await else { return };
            known.lease = leased.into_inner().lease;
            continue;
        };
        let reference = Some(LeaseRef {
            worker_id: known.worker.clone(),
            job_id: lease.job_id.clone(),
            part: lease.part,
            fence: lease.fence,
        });
        let step = known.step + 1;
        let metrics = vec![Metric { step, name: "loss".to_owned(), value: step as f64 }];
        let beat = HeartbeatRequest { lease: reference.clone(), metrics, ..HeartbeatRequest::default() };
        if workers.heartbeat(beat).await.is_err() {
            return;
        }
        known.metrics = step;
        let checkpoint = checkpoint(&store, lease, step).await;
        let commit = CommitCheckpointRequest { lease: reference, checkpoint: checkpoint.clone(), step };
        if workers.commit_checkpoint(commit).await.is_err() {
            return;
        }
        (known.step, known.checkpoint) = (step, checkpoint);
    }
}

async fn check(channel: Channel, known: &Acknowledged) {
    let mut jobs = JobServiceClient::new(channel);
    for id in &known.pipelines {
        jobs.get_pipeline(GetPipelineRequest { id: id.clone() }).await.expect("an acknowledged pipeline");
    }
    let Some(lease) = &known.lease else { return };
    let job =
        jobs.get_job(GetJobRequest { id: lease.job_id.clone() }).await.unwrap().into_inner().job.unwrap();
    let part = &job.parts[0];
    // What was written but not acknowledged may be there too.
    assert!(part.checkpoint_step == known.step || part.checkpoint_step == known.step + 1, "{part:?}");
    assert!(part.checkpoint == known.checkpoint || part.checkpoint_step > known.step);
    assert_eq!((part.state(), part.worker_id.as_str()), (PartState::Leased, known.worker.as_str()));
    let list = ListMetricsRequest { job_id: lease.job_id.clone(), names: Vec::new() };
    let metrics = jobs.list_metrics(list).await.unwrap().into_inner().metrics;
    let steps: Vec<u64> = metrics.iter().map(|metric| metric.step).collect();
    assert!(steps.len() as u64 >= known.metrics);
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_when_the_coordinator_is_killed() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path().join("store").to_str().unwrap()).unwrap();
    let dataset = dataset(&store).await;
    let mut known = Acknowledged::default();
    for round in 0..4 {
        let mut process = Process::start(folder.path());
        check(process.channel().await, &known).await;
        let before = known.pipelines.len();
        let channel = process.channel().await;
        let writing = write(channel, store.clone(), dataset.clone(), &mut known, round);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(500 + 130 * round)).await;
            process.end("-KILL")
        };
        let ((), status) = tokio::join!(writing, kill);
        assert!(!status.success());
        assert!(known.pipelines.len() > before + 3, "only {} writes", known.pipelines.len() - before);
    }
    let process = Process::start(folder.path());
    check(process.channel().await, &known).await;
    assert!(known.step > 10, "{} checkpoints", known.step);
}

#[tokio::test]
async fn a_signal_stops_it_cleanly_though_clients_are_connected() {
    for signal in ["-TERM", "-INT"] {
        let folder = TempDir::new().unwrap();
        let mut process = Process::start(folder.path());
        let mut workers = WorkerServiceClient::new(process.channel().await);
        let register = RegisterRequest {
            name: "w".to_owned(),
            kinds: vec![JobKind::Embed.into()],
            profile: Some(profile(1).into()),
            address: String::new(),
        };
        let worker_id = workers.register(register).await.unwrap().into_inner().worker_id;
        let wait = Some(prost_types::Duration { seconds: 30, nanos: 0 });
        let waiting = tokio::spawn(async move { workers.lease(LeaseRequest { worker_id, wait }).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        let started = Instant::now();
        let status = tokio::task::spawn_blocking(move || process.end(signal)).await.unwrap();
        assert!(status.success(), "{signal}: {status}");
        assert!(started.elapsed() < Duration::from_secs(5), "{signal}: {:?}", started.elapsed());
        assert!(waiting.await.unwrap().is_ok_and(|answer| answer.into_inner().lease.is_none()));
    }
}

#[test]
fn what_it_cannot_work_with_is_said_at_the_start() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    let port = taken.1.to_string();
    for (listen, code, says) in [("0.0.0.0:0", 2, "--allow-remote"), (port.as_str(), 4, "the port is in use")]
    {
        let output = command(folder.path(), listen).stderr(Stdio::piped()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(says), "{text}");
    }
    let running = Process::start(folder.path());
    let output = command(folder.path(), "127.0.0.1:0").stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("in use by another coordinator"), "{text}");
    drop(running);
}
