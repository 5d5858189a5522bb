//! `WorkerService`: what workers and the coordinator say to each other.

use std::time::Duration;

use counterstain_api::error::{ApiError, ErrorCode, Violation};
use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1 as wire;
use counterstain_api::proto::job::v1::worker_service_server::WorkerService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{self, fault};
use super::principal::{Role, require};
use crate::limits;
use crate::machine::{Claim, Failure, JobId, Level};
use crate::scheduler::{Beat, Granted, Scheduler};
use crate::storage::{NewLogLine, Worker};

/// The service over a scheduler.
pub(super) struct Workers {
    scheduler: Scheduler,
}

type Answer<T> = Result<Response<T>, Status>;

impl Workers {
    pub fn new(scheduler: Scheduler) -> Self {
        Self { scheduler }
    }
}

#[tonic::async_trait]
impl WorkerService for Workers {
    async fn register(&self, request: Request<wire::RegisterRequest>) -> Answer<wire::RegisterResponse> {
        require(&request, Role::Worker)?;
        let request = request.into_inner();
        let mut violations = Vec::new();
        check_label("name", &request.name, &mut violations);
        check_label("address", &request.address, &mut violations);
        let kinds: Vec<wire::JobKind> = request.kinds().collect();
        if kinds.is_empty() || kinds.contains(&wire::JobKind::Unspecified) {
            violations.push(Violation::new("kinds", "must be at least one kind of job"));
        }
        let profile = request.profile.unwrap_or_default();
        check_label("profile.device_class", &profile.device_class, &mut violations);
        check_label("profile.libtorch", &profile.libtorch, &mut violations);
        if profile.device_class.is_empty() || profile.threads == 0 || profile.libtorch.is_empty() {
            violations.push(Violation::new("profile", "must say device class, threads and libtorch"));
        }
        refuse(violations)?;
        let now = self.scheduler.clock().now();
        let worker = Worker {
            id: Uuid::now_v7(),
            name: request.name,
            kinds,
            profile: profile.into(),
            address: request.address,
            registered_at: now,
            seen_at: now,
            holds: None,
        };
        let worker_id = worker.id.to_string();
        tracing::info!(worker = worker_id, name = worker.name, profile = %worker.profile, "registered");
        self.scheduler.register(worker).await?;
        // Two heartbeats may be lost before the lease is.
        let heartbeat_interval = Some(convert::duration(self.scheduler.policy().lease / 3));
        Ok(Response::new(wire::RegisterResponse { worker_id, heartbeat_interval }))
    }

    async fn lease(&self, request: Request<wire::LeaseRequest>) -> Answer<wire::LeaseResponse> {
        require(&request, Role::Worker)?;
        let wire::LeaseRequest { worker_id, wait } = request.into_inner();
        let worker = convert::id("worker_id", &worker_id)?;
        let wait = wait.unwrap_or_default();
        let wait = Duration::try_from(wait)
            .map_err(|_| fault("wait", "must not be negative"))?
            .min(limits::LONGEST_WAIT);
        let granted = self.scheduler.lease(worker, wait).await?;
        let lease = granted.map(|granted| lease(granted, self.scheduler.policy().lease));
        Ok(Response::new(wire::LeaseResponse { lease }))
    }

    async fn heartbeat(&self, request: Request<wire::HeartbeatRequest>) -> Answer<wire::HeartbeatResponse> {
        require(&request, Role::Worker)?;
        let request = request.into_inner();
        let (job, claim) = claim(request.lease.as_ref())?;
        let beat = beat(request)?;
        let cancel = self.scheduler.heartbeat(job, claim, beat).await?;
        let duration = Some(convert::duration(self.scheduler.policy().lease));
        Ok(Response::new(wire::HeartbeatResponse { duration, cancel }))
    }

    async fn commit_checkpoint(
        &self,
        request: Request<wire::CommitCheckpointRequest>,
    ) -> Answer<wire::CommitCheckpointResponse> {
        require(&request, Role::Worker)?;
        let wire::CommitCheckpointRequest { lease, checkpoint, step } = request.into_inner();
        let (job, claim) = claim(lease.as_ref())?;
        let digest = convert::digest("checkpoint", &checkpoint)?;
        check_step("step", step)?;
        self.scheduler.commit_checkpoint(job, claim, digest, step).await?;
        Ok(Response::new(wire::CommitCheckpointResponse {}))
    }

    async fn complete(&self, request: Request<wire::CompleteRequest>) -> Answer<wire::CompleteResponse> {
        require(&request, Role::Worker)?;
        let wire::CompleteRequest { lease, output } = request.into_inner();
        let (job, claim) = claim(lease.as_ref())?;
        let output = convert::digest("output", &output)?;
        self.scheduler.complete(job, claim, output).await?;
        Ok(Response::new(wire::CompleteResponse {}))
    }

    async fn fail(&self, request: Request<wire::FailRequest>) -> Answer<wire::FailResponse> {
        require(&request, Role::Worker)?;
        let wire::FailRequest { lease, code, message, retryable } = request.into_inner();
        let (job, claim) = claim(lease.as_ref())?;
        let code = ErrorCode::from_name(&code)
            .ok_or_else(|| fault("code", format!("is not an error code: {:?}", convert::clipped(&code))))?;
        let failure = Failure::new(code, limits::clip(&message));
        self.scheduler.fail(job, claim, failure, retryable).await?;
        Ok(Response::new(wire::FailResponse {}))
    }

    async fn release(&self, request: Request<wire::ReleaseRequest>) -> Answer<wire::ReleaseResponse> {
        require(&request, Role::Worker)?;
        let (job, claim) = claim(request.into_inner().lease.as_ref())?;
        self.scheduler.release(job, claim).await?;
        Ok(Response::new(wire::ReleaseResponse {}))
    }
}

fn lease(granted: Granted, duration: u64) -> wire::Lease {
    let Granted { job, part } = granted;
    let leased = &job.job.parts[part as usize];
    let checkpoint = leased.checkpoint.as_ref().map(|latest| wire::CheckpointRef {
        digest: latest.digest.to_string(),
        step: latest.step,
        fence: latest.fence,
    });
    wire::Lease {
        job_id: job.id.to_string(),
        pipeline_name: job.pipeline_name,
        job_name: job.name,
        part,
        part_count: u32::try_from(job.job.parts.len()).unwrap_or(u32::MAX),
        attempt: convert::attempt(leased.fence),
        fence: leased.fence,
        spec: Some(job.spec),
        checkpoint,
        duration: Some(convert::duration(duration)),
    }
}

fn claim(lease: Option<&wire::LeaseRef>) -> Result<(JobId, Claim), ApiError> {
    let lease = lease.ok_or_else(|| fault("lease", "is required"))?;
    let worker = convert::id("lease.worker_id", &lease.worker_id)?;
    let job = convert::id("lease.job_id", &lease.job_id)?;
    Ok((job, Claim { worker, part: lease.part, fence: lease.fence }))
}

fn beat(request: wire::HeartbeatRequest) -> Result<Beat, ApiError> {
    let wire::HeartbeatRequest { progress, metrics, logs, pictures, .. } = request;
    let mut violations = Vec::new();
    for (field, count) in [("metrics", metrics.len()), ("logs", logs.len())] {
        if count > limits::PER_HEARTBEAT {
            let what = format!("has {count} elements; at most {} fit a heartbeat", limits::PER_HEARTBEAT);
            violations.push(Violation::new(field, what));
        }
    }
    for (index, metric) in metrics.iter().enumerate() {
        let name = &metric.name;
        if name.is_empty() || name.len() > limits::METRIC_NAME || name.chars().any(char::is_control) {
            let wanted = format!("must be 1 to {} printable characters", limits::METRIC_NAME);
            violations.push(Violation::new(format!("metrics[{index}].name"), wanted));
        }
        violations.extend(step_fault(&format!("metrics[{index}].step"), metric.step));
    }
    check_pictures(&pictures, &mut violations);
    let progress = progress.map(|progress| Progress {
        phase: convert::clipped(&progress.phase),
        unit: convert::clipped(&progress.unit),
        ..progress
    });
    let logs: Vec<NewLogLine> = logs
        .into_iter()
        .map(|line| NewLogLine {
            at: 0,
            level: Level::from_name(&line.level).unwrap_or(Level::Info),
            message: limits::clip(&line.message),
            part: 0,
            attempt: 0,
            sequence: Some(line.sequence),
        })
        .collect();
    violations.truncate(20);
    refuse(violations)?;
    Ok(Beat { progress, metrics, logs, pictures })
}

fn check_pictures(pictures: &[wire::Picture], violations: &mut Vec<Violation>) {
    if pictures.len() > limits::PICTURES_PER_HEARTBEAT {
        let what = format!("has {} elements; at most {} fit", pictures.len(), limits::PICTURES_PER_HEARTBEAT);
        violations.push(Violation::new("pictures", what));
    }
    for (index, picture) in pictures.iter().enumerate() {
        let field = |name: &str| format!("pictures[{index}].{name}");
        check_label(&field("name"), &picture.name, violations);
        violations.extend(step_fault(&field("step"), picture.step));
        if picture.panels.len() > limits::PANELS {
            violations.push(Violation::new(field("panels"), format!("names more than {}", limits::PANELS)));
        }
        picture.panels.iter().for_each(|panel| check_label(&field("panels"), panel, violations));
        // The beginning of every PNG file.
        if picture.png.len() > limits::PICTURE || !picture.png.starts_with(b"\x89PNG\r\n\x1a\n") {
            let wanted = format!("must be a PNG of at most {} bytes", limits::PICTURE);
            violations.push(Violation::new(field("png"), wanted));
        }
    }
}

fn check_label(field: &str, text: &str, violations: &mut Vec<Violation>) {
    if text.chars().count() > limits::LABEL || text.chars().any(char::is_control) {
        let wanted = format!("must be at most {} printable characters", limits::LABEL);
        violations.push(Violation::new(field, wanted));
    }
}

fn check_step(field: &str, step: u64) -> Result<(), ApiError> {
    refuse(step_fault(field, step).into_iter().collect())
}

/// Databases count in signed 64-bit numbers.
fn step_fault(field: &str, step: u64) -> Option<Violation> {
    (i64::try_from(step).is_err()).then(|| Violation::new(field, "is greater than any run can reach"))
}

fn refuse(violations: Vec<Violation>) -> Result<(), ApiError> {
    if violations.is_empty() { Ok(()) } else { Err(ApiError::invalid("the request is faulty", violations)) }
}
