//! What the coordinator says, as JSON for `--json`.

use counterstain_api::proto::artifact::v1::Artifact;
use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1::{Job, JobKind, JobState, PartState, Worker};
use counterstain_api::spec;
use serde_json::{Value, json};

use crate::output::time_json;

/// Name of a state: `queued`, `running` ...
pub fn state_name(state: JobState) -> String {
    state.as_str_name().trim_start_matches("JOB_STATE_").to_ascii_lowercase()
}

/// The state of that name.
pub fn state_from_name(name: &str) -> Option<JobState> {
    JobState::from_str_name(&format!("JOB_STATE_{}", name.to_ascii_uppercase()))
        .filter(|state| *state != JobState::Unspecified)
}

/// Whether a job in this state will do nothing more by itself.
pub fn has_ended(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Blocked)
}

fn kind_name(kind: i32) -> &'static str {
    spec::kind_name(JobKind::try_from(kind).unwrap_or(JobKind::Unspecified))
}

fn progress(progress: Option<&Progress>) -> Value {
    progress.map_or(Value::Null, |progress| {
        json!({ "phase": progress.phase, "done": progress.done, "total": progress.total, "unit": progress.unit,
                "eta_seconds": progress.eta_seconds, "rate": progress.rate })
    })
}

/// A job.
pub fn job(job: &Job) -> Value {
    let parts: Vec<Value> = job
        .parts
        .iter()
        .map(|part| {
            let state = PartState::try_from(part.state).unwrap_or(PartState::Unspecified);
            json!({ "index": part.index, "state": state.as_str_name().trim_start_matches("PART_STATE_").to_ascii_lowercase(),
                    "worker_id": part.worker_id, "checkpoint": part.checkpoint, "checkpoint_step": part.checkpoint_step,
                    "output": part.output, "attempt": part.attempt })
        })
        .collect();
    let failure =
        job.failure.as_ref().map(|failure| json!({ "code": failure.code, "message": failure.message }));
    let mut metrics: Vec<_> = job.metrics.iter().collect();
    metrics.sort_by(|first, second| first.0.cmp(second.0));
    let metrics: serde_json::Map<String, Value> =
        metrics.into_iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "id": job.id,
        "pipeline_id": job.pipeline_id,
        "pipeline_name": job.pipeline_name,
        "name": job.name,
        "kind": kind_name(job.kind),
        "state": state_name(job.state()),
        "spec": job.spec.as_ref().map_or(Value::Null, spec::to_json),
        "after": job.after,
        "progress": progress(job.progress.as_ref()),
        "parts": parts,
        "output": if job.output.is_empty() { Value::Null } else { json!(job.output) },
        "reused": job.reused,
        "failure": failure,
        "failed_attempts": job.failed_attempts,
        "lost_leases": job.lost_leases,
        "created_at": time_json(job.created_at.as_ref()),
        "started_at": time_json(job.started_at.as_ref()),
        "ended_at": time_json(job.ended_at.as_ref()),
        "metrics": metrics,
    })
}

/// A worker.
pub fn worker(worker: &Worker) -> Value {
    let profile = worker.profile.as_ref().map(|profile| {
        json!({ "device_class": profile.device_class, "threads": profile.threads, "libtorch": profile.libtorch })
    });
    json!({
        "id": worker.id,
        "name": worker.name,
        "kinds": worker.kinds.iter().map(|&kind| kind_name(kind)).collect::<Vec<_>>(),
        "profile": profile,
        "address": worker.address,
        "registered_at": time_json(worker.registered_at.as_ref()),
        "seen_at": time_json(worker.seen_at.as_ref()),
        "job_id": worker.job_id,
        "part": worker.part,
    })
}

/// An artifact with its manifest.
pub fn artifact(artifact: &Artifact) -> Value {
    let manifest = serde_json::from_str::<Value>(&artifact.manifest).unwrap_or(Value::Null);
    json!({
        "digest": artifact.digest,
        "kind": artifact.kind,
        "key": artifact.key,
        "tags": artifact.tags,
        "job_id": artifact.job_id,
        "created_at": time_json(artifact.created_at.as_ref()),
        "manifest": manifest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_names_round_trip() {
        for state in [JobState::Waiting, JobState::Queued, JobState::Running, JobState::Blocked] {
            assert_eq!(state_from_name(&state_name(state)), Some(state));
        }
        assert_eq!(state_from_name("unspecified"), None);
    }
}
