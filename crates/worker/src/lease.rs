//! One lease: the compute thread, the heartbeats beside it, and the end that the coordinator hears of.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::artifact::v1::artifact_service_client::ArtifactServiceClient;
use counterstain_api::proto::job::v1::worker_service_client::WorkerServiceClient;
use counterstain_api::proto::job::v1::{
    CheckpointRef, CompleteRequest, FailRequest, HeartbeatRequest, Lease, LeaseRef, ReleaseRequest,
};
use counterstain_api::{Digest, Profile};
use counterstain_artifact::dataset::Reader;
use counterstain_artifact::{CheckpointPlace, PlacedCheckpoint, Store};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::control::{Backoff, Remote, refused};
use crate::report::{Current, Report, StatusHandle, Stop};
use crate::{Engine, Task, TaskError};

/// Metrics and log lines of one heartbeat.
const BATCH: usize = 5_000;
/// The coordinator gets the end of a part within this time, or the process goes on without.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// What all leases of a process share.
#[derive(Clone)]
pub(crate) struct Workplace {
    pub workers: WorkerServiceClient<Channel>,
    pub artifacts: ArtifactServiceClient<Channel>,
    pub engine: Arc<dyn Engine>,
    pub profile: Profile,
    pub store: Store,
    pub reader: Reader,
    pub cache_dir: PathBuf,
    pub status: StatusHandle,
    pub checkpoint_interval: Duration,
    pub shutdown: CancellationToken,
}

/// Works on a part until it is done, failed, lost or given back.
pub(crate) async fn work(place: &Workplace, worker_id: &str, heartbeat: Duration, lease: Lease) {
    let reference = LeaseRef {
        worker_id: worker_id.to_owned(),
        job_id: lease.job_id.clone(),
        part: lease.part,
        fence: lease.fence,
    };
    tracing::info!(
        job = lease.job_name,
        id = lease.job_id,
        part = lease.part,
        attempt = lease.attempt,
        "started"
    );
    let report = Arc::new(Report::default());
    let current = Current { job_id: lease.job_id.clone(), part: lease.part, report: report.clone() };
    place.status.set(Some(current));
    let mut done = match new_task(place, &lease, &reference, &report) {
        Ok(task) => compute(place.engine.clone(), task),
        Err(error) => {
            let (sender, receiver) = oneshot::channel();
            let _ = sender.send(Err(error));
            receiver
        }
    };

    let mut ticks = tokio::time::interval(heartbeat);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let outcome = loop {
        tokio::select! {
            outcome = &mut done => break outcome,
            () = place.shutdown.cancelled(), if report.stopped().is_none() => report.stop(Stop::ShuttingDown),
            _ = ticks.tick() => beat(place, &reference, &report).await,
        }
    };
    let outcome =
        outcome.unwrap_or_else(|_| Err(TaskError::new(ErrorCode::Internal, "the compute thread vanished")));
    let label = match &outcome {
        Ok(_) => "finished",
        Err(error) if error.is_stop() => "stopped",
        Err(_) => "failed",
    };
    tracing::info!(job = lease.job_name, id = lease.job_id, part = lease.part, "{label}");
    conclude(place, &reference, &report, outcome).await;
    place.status.set(None);
}

fn new_task(
    place: &Workplace,
    lease: &Lease,
    reference: &LeaseRef,
    report: &Arc<Report>,
) -> Result<Task, TaskError> {
    let faulty = |what: &str| TaskError::new(ErrorCode::Internal, format!("the lease's {what} is faulty"));
    let placed = |saved: &CheckpointRef| {
        let digest = saved.digest.parse().map_err(|_| faulty("checkpoint"))?;
        let (job, part) = (lease.job_id.clone(), lease.part);
        let place = CheckpointPlace { job, part, fence: saved.fence, step: saved.step };
        Ok::<_, TaskError>(PlacedCheckpoint { digest, place })
    };
    let checkpoint = lease.checkpoint.as_ref().map(placed).transpose()?;
    Ok(Task {
        job_id: lease.job_id.clone(),
        part: lease.part,
        part_count: lease.part_count,
        attempt: lease.attempt,
        fence: lease.fence,
        spec: lease.spec.clone().ok_or_else(|| faulty("spec"))?,
        checkpoint,
        profile: place.profile.clone(),
        store: place.store.clone(),
        reader: place.reader.clone(),
        cache_dir: place.cache_dir.clone(),
        handle: tokio::runtime::Handle::current(),
        control: Arc::new(Remote {
            workers: place.workers.clone(),
            artifacts: place.artifacts.clone(),
            lease: reference.clone(),
        }),
        report: report.clone(),
        checkpoint_interval: place.checkpoint_interval,
        last_checkpoint: Mutex::new(Instant::now()),
    })
}

/// Runs the engine on a thread of its own, never on tokio's.
fn compute(engine: Arc<dyn Engine>, task: Task) -> oneshot::Receiver<Result<Digest, TaskError>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("compute".to_owned())
        .stack_size(64 << 20)
        .spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| engine.run(&task)));
            let outcome = outcome.unwrap_or_else(|panic| {
                let message = panic_message(panic.as_ref());
                Err(TaskError::new(ErrorCode::Internal, format!("the computation panicked: {message}")))
            });
            let _ = sender.send(outcome);
        })
        .expect("the system can start a thread");
    receiver
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// One heartbeat. Without an answer the work goes on: the fence decides later whether it still counts.
async fn beat(place: &Workplace, lease: &LeaseRef, report: &Report) {
    let batch = report.batch(BATCH);
    let request = HeartbeatRequest {
        lease: Some(lease.clone()),
        progress: Some(batch.progress.clone()),
        metrics: batch.metrics.clone(),
        logs: batch.logs.clone(),
        pictures: batch.pictures.clone(),
    };
    match place.workers.clone().heartbeat(request).await {
        Ok(answer) => {
            report.acknowledge(&batch);
            if answer.into_inner().cancel {
                report.stop(Stop::Cancelled);
            }
        }
        Err(status) => {
            let error = refused(status);
            match error.code {
                ErrorCode::StaleFence | ErrorCode::NotFound => report.stop(Stop::LeaseLost),
                ErrorCode::InvalidArgument => {
                    // What cannot be kept must not block what can.
                    tracing::warn!("a heartbeat was refused: {error}");
                    report.acknowledge(&batch);
                }
                _ => tracing::warn!("no answer to a heartbeat: {error}"),
            }
        }
    }
}

/// Tells the coordinator how the part ended.
async fn conclude(place: &Workplace, lease: &LeaseRef, report: &Report, outcome: Result<Digest, TaskError>) {
    let started = Instant::now();
    let mut backoff = Backoff::new();
    while report.stopped() != Some(Stop::LeaseLost) {
        if !report.is_flushed() {
            beat(place, lease, report).await;
        }
        let answer = tell(place, lease, &outcome).await;
        match answer {
            Ok(()) => return,
            Err(error) if error.code == ErrorCode::Unavailable => {
                if place.shutdown.is_cancelled() && started.elapsed() > LAST_WORDS {
                    return;
                }
                tokio::time::sleep(backoff.next()).await;
            }
            Err(error) => {
                tracing::warn!(job = lease.job_id, part = lease.part, "the part's end was refused: {error}");
                return;
            }
        }
    }
}

async fn tell(
    place: &Workplace,
    lease: &LeaseRef,
    outcome: &Result<Digest, TaskError>,
) -> Result<(), crate::Refused> {
    let mut workers = place.workers.clone();
    let lease = Some(lease.clone());
    match outcome {
        Ok(output) => {
            let request = CompleteRequest { lease: lease.clone(), output: output.to_string() };
            let Err(status) = workers.complete(request).await else { return Ok(()) };
            let error = refused(status);
            if matches!(error.code, ErrorCode::Unavailable | ErrorCode::StaleFence) {
                return Err(error);
            }
            // The output itself was refused (its key or kind is wrong): that is a failure of the part.
            let code = error.code.as_str().to_owned();
            let request = FailRequest { lease, code, message: error.to_string(), retryable: false };
            workers.fail(request).await.map_err(refused)?;
        }
        Err(error) if error.is_stop() => {
            workers.release(ReleaseRequest { lease }).await.map_err(refused)?;
        }
        Err(error) => {
            let code = error.code.as_str().to_owned();
            let request =
                FailRequest { lease, code, message: error.message.clone(), retryable: error.retryable };
            workers.fail(request).await.map_err(refused)?;
        }
    }
    Ok(())
}
