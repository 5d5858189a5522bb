//! Checkpoints: which are kept, and which are removed.

use std::time::Duration;

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::{JobState, Lease, RetryJobRequest};
use counterstain_artifact::{CheckpointPlace, Digest, Store};

use crate::support::{System, answer, patient, place, profile};

/// Whether the store has a checkpoint.
async fn is_kept(store: &Store, place: &CheckpointPlace, digest: &Digest) -> bool {
    store.checkpoint(place).has_manifest(digest).await.unwrap()
}

/// Waits for a checkpoint to be removed.
async fn goes(store: &Store, place: &CheckpointPlace, digest: &Digest) {
    eventually(async || !is_kept(store, place, digest).await, &format!("{place:?} is still there")).await;
}

/// Waits until nothing is left of a job.
async fn all_go(store: &Store, Lease { job_id, .. }: &Lease) {
    let gone = async || !store.jobs_with_checkpoints().await.unwrap().contains(job_id);
    eventually(gone, &format!("checkpoints of {job_id} are still there")).await;
}

async fn eventually(holds: impl AsyncFn() -> bool, otherwise: &str) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{otherwise}");
}

#[tokio::test]
async fn the_latest_checkpoint_of_a_part_is_kept_until_its_job_succeeds() {
    let system = System::start(patient()).await;
    let store = &system.store;
    let id = system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let first = worker.lease().await;
    let one = worker.checkpoint(&first, 1).await.unwrap();
    assert!(is_kept(store, &place(&first, 1), &one).await);
    let two = worker.checkpoint(&first, 2).await.unwrap();
    goes(store, &place(&first, 1), &one).await;
    assert!(is_kept(store, &place(&first, 2), &two).await);

    // One that was refused supersedes nothing.
    assert_eq!(worker.checkpoint(&first, 1).await.unwrap_err().code, ErrorCode::InvalidArgument);
    worker.fail(&first, ErrorCode::NonFinite, false).await.unwrap();
    assert_eq!(system.job(&id).await.state(), JobState::Failed);
    assert!(is_kept(store, &place(&first, 2), &two).await);

    let retry = RetryJobRequest { id: id.clone(), fresh: false };
    answer(system.jobs.clone().retry_job(retry).await).unwrap();
    let second = worker.lease().await;
    let from = second.checkpoint.clone().unwrap();
    assert_eq!((from.digest, from.step, from.fence), (two.to_string(), 2, first.fence));
    let three = worker.checkpoint(&second, 3).await.unwrap();
    goes(store, &place(&first, 2), &two).await;
    assert!(is_kept(store, &place(&second, 3), &three).await);
    // What was refused before lay there too.
    goes(store, &place(&first, 1), &one).await;

    worker.finish(&second).await;
    all_go(store, &second).await;
    system.stop().await;
}

#[tokio::test]
async fn a_fresh_start_takes_no_checkpoint_from_the_attempt_before() {
    let system = System::start(patient()).await;
    let id = system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let first = worker.lease().await;
    worker.checkpoint(&first, 5).await.unwrap();
    worker.fail(&first, ErrorCode::NonFinite, false).await.unwrap();
    answer(system.jobs.clone().retry_job(RetryJobRequest { id, fresh: true }).await).unwrap();
    let second = worker.lease().await;
    assert_eq!(second.checkpoint, None);
    // The same step again, with the same content.
    let five = worker.checkpoint(&second, 5).await.unwrap();
    goes(&system.store, &place(&first, 5), &five).await;
    assert!(is_kept(&system.store, &place(&second, 5), &five).await);
    system.stop().await;
}

#[tokio::test]
async fn a_coordinator_that_starts_removes_what_the_last_one_left_behind() {
    let system = System::start(patient()).await;
    system.submit_generator(1).await;
    system.submit_generator(2).await;
    let worker = system.worker("w", &profile(2)).await;
    let done = worker.lease().await;
    worker.checkpoint(&done, 1).await.unwrap();
    worker.finish(&done).await;
    all_go(&system.store, &done).await;
    let running = worker.lease().await;
    let kept = worker.checkpoint(&running, 1).await.unwrap();
    // As if it had been cut off before, and a job of another coordinator on the same store.
    let manifest = worker.output(&done);
    let left = system.store.checkpoint(&place(&done, 1)).put_manifest(&manifest).await.unwrap();
    let other = CheckpointPlace { job: uuid::Uuid::now_v7().to_string(), ..place(&done, 1) };
    system.store.checkpoint(&other).put_manifest(&manifest).await.unwrap();

    let system = system.restart().await;
    all_go(&system.store, &done).await;
    assert!(is_kept(&system.store, &place(&running, 1), &kept).await);
    assert!(is_kept(&system.store, &other, &left).await);
    system.stop().await;
}
