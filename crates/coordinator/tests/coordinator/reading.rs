//! What operators see: lists, streams, metrics and logs, live and afterwards.

use std::time::Duration;

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1::*;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{System, Worker, answer, patient, profile, request, train_generator};

fn metric(name: &str, step: u64, value: f64) -> Metric {
    Metric { step, name: name.to_owned(), value }
}

fn line(sequence: u64, message: &str) -> WorkerLogLine {
    WorkerLogLine { level: "info".to_owned(), message: message.to_owned(), sequence }
}

async fn report(worker: &Worker, lease: &Lease, step: u64) {
    let beat = HeartbeatRequest {
        progress: Some(Progress { phase: "train".to_owned(), done: step, total: 9, ..Progress::default() }),
        metrics: vec![metric("loss", step, 1.0 / step as f64)],
        logs: vec![line(step, &format!("step {step}"))],
        ..HeartbeatRequest::default()
    };
    worker.beat(lease, beat).await.unwrap();
}

#[tokio::test]
async fn jobs_are_listed_in_pages_newest_first() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await.to_string();
    let jobs = (0..7).map(|n| request(&format!("j{n}"), train_generator(&dataset, n), false)).collect();
    let pipeline = system.submit("k", jobs).await.unwrap().pipeline.unwrap();
    system.submit_generator(99).await;
    let mut names = Vec::new();
    let mut request = ListJobsRequest { pipeline_id: pipeline.id, page_size: 3, ..Default::default() };
    loop {
        let page = answer(system.jobs.clone().list_jobs(request.clone()).await).unwrap();
        assert!(page.jobs.len() <= 3);
        names.extend(page.jobs.into_iter().map(|job| job.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(names, ["j6", "j5", "j4", "j3", "j2", "j1", "j0"]);

    let count = |request: ListJobsRequest| {
        let mut jobs = system.jobs.clone();
        async move { answer(jobs.list_jobs(request).await).unwrap().jobs.len() }
    };
    let all = ListJobsRequest::default();
    assert_eq!(count(all.clone()).await, 8);
    assert_eq!(count(ListJobsRequest { states: vec![JobState::Running.into()], ..all.clone() }).await, 0);
    assert_eq!(
        count(ListJobsRequest { kinds: vec![JobKind::TrainGenerator.into()], ..all.clone() }).await,
        8
    );
    for faulty in [
        ListJobsRequest { page_size: 1_001, ..all.clone() },
        ListJobsRequest { page_token: "x".to_owned(), ..all.clone() },
        ListJobsRequest { states: vec![0], ..all },
    ] {
        let refused = answer(system.jobs.clone().list_jobs(faulty).await).unwrap_err();
        assert_eq!((refused.code, refused.violations.len()), (ErrorCode::InvalidArgument, 1));
    }
    system.stop().await;
}

#[tokio::test]
async fn a_job_is_found_by_a_unique_prefix_of_its_id() {
    let system = System::start(patient()).await;
    let id = system.submit_generator(1).await;
    assert_eq!(system.job(&id[..20]).await.id, id);
    let get = |id: &str| {
        let request = GetJobRequest { id: id.to_owned() };
        let mut jobs = system.jobs.clone();
        async move { answer(jobs.get_job(request).await).unwrap_err().code }
    };
    assert_eq!(get("fff").await, ErrorCode::InvalidArgument);
    assert_eq!(get("ffff").await, ErrorCode::NotFound);
    assert_eq!(get("not an id").await, ErrorCode::InvalidArgument);
    system.stop().await;
}

#[tokio::test]
async fn a_watch_resumes_from_its_cursor_and_ends_with_the_job() {
    let system = System::start(patient()).await;
    let job_id = system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    let watch = |cursor: &str| {
        let request =
            WatchJobsRequest { job_id: job_id.clone(), cursor: cursor.to_owned(), ..Default::default() };
        let mut jobs = system.jobs.clone();
        async move { answer(jobs.watch_jobs(request).await).unwrap() }
    };
    let mut stream = watch("").await;
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.job.unwrap().state(), JobState::Running);
    assert!(first.metrics.is_empty());
    report(&worker, &lease, 1).await;
    let second = stream.message().await.unwrap().unwrap();
    assert_eq!(second.metrics, [metric("loss", 1, 1.0)]);
    let seen = second.job.unwrap();
    assert_eq!((seen.progress.unwrap().done, seen.metrics["loss"]), (1, 1.0));
    drop(stream); // the client goes away, and things go on

    report(&worker, &lease, 2).await;
    report(&worker, &lease, 4).await;
    worker.finish(&lease).await;
    let mut stream = watch(&second.cursor).await;
    let last = stream.message().await.unwrap().unwrap();
    assert_eq!(last.metrics, [metric("loss", 2, 0.5), metric("loss", 4, 0.25)]);
    assert_eq!(last.job.unwrap().state(), JobState::Succeeded);
    assert!(stream.message().await.unwrap().is_none());
    let mut stream = watch(&last.cursor).await;
    assert!(stream.message().await.unwrap().is_none());
    let request = WatchJobsRequest { job_id: job_id.clone(), cursor: "x".to_owned(), ..Default::default() };
    let refused = answer(system.jobs.clone().watch_jobs(request).await).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
    system.stop().await;
}

#[tokio::test]
async fn a_watch_of_a_pipeline_ends_when_all_its_jobs_have_ended() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await.to_string();
    let jobs = (0..2).map(|n| request(&format!("j{n}"), train_generator(&dataset, n), false)).collect();
    let pipeline_id = system.submit("k", jobs).await.unwrap().pipeline.unwrap().id;
    let request = WatchJobsRequest { pipeline_id, ..Default::default() };
    let mut stream = answer(system.jobs.clone().watch_jobs(request).await).unwrap();
    let worker = system.worker("w", &profile(2)).await;
    for _ in 0..2 {
        worker.finish(&worker.lease().await).await;
    }
    let mut last = std::collections::BTreeMap::new();
    while let Some(message) = stream.message().await.unwrap() {
        let job = message.job.unwrap();
        last.insert(job.name.clone(), job.state());
    }
    assert_eq!(last.values().copied().collect::<Vec<_>>(), [JobState::Succeeded; 2]);
    system.stop().await;
}

#[tokio::test]
async fn a_replayed_heartbeat_adds_nothing() {
    let system = System::start(patient()).await;
    let job_id = system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    report(&worker, &lease, 1).await;
    report(&worker, &lease, 1).await;
    report(&worker, &lease, 2).await;
    let request = ListMetricsRequest { job_id: job_id.clone(), names: Vec::new() };
    let metrics = answer(system.jobs.clone().list_metrics(request).await).unwrap().metrics;
    assert_eq!(metrics, [metric("loss", 1, 1.0), metric("loss", 2, 0.5)]);
    let request = StreamLogsRequest { job_id, ..Default::default() };
    let mut stream = answer(system.jobs.clone().stream_logs(request).await).unwrap();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        messages.push(message.line.unwrap().message);
    }
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(messages[0].starts_with("attempt 1 leased to worker"));
    assert_eq!(messages[1..], ["step 1", "step 2"]);
    system.stop().await;
}

#[tokio::test]
async fn logs_are_followed_to_the_end_and_resumed() {
    let system = System::start(patient()).await;
    let job_id = system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    let request = StreamLogsRequest { job_id, follow: true, cursor: String::new() };
    let mut stream = answer(system.jobs.clone().stream_logs(request.clone()).await).unwrap();
    stream.message().await.unwrap().unwrap();
    report(&worker, &lease, 1).await;
    let live = stream.message().await.unwrap().unwrap();
    let text = live.line.unwrap();
    assert_eq!((text.message.as_str(), text.attempt, text.level.as_str()), ("step 1", 1, "info"));
    report(&worker, &lease, 2).await;
    worker.finish(&lease).await;
    let mut rest = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        rest.push(message.line.unwrap().message);
    }
    assert_eq!(rest[0], "step 2");
    assert!(rest[1].starts_with("succeeded with sha256:"));
    let request = StreamLogsRequest { cursor: live.cursor, ..request };
    let mut stream = answer(system.jobs.clone().stream_logs(request).await).unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap().line.unwrap().message, "step 2");
    system.stop().await;
}

#[tokio::test]
async fn what_is_too_large_or_malformed_is_refused_or_cut() {
    let system = System::start(patient()).await;
    let id = system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    for metrics in [
        vec![metric("", 1, 1.0)],
        vec![metric(&"x".repeat(101), 1, 1.0)],
        vec![metric("step", u64::MAX, 1.0)],
        vec![metric("many", 1, 1.0); 20_001],
    ] {
        let beat = HeartbeatRequest { metrics, ..Default::default() };
        let refused = worker.beat(&lease, beat).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidArgument);
        assert!(!refused.violations.is_empty());
    }
    let beat = HeartbeatRequest { logs: vec![line(0, &"é".repeat(10_000))], ..Default::default() };
    worker.beat(&lease, beat).await.unwrap();
    let request = StreamLogsRequest { job_id: id, ..Default::default() };
    let mut stream = answer(system.jobs.clone().stream_logs(request).await).unwrap();
    stream.message().await.unwrap();
    let cut = stream.message().await.unwrap().unwrap().line.unwrap().message;
    assert!(cut.len() < 9_000 && cut.ends_with("bytes cut off)"), "{}", cut.len());
    let huge = HeartbeatRequest { logs: vec![line(1, &"x".repeat(17 << 20))], ..Default::default() };
    assert!(worker.beat(&lease, huge).await.is_err());
    system.stop().await;
}

#[tokio::test]
async fn live_pictures_are_kept_and_only_pictures_are_taken() {
    let system = System::start(patient()).await;
    let id = system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    let picture = |step: u64, png: &[u8]| Picture {
        name: "training".to_owned(),
        step,
        panels: vec!["input".to_owned(), "painted".to_owned()],
        png: png.to_vec(),
    };
    let beat =
        |pictures: Vec<Picture>| worker.beat(&lease, HeartbeatRequest { pictures, ..Default::default() });
    let png = b"\x89PNG\r\n\x1a\n...";
    beat(vec![picture(1, png)]).await.unwrap();
    beat(vec![picture(2, png), picture(1, png)]).await.unwrap();
    for refused in [
        vec![picture(3, b"<html>")],
        vec![picture(3, &[png.as_slice(), &vec![0; 400 << 10]].concat())],
        vec![picture(3, png); 9],
        vec![Picture { panels: vec![String::new(); 17], ..picture(3, png) }],
    ] {
        assert_eq!(beat(refused).await.unwrap_err().code, ErrorCode::InvalidArgument);
    }
    let request = ListPicturesRequest { job_id: id };
    let kept = answer(system.jobs.clone().list_pictures(request).await).unwrap().pictures;
    assert_eq!(kept, [picture(2, png), picture(1, png)]);
    system.stop().await;
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let system = System::start(patient()).await;
    let mut health = HealthClient::new(system.channel.clone());
    for service in ["", "counterstain.job.v1.JobService", "counterstain.job.v1.WorkerService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_response::MessageResponse};
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(system.channel.clone());
    let stream = reflection.server_reflection_info(futures::stream::iter([request])).await.unwrap();
    let answer = stream.into_inner().message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["counterstain.job.v1.JobService", "counterstain.artifact.v1.ArtifactService"] {
        assert!(names.iter().any(|name| name == service), "{names:?}");
    }
    system.stop().await;
}

#[tokio::test]
async fn the_coordinator_stops_though_clients_wait_and_watch() {
    let system = System::start(patient()).await;
    let id = system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    worker.lease().await;
    let other = system.worker("other", &profile(2)).await;
    let waiting = tokio::spawn(async move { other.try_lease(Duration::from_secs(25)).await });
    let request = WatchJobsRequest { job_id: id, ..Default::default() };
    let mut stream = answer(system.jobs.clone().watch_jobs(request).await).unwrap();
    stream.message().await.unwrap().unwrap();
    system.stop().await;
    assert!(waiting.await.unwrap().is_ok_and(|lease| lease.is_none()));
}
