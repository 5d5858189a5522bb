//! `run` and the commands around it, against a real coordinator and a real worker loop whose engine only
//! writes small artifacts: what the command line does, without libtorch.

#![allow(clippy::unwrap_used, reason = "these are helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, mpsc};

use clap::Parser as _;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_api::result::{ResultDocument, Row, SCHEMA};
use counterstain_api::{Digest, Profile, spec};
use counterstain_artifact::{
    ArtifactKind, EncoderBody, ManifestParts, RESULT, ResultBody, WEIGHTS, put_artifact,
};
use counterstain_coordinator::options::Options;
use counterstain_worker::{Engine, Setup, Task, TaskError, WorkerOptions};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Seed that makes the engine fail.
const UNLUCKY: u64 = 13;

/// Writes an encoder, or a result over encoders.
struct Scribe;

impl Engine for Scribe {
    fn kinds(&self) -> Vec<JobKind> {
        vec![JobKind::TrainEncoder, JobKind::Evaluate]
    }

    fn run(&self, task: &Task) -> Result<Digest, TaskError> {
        let (parts, name, bytes) = match &task.spec().kind {
            Some(Kind::TrainEncoder(training)) => {
                for step in 1..=3 {
                    task.check()?;
                    task.metric(step, "loss", 9.0 / step as f64);
                    task.progress("training", step, 3, "steps");
                }
                if training.seed == Some(UNLUCKY) {
                    return Err(TaskError::new(ErrorCode::NonFinite, "the loss is NaN at step 4"));
                }
                let body = EncoderBody {
                    architecture: "resnet18".into(),
                    representation_width: 512,
                    image_size: 32,
                    normalisation: "0-1".into(),
                    method: "unprivileged".into(),
                    loss: "vicreg".into(),
                    privileged: Vec::new(),
                };
                (ManifestParts::new(ArtifactKind::Encoder, &body), WEIGHTS, b"weights".to_vec())
            }
            _ => {
                let document = document(&spec::inputs(task.spec()));
                let bytes = serde_json::to_vec(&document).unwrap();
                (ManifestParts::new(ArtifactKind::Result, &ResultBody { rows: 2 }), RESULT, bytes)
            }
        };
        let mut parts = parts.job(spec::canonical_json(task.spec()), task.profile().clone());
        for (index, input) in spec::inputs(task.spec()).iter().enumerate() {
            parts = parts.input(format!("{}/{index}", input.artifact_kind), input.value.parse().unwrap());
        }
        Ok(task.block_on(put_artifact(task.store(), parts, vec![(name.to_owned(), bytes.into())]))?)
    }
}

fn document(inputs: &[spec::Input]) -> ResultDocument {
    let dataset: Digest =
        inputs.iter().find(|input| input.artifact_kind == "dataset").unwrap().value.parse().unwrap();
    let row = |method: &str, loss: &str, value: f64| Row {
        loss: loss.into(),
        method: method.into(),
        privileged: String::new(),
        generator: None,
        encoder: None,
        train_dataset: None,
        eval_dataset: dataset,
        task: "types".into(),
        metric: "probe/accuracy".into(),
        value,
        ci_low: Some(value - 0.1),
        ci_high: Some(value + 0.1),
        n: 6,
        seed: 0,
        artifact: None,
    };
    let rows = vec![row("random", "", 0.6), row("unprivileged", "vicreg", 0.8)];
    ResultDocument { schema: SCHEMA, rows, ..ResultDocument::default() }
}

/// A coordinator and a worker in this process, and a folder for everything.
struct Bench {
    folder: tempfile::TempDir,
    url: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        std::fs::create_dir_all(&store).unwrap();
        let database = format!("sqlite:{}", folder.path().join("c.sqlite").display());
        let options = Options::parse_from([
            "c",
            "--listen",
            "127.0.0.1:0",
            "--database",
            &database,
            "--store",
            store.to_str().unwrap(),
        ]);
        let (ready, address) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let announce = move |address| ready.send(address).unwrap();
            runtime
                .block_on(counterstain_coordinator::run(options, CancellationToken::new(), announce))
                .unwrap();
        });
        let url = format!("http://{}", address.recv().unwrap());
        let worker =
            Arguments::parse_from(["w", "--coordinator", &url, "--store", store.to_str().unwrap()]).worker;
        let profile =
            Profile { device_class: "cpu/test".into(), threads: 1, libtorch: "none".into(), revision: 1 };
        std::thread::spawn(move || {
            counterstain_worker::run(Setup {
                service: "scribe",
                options: worker,
                engine: Arc::new(Scribe),
                profile,
                routes: Box::new(|_| tonic::service::Routes::default()),
            })
        });
        Self { folder, url }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn counterstain(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterstain"));
        command.current_dir(self.folder.path()).args(arguments);
        command.args(["--coordinator", &self.url, "--data", "data", "--store", "store"]);
        command.output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let output = self.counterstain(&arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn write_pipeline(&self, name: &str, pipeline: &str) {
        std::fs::write(self.path(name), pipeline).unwrap();
    }
}

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    worker: WorkerOptions,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const PIPELINE: &str = r#"
    name = "small"
    [variables]
    seed = 1
    [imports.tissue]
    kind = "simulated"
    samples = 30
    size = 32
    [jobs.baseline]
    kind = "train_encoder"
    dataset = "@tissue"
    method = "unprivileged"
    loss = "vicreg"
    batch_size = 6
    seed = "${seed}"
    [jobs.scores]
    kind = "evaluate"
    encoders = ["@baseline"]
    dataset = "@tissue"
    task = "types"
"#;

#[test]
fn a_pipeline_runs_from_import_to_report_and_the_same_command_finds_it_done() {
    let bench = Bench::new();
    bench.write_pipeline("small.toml", PIPELINE);
    let output = bench.counterstain(&["run", "small.toml", "--out", "out"]);
    let (shown, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(shown.contains("Unprivileged, VICReg") && shown.contains("0.800 [0.700, 0.900]"), "{shown}");
    assert!(shown.contains("Random encoder (floor)"), "{shown}");
    assert!(told.contains("baseline: succeeded") && told.contains("scores: succeeded"), "{told}");
    let written: Value =
        serde_json::from_slice(&std::fs::read(bench.path("out/result.json")).unwrap()).unwrap();
    assert_eq!(written["pipeline"], "small");
    let page = std::fs::read_to_string(bench.path("out/report.html")).unwrap();
    assert!(page.contains("cpu/test") && page.contains("<svg"));

    let again = bench.counterstain(&["run", "small.toml", "--out", "again", "--json"]);
    assert!(text(&again.stderr).contains("is known; going on where it was"), "{}", text(&again.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&again.stdout).unwrap(), written);
    assert_eq!(bench.json(&["jobs"])["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(read(&bench.path("again/report.html")), page);
    bench.counterstain(&["report", "small", "--out", "third"]);
    assert_eq!(read(&bench.path("third/report.html")), page);
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_failed_job_ends_the_run_with_its_name_message_and_the_command_for_its_log() {
    let bench = Bench::new();
    bench.write_pipeline("small.toml", PIPELINE);
    let set = format!("seed={UNLUCKY}");
    let output = bench.counterstain(&["run", "small.toml", "--set", &set]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(ErrorCode::NonFinite.exit_code())), "{told}");
    assert!(told.contains("job baseline (train_encoder) failed: the loss is NaN at step 4"), "{told}");
    let jobs = bench.json(&["jobs"]);
    let failed = jobs["jobs"].as_array().unwrap().iter().find(|job| job["state"] == "failed").unwrap();
    let id = failed["id"].as_str().unwrap();
    assert!(told.contains(&format!("counterstain logs {id}")), "{told}");
    assert!(text(&bench.counterstain(&["logs", id]).stdout).contains("NaN"));
    assert!(jobs["jobs"].as_array().unwrap().iter().any(|job| job["state"] == "blocked"));

    // The same command tries again what failed; it fails again, but it did try.
    let again = bench.counterstain(&["run", "small.toml", "--set", &set]);
    assert!(text(&again.stderr).contains("retrying baseline"), "{}", text(&again.stderr));
}

#[test]
fn jobs_artifacts_and_tags_can_be_read_as_json() {
    let bench = Bench::new();
    bench.write_pipeline("small.toml", PIPELINE);
    let submitted = bench.json(&["submit", "small.toml"]);
    let pipeline = submitted["pipeline"]["id"].as_str().unwrap();
    assert!(bench.counterstain(&["watch", pipeline]).status.success());
    let job = bench.json(&["jobs", "--kind", "train_encoder"])["jobs"][0].clone();
    assert_eq!((&job["state"], &job["metrics"]["loss"]), (&"succeeded".into(), &3.0.into()));
    assert_eq!(bench.json(&["job", job["id"].as_str().unwrap()])["output"], job["output"]);
    assert_eq!(bench.json(&["explain", job["id"].as_str().unwrap()])["state"], "succeeded");
    assert_eq!(bench.json(&["workers"])["workers"][0]["profile"]["device_class"], "cpu/test");

    let encoder = job["output"].as_str().unwrap();
    bench.json(&["tag", "baseline", encoder]);
    let shown = bench.json(&["show", "baseline"]);
    assert_eq!(shown["digest"], encoder);
    assert_eq!(shown["lineage"][0]["kind"], "dataset");
    bench.json(&["export", "baseline", "--out", "exported"]);
    assert_eq!(read(&bench.path("exported/weights.safetensors")), "weights");
    let unknown = bench.counterstain(&["show", "no-such-tag"]);
    assert_eq!(unknown.status.code(), Some(3), "{}", text(&unknown.stderr));
}

#[test]
fn faults_of_imports_and_jobs_are_reported_together_before_anything_is_done() {
    let bench = Bench::new();
    let faulty = PIPELINE.replace("samples = 30", "samples = \"many\"\n    sise = 32");
    bench.write_pipeline("faulty.toml", &faulty);
    let output = bench.counterstain(&["run", "faulty.toml"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("imports.tissue.samples") && told.contains("imports.tissue.sise"), "{told}");
    assert!(told.contains("did you mean \"size\"?"), "{told}");

    bench.write_pipeline("cycle.toml", &PIPELINE.replace("seed = \"${seed}\"", "after = [\"scores\"]"));
    let told = text(&bench.counterstain(&["run", "cycle.toml"]).stderr);
    assert!(told.contains("cycle: baseline, scores"), "{told}");
    assert!(bench.json(&["artifacts"])["artifacts"].as_array().unwrap().is_empty());
    for arguments in [&["run", "missing.toml"][..], &["run", "cycle.toml", "--set", "seed"]] {
        assert!(!bench.counterstain(arguments).status.success());
    }
}
