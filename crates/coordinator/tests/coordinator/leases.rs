//! Leases: who holds what, and what becomes of it.

use std::time::{Duration, Instant};

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::{JobKind, JobState, ListWorkersRequest, PartState};
use counterstain_artifact::{ArtifactKind, ManifestParts};
use serde_json::json;

use crate::support::{System, answer, generate_layer, impatient, patient, profile, request, train_generator};

#[tokio::test]
async fn a_worker_that_dies_is_replaced_and_the_work_goes_on_from_its_checkpoint() {
    let system = System::start(impatient(300)).await;
    let id = system.submit_generator(1).await;
    let (first, second) = (system.worker("a", &profile(2)).await, system.worker("b", &profile(2)).await);
    let lease = first.lease().await;
    let checkpoint = first.checkpoint(&lease, 10).await.unwrap();

    let next = second.lease().await; // comes when the first lease is over
    assert_eq!((next.fence, next.attempt), (lease.fence + 1, lease.attempt + 1));
    assert_eq!(next.checkpoint.clone().unwrap().digest, checkpoint.to_string());

    // The first worker was only slow: whatever it writes now is refused and changes nothing.
    let stale = ErrorCode::StaleFence;
    assert_eq!(first.beat(&lease, Default::default()).await.unwrap_err().code, stale);
    assert_eq!(first.checkpoint(&lease, 99).await.unwrap_err().code, stale);
    assert_eq!(first.fail(&lease, ErrorCode::Internal, false).await.unwrap_err().code, stale);
    assert_eq!(first.release(&lease).await.unwrap_err().code, stale);
    let output = first.make(&lease).await;
    assert_eq!(first.complete(&lease, &output).await.unwrap_err().code, stale);
    let job = system.job(&id).await;
    assert_eq!((job.state(), job.parts[0].checkpoint_step), (JobState::Running, 10));
    assert_eq!((job.lost_leases, job.failed_attempts), (1, 0));

    second.complete(&next, &output).await.unwrap();
    second.complete(&next, &output).await.unwrap();
    assert_eq!(system.job(&id).await.state(), JobState::Succeeded);
    system.stop().await;
}

#[tokio::test]
async fn heartbeats_keep_a_lease() {
    let system = System::start(impatient(400)).await;
    let id = system.submit_generator(1).await;
    let worker = system.worker("a", &profile(2)).await;
    let lease = worker.lease().await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1_200) {
        worker.beat(&lease, Default::default()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(system.job(&id).await.lost_leases, 0);
    system.stop().await;
}

#[tokio::test]
async fn a_waiting_worker_gets_a_part_as_soon_as_there_is_one() {
    let system = System::start(patient()).await;
    let worker = system.worker("a", &profile(2)).await;
    let waiting = tokio::spawn(async move { worker.lease().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let id = system.submit_generator(1).await;
    let submitted = Instant::now();
    assert_eq!(waiting.await.unwrap().job_id, id);
    assert!(submitted.elapsed() < Duration::from_secs(5));
    system.stop().await;
}

#[tokio::test]
async fn two_workers_of_one_name_are_two_workers() {
    let system = System::start(patient()).await;
    let (first, second) = (system.worker("gpu", &profile(2)).await, system.worker("gpu", &profile(2)).await);
    assert_ne!(first.id, second.id);
    system.submit_generator(1).await;
    system.submit_generator(2).await;
    let (one, two) = (first.lease().await, second.lease().await);
    assert_ne!(one.job_id, two.job_id);
    let workers = answer(system.jobs.clone().list_workers(ListWorkersRequest {}).await).unwrap().workers;
    let holds: Vec<(&str, &str)> =
        workers.iter().map(|worker| (worker.name.as_str(), worker.job_id.as_str())).collect();
    assert_eq!(holds, [("gpu", one.job_id.as_str()), ("gpu", two.job_id.as_str())]);
    first.finish(&one).await;
    second.finish(&two).await;
    system.stop().await;
}

#[tokio::test]
async fn parts_go_to_different_workers_but_to_one_profile() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 2).await.to_string();
    let generator = system.worker("g", &profile(2)).await;
    let jobs = vec![
        request("generator", train_generator(&dataset, 0), false),
        request("nuclei", generate_layer("@generator", &dataset), false),
    ];
    let id = system.submit("k", jobs).await.unwrap().pipeline.unwrap().jobs[1].id.clone();
    generator.finish(&generator.lease().await).await;

    let first = system.worker("a", &profile(2)).await;
    let other = system.worker("b", &profile(3)).await;
    let lease = first.lease().await;
    assert!(other.idles().await);
    first.finish(&lease).await;
    assert!(other.idles().await);
    let reasons = system.explain(&id).await;
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("all 2 connected workers") || reason.contains("idle workers"))
    );
    assert_eq!(generator.lease().await.part, 1);
    system.stop().await;
}

#[tokio::test]
async fn explain_says_that_a_checkpoint_binds_the_job_to_a_profile() {
    let system = System::start(patient()).await;
    let id = system.submit_generator(1).await;
    assert!(system.explain(&id).await[0].contains("no worker that does train_generator is connected"));
    let worker = system.worker("only", &profile(2)).await;
    let lease = worker.lease().await;
    worker.checkpoint(&lease, 3).await.unwrap();
    worker.release(&lease).await.unwrap();
    let job = system.job(&id).await;
    assert_eq!((job.lost_leases, job.failed_attempts), (0, 0));
    assert_eq!(job.parts[0].state(), PartState::Pending);
    let other = system.worker("other", &profile(4)).await;
    assert!(other.idles().await);
    // Time passes the first worker by only in the listing: it is still connected and could do it.
    assert!(system.explain(&id).await[0].contains("idle workers"));
    system.stop().await;
}

#[tokio::test]
async fn workers_that_wait_together_all_get_a_part_at_once() {
    let system = System::start(patient()).await;
    let mut waiting = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let worker = system.worker(name, &profile(2)).await;
        waiting.push(tokio::spawn(async move { worker.try_lease(Duration::from_secs(60)).await }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let dataset = system.dataset("d", waiting.len()).await.to_string();
    let generator = system.put(ManifestParts::new(ArtifactKind::Generator, &json!({}))).await.to_string();
    let job = request("paint", generate_layer(&generator, &dataset), false);
    let started = Instant::now();
    system.submit("k", vec![job]).await.unwrap();
    let mut parts = Vec::new();
    for lease in waiting {
        parts.push(lease.await.unwrap().unwrap().expect("a part").part);
    }
    parts.sort_unstable();
    assert_eq!(parts, [0, 1, 2, 3, 4, 5]);
    assert!(started.elapsed() < Duration::from_secs(30), "waited for {:?}", started.elapsed());
    system.stop().await;
}

#[tokio::test]
async fn a_worker_gets_only_the_kinds_that_it_can_do() {
    let system = System::start(patient()).await;
    system.submit_generator(1).await;
    let evaluation = system.worker_of("e", &profile(2), &[JobKind::Embed, JobKind::Evaluate]).await;
    assert!(evaluation.idles().await);
    system.stop().await;
}

#[tokio::test]
async fn a_worker_that_asks_again_has_lost_what_it_held() {
    let system = System::start(patient()).await;
    let id = system.submit_generator(1).await;
    let worker = system.worker("a", &profile(2)).await;
    let lost = worker.lease().await;
    let again = worker.lease().await;
    assert_eq!((again.job_id.as_str(), again.fence), (id.as_str(), lost.fence + 1));
    assert_eq!(system.job(&id).await.lost_leases, 1);
    system.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_coordinator_costs_no_lease() {
    let system = System::start(impatient(500)).await;
    let id = system.submit_generator(1).await;
    let worker = system.worker("a", &profile(2)).await;
    let lease = worker.lease().await;
    let system = {
        let stopped = Instant::now();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let restarted = system.restart().await;
        assert!(stopped.elapsed() < Duration::from_secs(10), "it waited for connections");
        restarted
    };
    tokio::time::sleep(Duration::from_millis(300)).await; // over, had it not been extended
    let worker = worker.at(&system);
    worker.beat(&lease, Default::default()).await.unwrap();
    worker.finish(&lease).await;
    assert_eq!(system.job(&id).await.lost_leases, 0);
    system.stop().await;
}

#[tokio::test]
async fn an_unknown_worker_is_told_to_register() {
    let system = System::start(patient()).await;
    let mut worker = system.worker("a", &profile(2)).await;
    worker.id = uuid::Uuid::now_v7().to_string();
    let refused = worker.try_lease(Duration::ZERO).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotFound);
    assert_eq!(refused.help.as_deref(), Some("register again"));
    system.stop().await;
}

#[tokio::test]
async fn a_part_that_was_given_to_a_caller_who_hung_up_is_not_lost() {
    let system = System::start(patient()).await;
    let hasty = system.worker("hasty", &profile(2)).await;
    let other = system.worker("other", &profile(2)).await;
    let mut hung_up = 0;
    for seed in 0..20 {
        let id = system.submit_generator(seed).await;
        // Hangs up at another moment of the call each time.
        let time = Duration::from_micros(500 * seed);
        let call = system.scheduler.lease(hasty.id.parse().unwrap(), Duration::from_secs(1));
        match tokio::time::timeout(time, call).await {
            Ok(granted) => {
                let granted = granted.unwrap().unwrap();
                assert_eq!(granted.job.id.to_string(), id);
                system.scheduler.cancel(granted.job.id, String::new()).await.unwrap();
            }
            Err(_) => {
                hung_up += 1;
                let lease = other.lease().await;
                assert_eq!(lease.job_id, id);
                assert_eq!(system.job(&id).await.lost_leases, 0);
                other.finish(&lease).await;
            }
        }
    }
    assert!(hung_up > 0);
    system.stop().await;
}
