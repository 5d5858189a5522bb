//! Pipelines from submission to their end.

use counterstain_api::Digest;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::artifact::v1::GetLineageRequest;
use counterstain_api::proto::job::v1::{CancelJobRequest, JobRequest, JobState, RetryJobRequest};
use counterstain_artifact::{ArtifactKind, LayerBody};
use counterstain_coordinator::machine::Policy;

use crate::support::{
    System, answer, evaluate, generate_layer, patient, profile, request, train_encoder, train_generator,
};

/// Generator, layer, encoder, result.
fn chain(dataset: &Digest) -> Vec<JobRequest> {
    let dataset = dataset.to_string();
    vec![
        request("result", evaluate(&dataset, &["@trident"]), false),
        request("trident", train_encoder(&dataset, "@nuclei"), false),
        request("nuclei", generate_layer("@generator", &dataset), false),
        request("generator", train_generator(&dataset, 0), false),
    ]
}

#[tokio::test]
async fn a_pipeline_runs_to_its_end_in_the_order_of_its_needs() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 3).await;
    let jobs = system.submit("k", chain(&dataset)).await.unwrap().pipeline.unwrap().jobs;
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["generator", "nuclei", "trident", "result"]);
    assert_eq!(jobs[0].state(), JobState::Queued);
    assert_eq!(jobs[2].state(), JobState::Waiting);
    assert!(system.explain(&jobs[2].id).await[0].contains("waits for nuclei, which is waiting"));

    let worker = system.worker("w", &profile(2)).await;
    let mut outputs = Vec::new();
    for _ in 0..6 {
        let lease = worker.lease().await;
        outputs.push((lease.job_name.clone(), lease.part, lease.part_count, worker.finish(&lease).await));
    }
    let did: Vec<_> = outputs.iter().map(|(name, part, count, _)| (name.as_str(), *part, *count)).collect();
    let expected = [
        ("generator", 0, 1),
        ("nuclei", 0, 3),
        ("nuclei", 1, 3),
        ("nuclei", 2, 3),
        ("trident", 0, 1),
        ("result", 0, 1),
    ];
    assert_eq!(did, expected);
    assert!(worker.idles().await);

    // The layer was put together from its parts, in order, under the job's own key.
    let nuclei = system.reaches(&jobs[1].id, JobState::Succeeded).await;
    let layer = system.store.manifest(&nuclei.output.parse().unwrap()).await.unwrap();
    let body: LayerBody = layer.body_of(ArtifactKind::Layer).unwrap();
    assert_eq!((body.shards.len(), body.dataset), (3, dataset));
    let trident = system.job(&jobs[2].id).await;
    let spec = format!("{:?}", trident.spec);
    assert!(spec.contains(&nuclei.output) && !spec.contains('@'), "{spec}");

    // Lineage reaches from the result to the data.
    let result = system.reaches(&jobs[3].id, JobState::Succeeded).await;
    let name = result.output;
    let lineage = answer(system.artifacts.clone().get_lineage(GetLineageRequest { name }).await).unwrap();
    let kinds: Vec<&str> = lineage.artifacts.iter().map(|artifact| artifact.kind.as_str()).collect();
    assert_eq!(kinds, ["result", "encoder", "dataset", "layer", "generator"]);
    assert_eq!(lineage.artifacts[0].job_id, jobs[3].id);
    system.stop().await;
}

#[tokio::test]
async fn what_was_made_before_is_reused_unless_a_fresh_run_is_asked_for() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await;
    let worker = system.worker("w", &profile(2)).await;
    let first = system.submit("a", chain(&dataset)).await.unwrap().pipeline.unwrap();
    for _ in 0..4 {
        worker.finish(&worker.lease().await).await;
    }
    let again = system.submit("b", chain(&dataset)).await.unwrap().pipeline.unwrap();
    assert!(worker.idles().await);
    for (old, new) in first.jobs.iter().zip(&again.jobs) {
        let (old, new) = (system.job(&old.id).await, system.reaches(&new.id, JobState::Succeeded).await);
        assert!(new.reused && !old.reused && new.output == old.output, "{new:?}");
    }
    // Another profile makes another artifact.
    let other = system.worker("other", &profile(3)).await;
    system.submit("c", chain(&dataset)).await.unwrap();
    for name in ["generator", "nuclei", "trident", "result"] {
        let lease = other.lease().await;
        assert_eq!(lease.job_name, name);
        other.finish(&lease).await;
    }

    let mut fresh = chain(&dataset);
    fresh[3].fresh = true;
    system.submit("d", fresh).await.unwrap();
    assert_eq!(worker.lease().await.job_name, "generator");
    system.stop().await;
}

#[tokio::test]
async fn a_failed_job_blocks_its_dependants_until_it_is_retried() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await;
    let jobs = system.submit("k", chain(&dataset)).await.unwrap().pipeline.unwrap().jobs;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    let checkpoint = worker.checkpoint(&lease, 5).await.unwrap();
    worker.fail(&lease, ErrorCode::NonFinite, false).await.unwrap();

    let generator = system.job(&jobs[0].id).await;
    assert_eq!(generator.state(), JobState::Failed);
    assert_eq!(generator.failure.as_ref().unwrap().code, "non_finite");
    assert_eq!(generator.parts[0].checkpoint, checkpoint.to_string());
    let blocked = system.job(&jobs[1].id).await;
    assert_eq!(blocked.state(), JobState::Blocked);
    let why = blocked.failure.unwrap().message;
    assert!(why.contains("generator failed: it broke"), "{why}");
    assert_eq!(system.job(&jobs[3].id).await.state(), JobState::Blocked);

    // Retrying what is blocked retries what blocks it, from its last checkpoint.
    let retry = RetryJobRequest { id: jobs[3].id.clone(), fresh: false };
    answer(system.jobs.clone().retry_job(retry).await).unwrap();
    assert_eq!(system.job(&jobs[3].id).await.state(), JobState::Waiting);
    let lease = worker.lease().await;
    assert_eq!(
        (lease.job_name.as_str(), lease.checkpoint.unwrap().digest),
        ("generator", checkpoint.to_string())
    );
    system.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_stops_its_worker_and_blocks_its_dependants() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await;
    let jobs = system.submit("k", chain(&dataset)).await.unwrap().pipeline.unwrap().jobs;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    assert!(!worker.beat(&lease, Default::default()).await.unwrap().cancel);
    let cancel = CancelJobRequest { id: jobs[0].id.clone(), reason: "wrong data".to_owned() };
    let cancelled = answer(system.jobs.clone().cancel_job(cancel.clone()).await).unwrap().job.unwrap();
    assert_eq!(cancelled.state(), JobState::Cancelled);
    assert_eq!(cancelled.failure.unwrap().message, "wrong data");
    assert_eq!(system.job(&jobs[3].id).await.state(), JobState::Blocked);

    assert!(worker.beat(&lease, Default::default()).await.unwrap().cancel);
    let refused = worker.complete(&lease, &worker.make(&lease).await).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Cancelled);
    worker.release(&lease).await.unwrap();
    assert!(worker.idles().await);
    answer(system.jobs.clone().cancel_job(cancel).await).unwrap();
    system.stop().await;
}

#[tokio::test]
async fn an_attempt_that_fails_is_repeated_and_in_the_end_the_job_fails() {
    let system = System::start(Policy { backoff: 1_500, max_backoff: 1_500, ..patient() }).await;
    let id = system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    for attempt in 1..=3 {
        let lease = worker.lease().await;
        assert_eq!(lease.attempt, attempt);
        worker.fail(&lease, ErrorCode::Internal, true).await.unwrap();
        if attempt < 3 {
            assert!(system.explain(&id).await[0].contains("part 0 pauses for"));
        }
    }
    let job = system.job(&id).await;
    assert_eq!((job.state(), job.failed_attempts, job.lost_leases), (JobState::Failed, 3, 0));
    assert!(system.explain(&id).await[0].contains("it failed (internal): it broke"));
    system.stop().await;
}

#[tokio::test]
async fn what_is_not_the_jobs_output_is_refused() {
    let system = System::start(patient()).await;
    system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    let other = system.worker("other", &profile(9)).await;
    let mut wrong_kind = worker.output(&lease);
    wrong_kind.kind = ArtifactKind::Encoder;
    for (wrong, code) in [
        (system.store.put_manifest(&wrong_kind).await.unwrap(), ErrorCode::FailedPrecondition),
        (other.make(&lease).await, ErrorCode::InvalidArgument),
        (Digest::of(b"nothing"), ErrorCode::NotFound),
    ] {
        assert_eq!(worker.complete(&lease, &wrong).await.unwrap_err().code, code);
    }
    worker.finish(&lease).await;
    system.stop().await;
}
