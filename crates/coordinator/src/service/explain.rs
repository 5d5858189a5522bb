//! Why a job is not running: reasons for people, most telling first.

use counterstain_api::error::ApiError;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::spec;

use crate::limits;
use crate::machine::{JobState, PartState};
use crate::scheduler::Scheduler;
use crate::storage::{StoredJob, Worker};

/// The reasons why a job stands where it stands.
pub(super) async fn explain(scheduler: &Scheduler, job: &StoredJob) -> Result<Vec<String>, ApiError> {
    match job.job.state {
        JobState::Waiting if job.job.needs.is_empty() => {
            Ok(vec!["the manifest of its dataset is being read, to make one part for each shard".to_owned()])
        }
        JobState::Waiting => waiting(scheduler, job).await,
        JobState::Blocked => {
            let mut reasons = ended(job, "is blocked");
            reasons.push("retry it, or the job that blocks it, once the cause is mended".to_owned());
            Ok(reasons)
        }
        JobState::Failed => {
            let mut reasons = ended(job, "failed");
            reasons.push("retry it once the cause is mended; it goes on from its last checkpoint".to_owned());
            Ok(reasons)
        }
        JobState::Cancelled => Ok(ended(job, "was cancelled")),
        JobState::Succeeded if job.job.reused => {
            Ok(vec!["it has succeeded: an artifact with the same job key existed and was reused".to_owned()])
        }
        JobState::Succeeded => Ok(vec!["it has succeeded".to_owned()]),
        JobState::Queued | JobState::Running => in_hand(scheduler, job).await,
    }
}

fn ended(job: &StoredJob, verb: &str) -> Vec<String> {
    let why = job
        .job
        .failure
        .as_ref()
        .map_or_else(String::new, |failure| format!(" ({}): {}", failure.code, failure.message));
    vec![format!("it {verb}{why}")]
}

async fn waiting(scheduler: &Scheduler, job: &StoredJob) -> Result<Vec<String>, ApiError> {
    let needs: Vec<_> = job.job.needs.iter().copied().collect();
    let needed = scheduler.storage().jobs(&needs).await?;
    Ok(needed
        .iter()
        .map(|view| format!("it waits for {}, which is {}", view.stored.name, view.stored.job.state.name()))
        .collect())
}

async fn in_hand(scheduler: &Scheduler, job: &StoredJob) -> Result<Vec<String>, ApiError> {
    if job.job.is_to_assemble() {
        return Ok(vec!["all its parts are done; its output is being assembled from them".to_owned()]);
    }
    let now = scheduler.clock().now();
    let mut reasons = Vec::new();
    let leased = job.job.leases().count();
    if leased > 0 {
        reasons.push(format!("{leased} of its {} parts are being worked on", job.job.parts.len()));
    }
    let mut free = 0;
    for (part, index) in job.job.parts.iter().zip(0_u32..) {
        match part.state {
            PartState::Pending { not_before } if not_before > now => {
                let seconds = (not_before - now).div_ceil(1_000);
                let failures = part.failures;
                let text =
                    format!("part {index} pauses for {seconds} s after failed attempt number {failures}");
                reasons.push(text);
            }
            PartState::Pending { .. } => free += 1,
            _ => {}
        }
    }
    if free > 0 {
        let connected_since = now
            .saturating_sub(crate::clock::millis(2 * limits::LONGEST_WAIT))
            .saturating_sub(scheduler.policy().lease);
        let workers = scheduler.storage().workers(connected_since).await?;
        reasons.push(no_worker(job, &workers));
    }
    Ok(reasons)
}

/// Why nobody takes the free parts.
fn no_worker(job: &StoredJob, workers: &[Worker]) -> String {
    let kind = spec::kind_name(job.kind);
    let able: Vec<&Worker> = workers.iter().filter(|worker| worker.kinds.contains(&job.kind)).collect();
    if able.is_empty() {
        return format!("no worker that does {kind} is connected; start a {} worker", service(job.kind));
    }
    let Some(profile) = &job.job.profile else { return busy(&able, kind) };
    let fitting: Vec<&Worker> = able.iter().copied().filter(|worker| worker.profile == *profile).collect();
    if !fitting.is_empty() {
        return busy(&fitting, kind);
    }
    let why = if job.job.has_commits() {
        "a checkpoint or the output of a part was committed under it"
    } else {
        "other parts are being worked on under it"
    };
    let others: Vec<String> =
        able.iter().map(|worker| format!("{} ({})", worker.name, worker.profile)).collect();
    format!(
        "it goes on only under the compute profile {profile}, since {why}; connected are {}; start a worker \
         with that profile, or retry the job fresh",
        others.join("; ")
    )
}

fn busy(workers: &[&Worker], kind: &str) -> String {
    let idle = workers.iter().filter(|worker| worker.holds.is_none()).count();
    if idle > 0 {
        return format!("it is about to be taken by one of {idle} idle workers that do {kind}");
    }
    format!("all {} connected workers that could do it are busy", workers.len())
}

fn service(kind: JobKind) -> &'static str {
    match kind {
        JobKind::TrainGenerator | JobKind::TrainSegmenter | JobKind::GenerateLayer => "synthesis",
        JobKind::TrainEncoder => "training",
        JobKind::Embed | JobKind::Evaluate | JobKind::EvaluateGenerator => "evaluation",
        JobKind::Unspecified => "suitable",
    }
}

#[cfg(test)]
mod tests {
    use counterstain_api::Profile;
    use counterstain_api::proto::job::v1::JobSpec;
    use uuid::Uuid;

    use super::*;
    use crate::machine::{Checkpoint, Job, Part};

    fn profile(threads: u32) -> Profile {
        Profile { device_class: "cpu/avx2".to_owned(), threads, libtorch: "2.13.0".to_owned(), revision: 1 }
    }

    fn worker(name: &str, threads: u32) -> Worker {
        Worker {
            id: Uuid::now_v7(),
            name: name.to_owned(),
            kinds: vec![JobKind::TrainEncoder],
            profile: profile(threads),
            address: String::new(),
            registered_at: 0,
            seen_at: 0,
            holds: None,
        }
    }

    fn job() -> StoredJob {
        let digest = counterstain_api::Digest::of(b"checkpoint");
        let mut job = Job::new([].into(), false, false);
        let checkpoint = Some(Checkpoint { digest, step: 5, fence: 1 });
        job.parts = vec![Part { state: PartState::FREE, fence: 1, checkpoint, failures: 0, lost: 0 }];
        job.profile = Some(profile(2));
        StoredJob {
            id: Uuid::now_v7(),
            pipeline: Uuid::now_v7(),
            pipeline_name: "p".to_owned(),
            name: "encoder".to_owned(),
            kind: JobKind::TrainEncoder,
            spec: JobSpec::default(),
            after: Vec::new(),
            created_at: 0,
            revision: 1,
            job,
        }
    }

    #[test]
    fn a_job_that_is_bound_to_a_profile_names_it_and_who_is_there_instead() {
        let reason = no_worker(&job(), &[worker("big", 8)]);
        for expected in
            ["cpu/avx2, 2 threads", "a checkpoint", "big (cpu/avx2, 8 threads", "retry the job fresh"]
        {
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn missing_and_busy_workers_are_told_apart() {
        assert!(no_worker(&job(), &[]).contains("start a training worker"));
        let idle = worker("small", 2);
        assert!(no_worker(&job(), std::slice::from_ref(&idle)).contains("about to be taken"));
        let busy = Worker { holds: Some((Uuid::now_v7(), 0)), ..idle };
        assert!(no_worker(&job(), &[busy]).contains("are busy"));
    }
}
