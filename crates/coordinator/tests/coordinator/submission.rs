//! What a submission is refused for, and that it counts once.

use std::sync::Arc;
use std::time::Duration;

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::artifact::v1::{RegisterArtifactRequest, SetTagRequest};
use counterstain_api::proto::job::v1::{JobRequest, JobState, job_spec};
use counterstain_artifact::faults::Faulty;
use counterstain_artifact::{ArtifactKind, ManifestParts, RetryPolicy, SCHEMA, Store};
use object_store::memory::InMemory;
use serde_json::json;

use crate::support::{
    System, answer, evaluate, generate_layer, patient, profile, request, train_encoder, train_generator,
};

fn faults(error: &ApiError) -> Vec<(&str, &str)> {
    error.violations.iter().map(|fault| (fault.field.as_str(), fault.description.as_str())).collect()
}

/// The description of the fault at a field.
fn fault_at<'error>(error: &'error ApiError, field: &str) -> &'error str {
    let found = error.violations.iter().find(|fault| fault.field == field);
    found.map_or_else(|| panic!("no fault at {field}: {:#?}", faults(error)), |fault| &fault.description)
}

#[tokio::test]
async fn the_same_key_makes_one_pipeline() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await.to_string();
    let jobs = |seed| vec![request("generator", train_generator(&dataset, seed), false)];
    let first = system.submit("key", jobs(1)).await.unwrap();
    let again = system.submit("key", jobs(1)).await.unwrap();
    assert!(!first.existed && again.existed);
    assert_eq!(first.pipeline.unwrap().id, again.pipeline.unwrap().id);
    let conflict = system.submit("key", jobs(2)).await.unwrap_err();
    assert_eq!(conflict.code, ErrorCode::Conflict);
    assert!(conflict.message.contains("\"key\""), "{conflict}");
    system.stop().await;
}

#[tokio::test]
async fn a_submission_that_is_raced_by_itself_makes_one_pipeline() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await.to_string();
    let submit = || system.submit("key", vec![request("generator", train_generator(&dataset, 1), false)]);
    let (a, b, c, d) = tokio::join!(submit(), submit(), submit(), submit());
    let mut ids: Vec<String> =
        [a, b, c, d].into_iter().map(|response| response.unwrap().pipeline.unwrap().id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    system.stop().await;
}

#[tokio::test]
async fn every_fault_is_found_with_its_path() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await.to_string();
    let missing = counterstain_api::Digest::of(b"nothing").to_string();
    let mut generator = train_generator(&dataset, 1);
    if let job_spec::Kind::TrainGenerator(spec) = &mut generator {
        spec.epochs = Some(0);
        spec.depth = Some(99);
    }
    let jobs = vec![
        request("generator", generator, false),
        request("layer", generate_layer("@generater", &missing), false),
        request("encoder", train_encoder(&dataset, "@generator"), false),
        request("Wrong name", train_generator(&dataset, 1), false),
        request("layer", train_generator(&dataset, 1), false),
        JobRequest { after: vec!["nobody".to_owned()], ..request("empty", train_generator("x", 1), false) },
    ];
    let refused = system.submit("", jobs).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
    fault_at(&refused, "idempotency_key");
    assert!(
        fault_at(&refused, "jobs.generator.epochs").contains("at least 1, at most")
            || fault_at(&refused, "jobs.generator.epochs").contains("at least 1")
    );
    fault_at(&refused, "jobs.generator.depth");
    assert!(fault_at(&refused, "jobs.layer.generator").contains("did you mean \"generator\"?"));
    assert!(fault_at(&refused, "jobs.layer.dataset").contains("is not in"));
    let kind = fault_at(&refused, "jobs.encoder.privileged[0].artifact");
    assert_eq!(kind, "needs a layer, but job generator makes a generator");
    fault_at(&refused, "jobs[3].name");
    assert!(fault_at(&refused, "jobs[4].name").contains("names are unique"));
    fault_at(&refused, "jobs.empty.dataset");
    assert!(fault_at(&refused, "jobs.empty.after[0]").contains("\"nobody\""));
    system.stop().await;
}

#[tokio::test]
async fn a_cycle_is_named_with_its_path() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await.to_string();
    let job = |name: &str, after: &[&str]| JobRequest {
        after: after.iter().map(|name| (*name).to_owned()).collect(),
        ..request(name, train_generator(&dataset, 1), false)
    };
    let jobs = vec![job("a", &["c"]), job("b", &["a"]), job("c", &["b"]), job("d", &["d"]), job("e", &["a"])];
    let refused = system.submit("k", jobs).await.unwrap_err();
    assert_eq!(fault_at(&refused, "jobs"), "wait for each other in a cycle: b → c → a → b");
    assert_eq!(fault_at(&refused, "jobs.d.after[0]"), "names the job itself");
    system.stop().await;
}

#[tokio::test]
async fn artifacts_that_do_not_fit_are_refused() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await.to_string();
    let mut generator = train_generator(&dataset, 1);
    let mut encoder = train_encoder(&dataset, &dataset);
    if let (job_spec::Kind::TrainGenerator(generator), job_spec::Kind::TrainEncoder(encoder)) =
        (&mut generator, &mut encoder)
    {
        generator.layer = "typs".to_owned();
        generator.split = Some("trian".to_owned());
        encoder.batch_size = Some(101);
    }
    let jobs = vec![
        request("generator", generator, false),
        request("encoder", encoder, false),
        request("result", evaluate(&dataset, &[&dataset]), false),
    ];
    let refused = system.submit("k", jobs).await.unwrap_err();
    assert!(fault_at(&refused, "jobs.generator.layer").contains("it has he, types; did you mean \"types\"?"));
    assert!(fault_at(&refused, "jobs.generator.split").contains("did you mean \"train\"?"));
    assert!(fault_at(&refused, "jobs.encoder.batch_size").contains("greater than the 100 samples"));
    assert!(fault_at(&refused, "jobs.encoder.privileged[0].artifact").contains("needs a layer, but sha256:"));
    assert!(fault_at(&refused, "jobs.result.encoders[0]").contains("is a dataset"));
    system.stop().await;
}

#[tokio::test]
async fn tags_and_prefixes_are_replaced_by_the_digest() {
    let system = System::start(patient()).await;
    let dataset = system.dataset("d", 1).await.to_string();
    let register = RegisterArtifactRequest { digest: dataset.clone() };
    system.artifacts.clone().register_artifact(register).await.unwrap();
    let tag = SetTagRequest { tag: "pcam".to_owned(), artifact: dataset[..20].to_owned() };
    system.artifacts.clone().set_tag(tag).await.unwrap();
    for name in ["pcam", &dataset[..20]] {
        let job = request("generator", train_generator(name, 1), false);
        let job = system.submit(name, vec![job]).await.unwrap().pipeline.unwrap().jobs.remove(0);
        let Some(job_spec::Kind::TrainGenerator(spec)) = job.spec.unwrap().kind else {
            panic!("another kind")
        };
        assert_eq!(spec.dataset, dataset);
        assert_eq!(spec.epochs, Some(100), "defaults are filled in");
    }
    system.stop().await;
}

#[tokio::test]
async fn an_artifact_of_a_newer_schema_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    let mut newer = ManifestParts::new(ArtifactKind::Dataset, &json!({})).manifest(Vec::new());
    newer.schema = SCHEMA + 1;
    let digest = newer.digest();
    let hex = digest.hex();
    let shelf = folder.path().join("manifests/sha256").join(&hex[..2]);
    std::fs::create_dir_all(&shelf).unwrap();
    std::fs::write(shelf.join(&hex[2..]), newer.encode()).unwrap();

    let system = System::start_on(store, patient()).await;
    let job = request("generator", train_generator(&digest.to_string(), 1), false);
    let refused = system.submit("k", vec![job]).await.unwrap_err();
    let fault = fault_at(&refused, "jobs.generator.dataset");
    assert!(fault.contains(&format!("has schema {}", SCHEMA + 1)), "{fault}");
    let register = RegisterArtifactRequest { digest: digest.to_string() };
    let refused = answer(system.artifacts.clone().register_artifact(register).await).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NewerSchema);
    system.stop().await;
}

#[tokio::test]
async fn a_damaged_artifact_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    let system = System::start_on(store, patient()).await;
    let digest = system.dataset("d", 1).await;
    let hex = digest.hex();
    let path = folder.path().join("manifests/sha256").join(&hex[..2]).join(&hex[2..]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let job = request("generator", train_generator(&digest.to_string(), 1), false);
    let refused = system.submit("k", vec![job]).await.unwrap_err();
    let fault = fault_at(&refused, "jobs.generator.dataset");
    assert!(fault.contains("damaged") && fault.contains(&hex[..12]), "{fault}");
    system.stop().await;
}

#[tokio::test]
async fn a_store_that_is_away_for_a_while_costs_only_time() {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new())));
    let retry = RetryPolicy {
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(50),
        give_up_after: Duration::from_millis(200),
    };
    let store = Store::from_backend(faulty.clone(), "a store in the test").with_retry(retry);
    let system = System::start_on(store, patient()).await;
    let dataset = system.dataset("d", 2).await.to_string();
    let worker = system.worker("w", &profile(1)).await;
    let jobs = vec![
        request("generator", train_generator(&dataset, 0), false),
        request("nuclei", generate_layer("@generator", &dataset), false),
    ];
    let jobs = system.submit("k", jobs).await.unwrap().pipeline.unwrap().jobs;
    let lease = worker.lease().await;
    let output = worker.make(&lease).await;
    // More often than the store's own patience lasts.
    faulty.fail_first(20);
    let refused = worker.complete(&lease, &output).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable);
    // The worker tries again; and then the layer is divided, which needs the store too.
    while worker.complete(&lease, &output).await.is_err() {}
    assert_eq!(system.job(&jobs[1].id).await.state(), JobState::Waiting);
    assert!(system.explain(&jobs[1].id).await[0].contains("the manifest of its dataset is being read"));
    let first = worker.lease().await;
    faulty.fail_first(0);
    assert_eq!((first.job_name.as_str(), first.part_count), ("nuclei", 2));
    worker.finish(&first).await;
    worker.finish(&worker.lease().await).await;
    system.reaches(&jobs[1].id, JobState::Succeeded).await;
    system.stop().await;
}
