//! Between the coordinator's types and the messages.

use counterstain_api::error::{ApiError, ErrorCode, Violation};
use counterstain_api::proto::artifact::v1 as artifact;
use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1 as wire;
use uuid::Uuid;

use crate::limits;
use crate::machine::{Job, JobState, Millis, Part, PartState};
use crate::storage::{Artifact, JobView, LogRecord, Pipeline, Worker};

pub(super) fn timestamp(at: Millis) -> prost_types::Timestamp {
    let seconds = i64::try_from(at / 1_000).unwrap_or(i64::MAX);
    prost_types::Timestamp { seconds, nanos: (at % 1_000) as i32 * 1_000_000 }
}

pub(super) fn duration(time: Millis) -> prost_types::Duration {
    let seconds = i64::try_from(time / 1_000).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: (time % 1_000) as i32 * 1_000_000 }
}

pub(super) fn state(state: JobState) -> wire::JobState {
    match state {
        JobState::Waiting => wire::JobState::Waiting,
        JobState::Queued => wire::JobState::Queued,
        JobState::Running => wire::JobState::Running,
        JobState::Succeeded => wire::JobState::Succeeded,
        JobState::Failed => wire::JobState::Failed,
        JobState::Cancelled => wire::JobState::Cancelled,
        JobState::Blocked => wire::JobState::Blocked,
    }
}

pub(super) fn state_from(state: wire::JobState) -> Option<JobState> {
    JobState::ALL.into_iter().find(|known| self::state(*known) == state)
}

/// A job with all its parts.
pub(super) fn job(view: &JobView) -> wire::Job {
    let stored = &view.stored;
    let parts = stored.job.parts.iter().zip(0..).map(|(part, index)| self::part(part, index)).collect();
    wire::Job {
        id: stored.id.to_string(),
        pipeline_id: stored.pipeline.to_string(),
        pipeline_name: stored.pipeline_name.clone(),
        name: stored.name.clone(),
        kind: stored.kind.into(),
        state: state(stored.job.state).into(),
        spec: Some(stored.spec.clone()),
        after: stored.after.clone(),
        progress: progress(&stored.job, &view.progress),
        parts,
        output: stored.job.output.map(|digest| digest.to_string()).unwrap_or_default(),
        reused: stored.job.reused,
        failure: stored.job.failure.as_ref().map(|failure| wire::Failure {
            code: failure.code.as_str().to_owned(),
            message: failure.message.clone(),
        }),
        failed_attempts: stored.job.failed_attempts,
        lost_leases: stored.job.lost_leases,
        created_at: Some(timestamp(stored.created_at)),
        started_at: stored.job.started_at.map(timestamp),
        ended_at: stored.job.ended_at.map(timestamp),
        metrics: view.metrics.clone().into_iter().collect(),
    }
}

/// A job as one of many: without its parts where these are very many.
pub(super) fn job_in_list(view: &JobView) -> wire::Job {
    let mut job = job(view);
    if job.parts.len() > limits::PARTS_IN_LISTS {
        job.parts.clear();
    }
    job
}

fn part(part: &Part, index: u32) -> wire::Part {
    let (state, worker, output) = match &part.state {
        PartState::Pending { .. } => (wire::PartState::Pending, None, None),
        PartState::Leased(lease) => (wire::PartState::Leased, Some(lease.worker), None),
        PartState::Done { output } => (wire::PartState::Done, None, Some(output)),
        PartState::Failed => (wire::PartState::Failed, None, None),
    };
    wire::Part {
        index,
        state: state.into(),
        worker_id: worker.map(|id| id.to_string()).unwrap_or_default(),
        checkpoint: part.checkpoint.as_ref().map(|latest| latest.digest.to_string()).unwrap_or_default(),
        checkpoint_step: part.checkpoint.as_ref().map_or(0, |latest| latest.step),
        output: output.map(ToString::to_string).unwrap_or_default(),
        attempt: attempt(part.fence),
    }
}

/// One lease is one attempt, so the fence numbers them.
pub(super) fn attempt(fence: u64) -> u32 {
    u32::try_from(fence).unwrap_or(u32::MAX)
}

/// Progress of a job: that of its only part, or the number of parts that are done.
fn progress(job: &Job, parts: &[Option<Progress>]) -> Option<Progress> {
    if let [only] = parts {
        return only.clone();
    }
    if parts.is_empty() {
        return None;
    }
    let done = job.parts.iter().filter(|part| matches!(part.state, PartState::Done { .. })).count();
    let phase = parts.iter().flatten().last().map(|progress| progress.phase.clone()).unwrap_or_default();
    let rates: Vec<f64> = job
        .parts
        .iter()
        .zip(parts)
        .filter(|(part, _)| matches!(part.state, PartState::Leased(_)))
        .filter_map(|(_, progress)| progress.as_ref())
        .filter(|progress| progress.total > 0)
        .filter_map(|progress| Some(progress.rate? / progress.total as f64))
        .collect();
    let begun: f64 = job
        .parts
        .iter()
        .zip(parts)
        .filter(|(part, _)| matches!(part.state, PartState::Leased(_)))
        .filter_map(|(_, progress)| progress.as_ref())
        .filter(|progress| progress.total > 0)
        .map(|progress| progress.done as f64 / progress.total as f64)
        .sum();
    let rate = Some(rates.iter().sum::<f64>()).filter(|rate| *rate > 0.0);
    let left = (job.parts.len() - done) as f64 - begun;
    Some(Progress {
        phase,
        done: done as u64,
        total: job.parts.len() as u64,
        unit: "parts".to_owned(),
        eta_seconds: rate.map(|rate| left.max(0.0) / rate),
        rate,
    })
}

pub(super) fn pipeline(pipeline: &Pipeline, jobs: &[JobView]) -> wire::Pipeline {
    wire::Pipeline {
        id: pipeline.id.to_string(),
        name: pipeline.name.clone(),
        jobs: jobs.iter().map(job_in_list).collect(),
        created_at: Some(timestamp(pipeline.created_at)),
    }
}

pub(super) fn log(record: LogRecord) -> wire::StreamLogsResponse {
    let line = record.line;
    wire::StreamLogsResponse {
        cursor: record.cursor.to_string(),
        line: Some(wire::LogLine {
            at: Some(timestamp(line.at)),
            level: line.level.name().to_owned(),
            message: line.message,
            part: line.part,
            attempt: attempt(line.attempt),
        }),
    }
}

pub(super) fn worker(worker: Worker) -> wire::Worker {
    wire::Worker {
        id: worker.id.to_string(),
        name: worker.name,
        kinds: worker.kinds.into_iter().map(Into::into).collect(),
        profile: Some(worker.profile.into()),
        address: worker.address,
        registered_at: Some(timestamp(worker.registered_at)),
        seen_at: Some(timestamp(worker.seen_at)),
        job_id: worker.holds.map(|(job, _)| job.to_string()).unwrap_or_default(),
        part: worker.holds.map(|(_, part)| part).unwrap_or_default(),
    }
}

pub(super) fn artifact(known: Artifact) -> artifact::Artifact {
    artifact::Artifact {
        digest: known.digest.to_string(),
        kind: known.kind,
        key: known.key.unwrap_or_default(),
        manifest: known.manifest,
        tags: known.tags,
        job_id: known.job.map(|id| id.to_string()).unwrap_or_default(),
        created_at: Some(timestamp(known.created_at)),
    }
}

/// A field that holds an id.
pub(super) fn id(field: &str, text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| fault(field, format!("must be an id (a UUID), not {:?}", clipped(text))))
}

/// A field that holds a digest.
pub(super) fn digest(field: &str, text: &str) -> Result<counterstain_api::Digest, ApiError> {
    text.parse().map_err(|_| fault(field, format!("must be a digest (sha256:…), not {:?}", clipped(text))))
}

/// A request with one faulty field.
pub(super) fn fault(field: &str, description: impl Into<String>) -> ApiError {
    ApiError::invalid("the request is faulty", vec![Violation::new(field, description)])
}

pub(super) fn not_found(what: &str, name: &str) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no {what} {:?}", clipped(name)))
}

pub(super) fn clipped(text: &str) -> String {
    text.chars().take(limits::LABEL).collect()
}

/// The size of a page.
pub(super) fn page_size(asked: u32) -> Result<u32, ApiError> {
    match asked {
        0 => Ok(limits::DEFAULT_PAGE),
        1..=limits::LARGEST_PAGE => Ok(asked),
        _ => Err(fault("page_size", format!("must be at most {}, not {asked}", limits::LARGEST_PAGE))),
    }
}
