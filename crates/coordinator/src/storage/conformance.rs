//! The conformance suite of the storage traits. Every backend runs all of it, on an empty database each
//! time: see `sqlite/tests.rs`.

use std::collections::BTreeSet;

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1::{JobKind, JobSpec, Metric, Picture, job_spec};
use counterstain_api::proto::synthesis::v1::GenerateLayerSpec;
use counterstain_api::{Digest, Profile};
use uuid::Uuid;

use super::*;
use crate::machine::{Checkpoint, Failure, Job, JobState, Lease, Level, Part, PartState};

/// Makes a `#[tokio::test]` of every check for one backend.
macro_rules! suite {
    ($open:path: $($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            let (storage, _keep) = $open().await;
            $crate::storage::conformance::$name(&storage).await;
        }
    )*};
}
pub(crate) use suite;

/// All checks, for [`suite`].
macro_rules! all_checks {
    ($open:path) => {
        $crate::storage::conformance::suite! { $open:
            a_job_comes_back_as_it_was_written,
            a_dropped_transaction_leaves_no_trace,
            revisions_rise_with_every_change,
            lists_are_newest_first_filtered_and_paged,
            only_parts_that_suit_are_offered,
            leases_and_pauses_are_found_by_time,
            jobs_to_prepare_are_found,
            metrics_are_kept_once_per_name_and_step,
            metric_names_are_limited,
            the_latest_pictures_of_each_name_are_kept,
            logs_are_kept_once_per_sequence_and_capped,
            workers_are_kept_with_what_they_hold,
            artifacts_are_found_by_digest_prefix_key_and_tag,
            an_idempotency_key_is_remembered_per_principal,
        }
    };
}
pub(crate) use all_checks;

fn profile() -> Profile {
    Profile { device_class: "cpu/avx2".to_owned(), threads: 2, libtorch: "2.13.0".to_owned(), revision: 1 }
}

fn spec() -> JobSpec {
    let spec = GenerateLayerSpec { layer: "nuclei".to_owned(), ..GenerateLayerSpec::default() };
    JobSpec { kind: Some(job_spec::Kind::GenerateLayer(spec)) }
}

fn new_job(name: &str, kind: JobKind, needs: &[JobId]) -> NewJob {
    let job = Job::new(needs.iter().copied().collect(), true, false);
    NewJob { id: Uuid::now_v7(), name: name.to_owned(), kind, spec: spec(), after: vec!["a".to_owned()], job }
}

fn new_pipeline(key: &str) -> NewPipeline {
    NewPipeline {
        id: Uuid::now_v7(),
        name: "pipeline".to_owned(),
        principal: "local".to_owned(),
        idempotency_key: key.to_owned(),
        content: Digest::of(key.as_bytes()),
        created_at: 5,
    }
}

async fn insert(storage: &dyn Storage, key: &str, jobs: &[NewJob]) -> Uuid {
    let pipeline = new_pipeline(key);
    let mut transaction = storage.begin().await.unwrap();
    transaction.insert_pipeline(&pipeline, jobs).await.unwrap();
    transaction.commit().await.unwrap();
    pipeline.id
}

/// Changes a job in a transaction of its own.
async fn change(storage: &dyn Storage, id: JobId, edit: impl FnOnce(&mut StoredJob)) -> Revision {
    let mut transaction = storage.begin().await.unwrap();
    let before = transaction.job(id).await.unwrap().unwrap();
    let mut after = before.clone();
    edit(&mut after);
    let revision = transaction.update_job(&before, &after).await.unwrap();
    transaction.commit().await.unwrap();
    revision
}

async fn only(storage: &dyn Storage, id: JobId) -> JobView {
    storage.jobs(&[id]).await.unwrap().pop().unwrap()
}

fn part(state: PartState) -> Part {
    Part { state, fence: 3, checkpoint: None, failures: 1, lost: 2 }
}

pub(crate) async fn a_job_comes_back_as_it_was_written(storage: &dyn Storage) {
    let first = new_job("a", JobKind::TrainGenerator, &[]);
    let second = new_job("b", JobKind::GenerateLayer, &[first.id]);
    let (a, b) = (first.id, second.id);
    let pipeline = insert(storage, "k", &[first, second.clone()]).await;
    let view = only(storage, b).await;
    assert_eq!(view.stored.job, second.job);
    assert_eq!((view.stored.pipeline, view.stored.spec, view.stored.created_at), (pipeline, spec(), 5));
    assert_eq!(view.stored.after, ["a"]);

    let worker = Uuid::now_v7();
    let digest = Digest::of(b"x");
    let mut expected = None;
    change(storage, b, |stored| {
        stored.job.state = JobState::Failed;
        stored.job.blocked_by = stored.job.needs.clone();
        stored.job.parts = vec![
            part(PartState::Pending { not_before: 77 }),
            part(PartState::Leased(Lease { worker, expires_at: 99 })),
            part(PartState::Done { output: digest }),
            Part { checkpoint: Some(Checkpoint { digest, step: 8, fence: 2 }), ..part(PartState::Failed) },
        ];
        stored.job.profile = Some(profile());
        stored.job.failure = Some(Failure::new(ErrorCode::NonFinite, "the loss is NaN"));
        stored.job.fresh = true;
        stored.job.failed_attempts = 4;
        stored.job.lost_leases = 5;
        stored.job.started_at = Some(6);
        stored.job.ended_at = Some(7);
        stored.spec = JobSpec::default();
        expected = Some(stored.clone());
    })
    .await;
    let mut expected = expected.unwrap();
    let stored = only(storage, b).await.stored;
    expected.revision = stored.revision;
    assert_eq!(stored, expected);

    change(storage, b, |stored| {
        stored.job.needs = BTreeSet::new();
        stored.job.blocked_by = BTreeSet::new();
        stored.job.state = JobState::Succeeded;
        stored.job.output = Some(digest);
        stored.job.reused = true;
        stored.job.failure = None;
        stored.job.profile = None;
    })
    .await;
    let job = only(storage, b).await.stored.job;
    assert!(job.needs.is_empty() && job.reused && job.output == Some(digest) && job.profile.is_none());
    let mut transaction = storage.begin().await.unwrap();
    assert_eq!(transaction.dependants(a).await.unwrap(), [b]);
    assert_eq!(transaction.dependencies(b).await.unwrap(), [a]);
    drop(transaction);
    assert_eq!(storage.pipeline_jobs(&pipeline.to_string()).await.unwrap(), [a, b]);
    assert_eq!(storage.jobs(&[b, Uuid::now_v7(), a]).await.unwrap().len(), 2);
}

pub(crate) async fn a_dropped_transaction_leaves_no_trace(storage: &dyn Storage) {
    let job = new_job("a", JobKind::Embed, &[]);
    let pipeline = new_pipeline("k");
    let mut transaction = storage.begin().await.unwrap();
    transaction.insert_pipeline(&pipeline, std::slice::from_ref(&job)).await.unwrap();
    drop(transaction);
    assert_eq!(storage.pipeline(&pipeline.id.to_string()).await.unwrap(), None);
    assert_eq!(storage.revision().await.unwrap(), 0);
    let mut transaction = storage.begin().await.unwrap();
    assert_eq!(transaction.job(job.id).await.unwrap(), None);
}

pub(crate) async fn revisions_rise_with_every_change(storage: &dyn Storage) {
    let (a, b) = (new_job("a", JobKind::Embed, &[]), new_job("b", JobKind::Embed, &[]));
    let ids = [a.id, b.id];
    insert(storage, "k", &[a, b]).await;
    let start = storage.revision().await.unwrap();
    let first = change(storage, ids[1], |_| {}).await;
    let second = change(storage, ids[0], |_| {}).await;
    assert!(start < first && first < second);
    assert_eq!(storage.revision().await.unwrap(), second);
    assert_eq!(storage.changed_jobs(&ids, start).await.unwrap(), [(ids[1], first), (ids[0], second)]);
    assert_eq!(storage.changed_jobs(&ids, first).await.unwrap(), [(ids[0], second)]);
    assert_eq!(storage.changed_jobs(&ids[1..], first).await.unwrap(), []);
}

pub(crate) async fn lists_are_newest_first_filtered_and_paged(storage: &dyn Storage) {
    let jobs: Vec<NewJob> = (0..5).map(|n| new_job(&format!("j{n}"), JobKind::Embed, &[])).collect();
    let ids: Vec<JobId> = jobs.iter().rev().map(|job| job.id).collect();
    let pipeline = insert(storage, "k", &jobs).await;
    insert(storage, "l", &[new_job("other", JobKind::Evaluate, &[])]).await;
    let mut filter = JobFilter { pipeline: Some(pipeline), limit: 2, ..JobFilter::default() };
    let mut found = Vec::new();
    loop {
        let page = storage.list_jobs(&filter).await.unwrap();
        let Some(last) = page.last().copied() else { break };
        filter.before = Some(last);
        found.extend(page);
    }
    assert_eq!(found, ids);
    let mut filter = JobFilter { limit: 10, ..JobFilter::default() };
    assert_eq!(storage.list_jobs(&filter).await.unwrap().len(), 6);
    filter.kinds.insert("evaluate");
    assert_eq!(storage.list_jobs(&filter).await.unwrap().len(), 1);
    filter.state(JobState::Queued);
    assert_eq!(storage.list_jobs(&filter).await.unwrap().len(), 0);
    let text = ids[0].to_string();
    assert_eq!(storage.jobs_by_prefix(&text[..35], 2).await.unwrap(), [ids[0]]);
    assert_eq!(storage.jobs_by_prefix(&text[..4], 2).await.unwrap().len(), 2);
}

pub(crate) async fn only_parts_that_suit_are_offered(storage: &dyn Storage) {
    let names = ["plain", "pausing", "bound", "elsewhere", "cancelled", "leased"];
    let jobs: Vec<NewJob> = names.iter().map(|name| new_job(name, JobKind::Embed, &[])).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    insert(storage, "k", &jobs).await;
    insert(storage, "l", &[new_job("kind", JobKind::Evaluate, &[])]).await;
    let other = Profile { threads: 7, ..profile() };
    for (name, id) in names.iter().zip(&ids) {
        change(storage, *id, |stored| {
            stored.job.state = JobState::Running;
            stored.job.parts = vec![part(PartState::Failed), part(PartState::FREE), part(PartState::FREE)];
            match *name {
                "pausing" => {
                    for part in &mut stored.job.parts {
                        part.state = PartState::Pending { not_before: 100 };
                    }
                }
                "bound" => stored.job.profile = Some(profile()),
                "elsewhere" => stored.job.profile = Some(other.clone()),
                "cancelled" => stored.job.state = JobState::Cancelled,
                "leased" => {
                    let lease = Lease { worker: Uuid::now_v7(), expires_at: 1 };
                    stored.job.parts = vec![part(PartState::Leased(lease))];
                }
                _ => {}
            }
        })
        .await;
    }
    let offer = Offer { kinds: vec![JobKind::Embed, JobKind::TrainEncoder], profile: profile() };
    assert_eq!(storage.free_parts(&offer, 99, 10).await.unwrap(), [(ids[0], 1), (ids[2], 1)]);
    assert_eq!(storage.free_parts(&offer, 100, 10).await.unwrap().len(), 3);
    assert_eq!(storage.free_parts(&offer, 100, 1).await.unwrap(), [(ids[0], 1)]);
}

pub(crate) async fn leases_and_pauses_are_found_by_time(storage: &dyn Storage) {
    let job = new_job("a", JobKind::Embed, &[]);
    let id = job.id;
    insert(storage, "k", &[job]).await;
    change(storage, id, |stored| {
        let lease = Lease { worker: Uuid::now_v7(), expires_at: 50 };
        let pause = PartState::Pending { not_before: 70 };
        stored.job.parts = vec![part(PartState::Leased(lease)), part(pause)];
    })
    .await;
    assert!(storage.jobs_with_leases_until(49).await.unwrap().is_empty());
    assert_eq!(storage.jobs_with_leases_until(50).await.unwrap(), [id]);
    assert_eq!(storage.jobs_with_leases_until(u64::MAX).await.unwrap(), [id]);
    assert!(!storage.pause_ended(0, 69).await.unwrap());
    assert!(storage.pause_ended(69, 70).await.unwrap());
    assert!(!storage.pause_ended(70, 200).await.unwrap());
}

pub(crate) async fn jobs_to_prepare_are_found(storage: &dyn Storage) {
    let divide = new_job("divide", JobKind::GenerateLayer, &[]);
    let waits = new_job("waits", JobKind::GenerateLayer, &[divide.id]);
    let assemble = new_job("assemble", JobKind::GenerateLayer, &[]);
    let works = new_job("works", JobKind::GenerateLayer, &[]);
    let ids = [divide.id, waits.id, assemble.id, works.id];
    insert(storage, "k", &[divide, waits, assemble, works]).await;
    let done = PartState::Done { output: Digest::of(b"x") };
    for (id, last) in [(ids[2], done.clone()), (ids[3], PartState::FREE)] {
        change(storage, id, |stored| {
            stored.job.state = JobState::Running;
            stored.job.parts = vec![part(done.clone()), part(last)];
        })
        .await;
    }
    assert_eq!(storage.jobs_to_prepare().await.unwrap(), [ids[0], ids[2]]);
}

fn metric(name: &str, step: u64, value: f64) -> Metric {
    Metric { step, name: name.to_owned(), value }
}

async fn add_metrics(storage: &dyn Storage, job: JobId, metrics: &[Metric], names: u32) -> Revision {
    let mut transaction = storage.begin().await.unwrap();
    let before = transaction.job(job).await.unwrap().unwrap();
    let revision = transaction.update_job(&before, &before).await.unwrap();
    transaction.add_metrics(job, metrics, revision, names).await.unwrap();
    transaction.commit().await.unwrap();
    revision
}

pub(crate) async fn metrics_are_kept_once_per_name_and_step(storage: &dyn Storage) {
    let job = new_job("a", JobKind::TrainEncoder, &[]);
    let id = job.id;
    insert(storage, "k", &[job]).await;
    let first = add_metrics(
        storage,
        id,
        &[metric("loss", 2, 0.25), metric("loss", 1, 0.5), metric("lr", 1, 1e-4)],
        9,
    )
    .await;
    let second = add_metrics(storage, id, &[metric("loss", 2, 9.0), metric("loss", 3, 0.125)], 9).await;
    let all =
        [metric("loss", 1, 0.5), metric("lr", 1, 1e-4), metric("loss", 2, 0.25), metric("loss", 3, 0.125)];
    assert_eq!(storage.metrics(id, &[], 0, u64::MAX).await.unwrap(), all);
    assert_eq!(storage.metrics(id, &["lr".to_owned()], 0, second).await.unwrap(), all[1..2]);
    assert_eq!(storage.metrics(id, &[], first, second).await.unwrap(), all[3..]);
    assert_eq!(storage.metrics(id, &[], 0, first).await.unwrap(), all[..3]);
    let latest = only(storage, id).await.metrics;
    assert_eq!(latest.into_iter().collect::<Vec<_>>(), [("loss".to_owned(), 0.125), ("lr".to_owned(), 1e-4)]);

    add_metrics(storage, id, &[metric("loss", 4, f64::NAN), metric("loss", 5, f64::INFINITY)], 9).await;
    assert!(only(storage, id).await.metrics["loss"].is_nan());
    let mut transaction = storage.begin().await.unwrap();
    transaction.clear_observations(id).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(storage.metrics(id, &[], 0, u64::MAX).await.unwrap().is_empty());
    assert!(only(storage, id).await.metrics.is_empty());
}

pub(crate) async fn metric_names_are_limited(storage: &dyn Storage) {
    let job = new_job("a", JobKind::TrainEncoder, &[]);
    let id = job.id;
    insert(storage, "k", &[job]).await;
    add_metrics(storage, id, &[metric("a", 1, 1.0), metric("b", 1, 1.0), metric("c", 1, 1.0)], 2).await;
    add_metrics(storage, id, &[metric("d", 1, 1.0), metric("a", 2, 2.0)], 2).await;
    let kept = storage.metrics(id, &[], 0, u64::MAX).await.unwrap();
    assert_eq!(kept, [metric("a", 1, 1.0), metric("b", 1, 1.0), metric("a", 2, 2.0)]);
}

pub(crate) async fn the_latest_pictures_of_each_name_are_kept(storage: &dyn Storage) {
    let (job, other) =
        (new_job("a", JobKind::TrainGenerator, &[]), new_job("b", JobKind::TrainGenerator, &[]));
    let (id, other_id) = (job.id, other.id);
    insert(storage, "k", &[job, other]).await;
    let picture = |name: &str, step: u64| Picture {
        name: name.to_owned(),
        step,
        panels: vec!["primary".to_owned(), "painted".to_owned()],
        png: vec![step as u8; 3],
    };
    let add = |job: JobId, pictures: Vec<Picture>| async move {
        let mut transaction = storage.begin().await.unwrap();
        let limits = PictureLimits { per_name: 2, names: 2, jobs: 1 };
        transaction.add_pictures(job, &pictures, limits).await.unwrap();
        transaction.commit().await.unwrap();
    };
    add(id, vec![picture("a", 1), picture("b", 1), picture("c", 1), picture("a", 2)]).await;
    let again = Picture { png: vec![9], ..picture("a", 2) };
    add(id, vec![again, picture("a", 3)]).await;
    let kept = storage.pictures(id).await.unwrap();
    assert_eq!(kept, [picture("a", 3), picture("a", 2), picture("b", 1)]);
    add(other_id, vec![picture("a", 1)]).await;
    assert!(storage.pictures(id).await.unwrap().is_empty(), "only one job's pictures are kept");
    add(id, vec![picture("a", 4)]).await;
    let mut transaction = storage.begin().await.unwrap();
    transaction.clear_observations(id).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(storage.pictures(id).await.unwrap().is_empty());
}

fn line(attempt: u64, sequence: Option<u64>, message: &str) -> NewLogLine {
    NewLogLine { at: 4, level: Level::Warn, message: message.to_owned(), part: 1, attempt, sequence }
}

async fn add_logs(storage: &dyn Storage, job: JobId, lines: &[NewLogLine], limit: u32) {
    let mut transaction = storage.begin().await.unwrap();
    transaction.add_logs(job, lines, limit).await.unwrap();
    transaction.commit().await.unwrap();
}

pub(crate) async fn logs_are_kept_once_per_sequence_and_capped(storage: &dyn Storage) {
    let (a, b) = (new_job("a", JobKind::Embed, &[]), new_job("b", JobKind::Embed, &[]));
    let (id, other) = (a.id, b.id);
    insert(storage, "k", &[a, b]).await;
    add_logs(storage, id, &[line(1, Some(0), "a"), line(1, None, "b")], 10).await;
    add_logs(storage, id, &[line(1, Some(0), "again"), line(2, Some(0), "c"), line(1, None, "d")], 10).await;
    add_logs(storage, other, &[line(1, Some(0), "other")], 10).await;
    let all = storage.logs(id, 0, 10).await.unwrap();
    let messages: Vec<&str> = all.iter().map(|record| record.line.message.as_str()).collect();
    assert_eq!(messages, ["a", "b", "c", "d"]);
    assert_eq!(all[0].line, line(1, Some(0), "a"));
    assert_eq!(storage.logs(id, all[1].cursor, 1).await.unwrap(), all[2..3]);
    add_logs(storage, id, &[line(3, Some(0), "e")], 2).await;
    let kept = storage.logs(id, 0, 10).await.unwrap();
    assert_eq!(kept.iter().map(|record| record.line.message.as_str()).collect::<Vec<_>>(), ["d", "e"]);
    assert_eq!(storage.logs(other, 0, 10).await.unwrap().len(), 1);
}

pub(crate) async fn workers_are_kept_with_what_they_hold(storage: &dyn Storage) {
    let job = new_job("a", JobKind::Embed, &[]);
    let id = job.id;
    insert(storage, "k", &[job]).await;
    let worker = |seen_at| Worker {
        id: Uuid::now_v7(),
        name: "same".to_owned(),
        kinds: vec![JobKind::Embed, JobKind::Evaluate],
        profile: profile(),
        address: "127.0.0.1:1".to_owned(),
        registered_at: 1,
        seen_at,
        holds: None,
    };
    let (first, second) = (worker(10), worker(20));
    let mut transaction = storage.begin().await.unwrap();
    transaction.insert_worker(&first).await.unwrap();
    transaction.insert_worker(&second).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(storage.workers(0).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(storage.workers(11).await.unwrap(), std::slice::from_ref(&second));
    change(storage, id, |stored| {
        let lease = Lease { worker: first.id, expires_at: 50 };
        stored.job.parts = vec![part(PartState::FREE), part(PartState::Leased(lease))];
    })
    .await;
    let mut transaction = storage.begin().await.unwrap();
    assert_eq!(transaction.held_part(first.id).await.unwrap(), Some((id, 1, 3)));
    assert_eq!(transaction.held_part(second.id).await.unwrap(), None);
    transaction.touch_worker(first.id, 30).await.unwrap();
    let progress = Progress { phase: "embed".to_owned(), done: 3, total: 9, ..Progress::default() };
    transaction.set_progress(id, 1, &progress).await.unwrap();
    transaction.commit().await.unwrap();
    let known = storage.worker(first.id).await.unwrap();
    assert_eq!(known, Some(Worker { seen_at: 30, holds: Some((id, 1)), ..first }));
    assert_eq!(storage.worker(Uuid::now_v7()).await.unwrap(), None);
    assert_eq!(only(storage, id).await.progress, [None, Some(progress.clone())]);
    // The progress is the attempt's.
    change(storage, id, |stored| stored.job.parts[1].lost = 0).await;
    assert_eq!(only(storage, id).await.progress, [None, Some(progress)]);
    change(storage, id, |stored| stored.job.parts[1].fence = 4).await;
    assert_eq!(only(storage, id).await.progress, [None, None]);
}

pub(crate) async fn artifacts_are_found_by_digest_prefix_key_and_tag(storage: &dyn Storage) {
    let artifact = |name: &str, kind: &str, key: Option<&str>| Artifact {
        digest: Digest::of(name.as_bytes()),
        kind: kind.to_owned(),
        key: key.map(str::to_owned),
        manifest: "{}".to_owned(),
        inputs: vec![Digest::of(b"input")],
        job: None,
        created_at: 3,
        tags: Vec::new(),
        cursor: 0,
    };
    let made = [
        artifact("a", "dataset", None),
        artifact("b", "encoder", Some("key")),
        artifact("c", "encoder", Some("key")),
    ];
    let mut transaction = storage.begin().await.unwrap();
    for artifact in &made {
        transaction.put_artifact(artifact).await.unwrap();
    }
    for (tag, name) in [("best", 1), ("new", 1), ("best", 2)] {
        let tag = Tag { tag: tag.to_owned(), digest: made[name].digest, at: 4 };
        transaction.set_tag(&tag).await.unwrap();
    }
    transaction.commit().await.unwrap();
    let known = storage.artifact(&made[1].digest).await.unwrap().unwrap();
    assert_eq!(known, Artifact { tags: vec!["new".to_owned()], cursor: known.cursor, ..made[1].clone() });
    assert_eq!(storage.artifact_by_key("key").await.unwrap().unwrap().digest, made[1].digest);
    assert_eq!(storage.artifact_by_key("other").await.unwrap(), None);
    assert_eq!(storage.tag("best").await.unwrap(), Some(made[2].digest));
    let prefix = &made[0].digest.to_string()[..13];
    assert_eq!(storage.artifacts_by_prefix(prefix, 2).await.unwrap(), [made[0].digest]);
    assert_eq!(storage.artifacts_by_prefix("sha256:", 2).await.unwrap().len(), 2);

    let digests = |list: Vec<Artifact>| list.iter().map(|artifact| artifact.digest).collect::<Vec<_>>();
    let page = storage.list_artifacts(&["dataset", "encoder"], None, 2).await.unwrap();
    let next = storage.list_artifacts(&["dataset", "encoder"], Some(page[1].cursor), 2).await.unwrap();
    assert_eq!(digests(page), [made[2].digest, made[1].digest]);
    assert_eq!(digests(next), [made[0].digest]);
    assert_eq!(storage.list_artifacts(&["layer"], None, 2).await.unwrap(), []);

    let job = Some(Uuid::now_v7());
    let mut transaction = storage.begin().await.unwrap();
    transaction.put_artifact(&Artifact { job, created_at: 9, ..made[0].clone() }).await.unwrap();
    transaction.put_artifact(&Artifact { job: Some(Uuid::now_v7()), ..made[0].clone() }).await.unwrap();
    assert!(transaction.delete_tag("new").await.unwrap());
    assert!(!transaction.delete_tag("new").await.unwrap());
    transaction.commit().await.unwrap();
    let known = storage.artifact(&made[0].digest).await.unwrap().unwrap();
    assert_eq!((known.job, known.created_at), (job, 3));
}

pub(crate) async fn an_idempotency_key_is_remembered_per_principal(storage: &dyn Storage) {
    let id = insert(storage, "k", &[new_job("a", JobKind::Embed, &[])]).await;
    let mut transaction = storage.begin().await.unwrap();
    let known = transaction.submission("local", "k").await.unwrap();
    assert_eq!(known, Some(Submission { pipeline: id, content: Digest::of(b"k") }));
    assert_eq!(transaction.submission("local", "l").await.unwrap(), None);
    assert_eq!(transaction.submission("other", "k").await.unwrap(), None);
}
