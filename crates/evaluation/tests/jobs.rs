//! The jobs `embed` and `evaluate` on simulated tissue in a store in memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::evaluation::v1::evaluation_service_server::EvaluationService;
use counterstain_api::proto::evaluation::v1::{EmbedRequest, EmbedSpec, EvaluateSpec, GetStatusRequest};
use counterstain_api::proto::job::v1::JobSpec;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_api::result::ResultDocument;
use counterstain_api::{Digest, spec};
use counterstain_artifact::dataset::{DatasetDescription, DatasetWriter};
use counterstain_artifact::shard::{SampleEntry, SampleMeta, ShardLimits};
use counterstain_artifact::{
    ArtifactKind, EncoderBody, LayerInfo, LayerKind, ManifestParts, RESULT, Store, WEIGHTS, get_named,
    put_artifact,
};
use counterstain_evaluation::engine::encoder::Architecture;
use counterstain_evaluation::service::{EvaluationEngine, Online};
use counterstain_simulate::{SplitSizes, Tissue};
use counterstain_tile::encode::encode_png;
use counterstain_worker::testing::{Recorder, TestTask};
use counterstain_worker::{Engine, OnlineContext, StatusHandle, TaskError};
use std::sync::Arc;
use std::time::Duration;
use tch::Device;
use tokio::runtime::Runtime;
use tonic::Request;

const SIDE: usize = 32;

/// A runtime, a store and a cache folder that live as long as the test.
struct Bench {
    runtime: Runtime,
    store: Store,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime, store: Store::open("memory:").unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// Simulated tissue; `keep` may change or drop (split, label).
    fn dataset(&self, keep: impl Fn(&str, &str) -> Option<(String, String)>) -> Digest {
        let tissue = Tissue { size: SIDE, seed: 1, ..Tissue::default() };
        let sizes = SplitSizes { train: 48, valid: 0, test: 24 };
        let limits = ShardLimits { samples: 20, bytes: 1 << 20 };
        let mut writer = DatasetWriter::new(&self.store, self.folder.path()).with_limits(limits);
        self.runtime.block_on(async {
            for assignment in tissue.assignments(sizes) {
                let sample = tissue.sample_of(&assignment);
                let Some((split, label)) = keep(assignment.split, &sample.label) else { continue };
                let image = Bytes::from(encode_png(&sample.he).unwrap());
                let meta = SampleMeta { label: Some(label), group: Some(sample.group), split: Some(split) };
                let entry = SampleEntry {
                    key: format!("tile-{:04}", assignment.index),
                    files: vec![("he".to_owned(), "png".to_owned(), image)],
                    meta: Some(meta),
                };
                writer.add(entry).await.unwrap();
            }
            writer.finish(description()).await.unwrap()
        })
    }

    fn whole_dataset(&self) -> Digest {
        self.dataset(|split, label| Some((split.to_owned(), label.to_owned())))
    }

    /// An encoder as training would leave it, with random weights.
    fn encoder(&self, seed: u64, method: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Digest {
        self.encoder_of_size(seed, method, SIDE as u32, change)
    }

    fn encoder_of_size(
        &self,
        seed: u64,
        method: &str,
        image_size: u32,
        change: impl Fn(Vec<u8>) -> Vec<u8>,
    ) -> Digest {
        let architecture =
            Architecture { name: "resnet18".to_owned(), image_size, normalisation: "0-1".to_owned() };
        let body = EncoderBody {
            architecture: architecture.name.clone(),
            representation_width: 512,
            image_size: architecture.image_size,
            normalisation: architecture.normalisation.clone(),
            method: method.to_owned(),
            loss: "vicreg".to_owned(),
            privileged: vec![],
        };
        let weights = Bytes::from(change(architecture.random_weights(seed).unwrap()));
        let parts = ManifestParts::new(ArtifactKind::Encoder, &body);
        self.runtime.block_on(put_artifact(&self.store, parts, vec![(WEIGHTS.to_owned(), weights)])).unwrap()
    }

    fn run(
        &self,
        kind: Kind,
        adapt: impl FnOnce(&mut TestTask),
    ) -> (Result<Digest, TaskError>, Arc<Recorder>) {
        let spec = spec::resolve(&JobSpec { kind: Some(kind) }).unwrap();
        let mut task = TestTask::new(spec, self.store.clone());
        adapt(&mut task);
        let (task, recorder) = task.build(self.folder.path(), self.runtime.handle().clone());
        (EvaluationEngine::new(Device::Cpu).run(&task), recorder)
    }

    fn document(&self, digest: &Digest) -> ResultDocument {
        self.runtime.block_on(async {
            let manifest = self.store.manifest(digest).await.unwrap();
            serde_json::from_slice(&get_named(&self.store, &manifest, RESULT).await.unwrap()).unwrap()
        })
    }
}

fn description() -> DatasetDescription {
    DatasetDescription {
        name: "tissue".to_owned(),
        layers: vec![LayerInfo {
            name: "he".to_owned(),
            kind: LayerKind::Image,
            channels: 3,
            media_type: "image/png".to_owned(),
            extension: "png".to_owned(),
            palette: None,
            width: Some(SIDE as u32),
            height: Some(SIDE as u32),
            microns_per_pixel: None,
        }],
        primary: "he".to_owned(),
        microns_per_pixel: None,
        skipped: vec![],
        source: serde_json::json!({}),
    }
}

fn embed(encoder: &Digest, dataset: &Digest) -> Kind {
    let (encoder, dataset) = (encoder.to_string(), dataset.to_string());
    Kind::Embed(EmbedSpec { encoder, dataset, batch_size: Some(8), ..EmbedSpec::default() })
}

fn evaluate(encoders: &[Digest], dataset: &Digest) -> Kind {
    Kind::Evaluate(EvaluateSpec {
        encoders: encoders.iter().map(Digest::to_string).collect(),
        dataset: dataset.to_string(),
        bootstrap: Some(50),
        batch_size: Some(8),
        ..EvaluateSpec::default()
    })
}

#[test]
fn floors_stand_beside_the_encoders_and_a_resumed_job_gives_the_same_digest() {
    let bench = Bench::new();
    let dataset = bench.whole_dataset();
    let encoders =
        [bench.encoder(5, "siamese", |bytes| bytes), bench.encoder(6, "unprivileged", |bytes| bytes)];
    let (undisturbed, recorder) = bench.run(evaluate(&encoders, &dataset), |_| ());
    let undisturbed = undisturbed.unwrap();
    assert_eq!(recorder.checkpoints().len(), 3, "each finished set is a checkpoint");

    let document = bench.document(&undisturbed);
    let methods = ["siamese", "unprivileged", "random", "colour-statistics"];
    let metrics = [
        "probe/accuracy",
        "probe/balanced_accuracy",
        "probe/f1",
        "probe/auc",
        "kmeans/accuracy",
        "kmeans/balanced_accuracy",
        "kmeans/f1",
    ];
    assert_eq!(document.rows.len(), methods.len() * metrics.len());
    for method in methods {
        for metric in metrics {
            let row = document.rows.iter().find(|row| row.method == method && row.metric == metric).unwrap();
            assert!(
                (0.0..=1.0).contains(&row.value) && row.n == 24 && row.eval_dataset == dataset,
                "{row:?}"
            );
            assert!(row.ci_low.unwrap() <= row.ci_high.unwrap());
            assert_eq!(row.encoder.is_some(), row.loss == "vicreg");
            assert_eq!(row.artifact.is_some(), method != "colour-statistics");
        }
    }
    assert_eq!(document.confusions.len(), 8);
    assert_eq!(document.confusions[0].classes, ["neoplastic", "normal"]);
    assert_eq!(document.confusions[0].counts.concat().iter().sum::<u64>(), 24);
    assert!(document.notes.iter().any(|note| note.contains("groups")));

    // Stopped in the middle of the second set, in a store that knows none of it.
    let other = Bench::new();
    assert_eq!(other.whole_dataset(), dataset);
    let again = [other.encoder(5, "siamese", |bytes| bytes), other.encoder(6, "unprivileged", |bytes| bytes)];
    assert_eq!(again, encoders);
    let (stopped, recorder) = other.run(evaluate(&encoders, &dataset), |task| {
        task.checkpoint_interval = Duration::ZERO;
        task.stop_after = Some(14);
    });
    assert!(stopped.unwrap_err().is_stop());
    let last = recorder.checkpoints().pop();
    let (resumed, _) = other.run(evaluate(&encoders, &dataset), |task| task.checkpoint = last);
    assert_eq!(resumed.unwrap(), undisturbed);
}

#[test]
fn every_architecture_has_its_own_random_floor() {
    let bench = Bench::new();
    let dataset = bench.whole_dataset();
    let encoders = [32, 24].map(|side| bench.encoder_of_size(5, "siamese", side, |bytes| bytes));
    let (evaluated, _) = bench.run(evaluate(&encoders, &dataset), |_| ());
    let document = bench.document(&evaluated.unwrap());
    let random = document.rows.iter().filter(|row| row.method == "random" && row.metric == "probe/accuracy");
    assert_eq!(random.count(), 2);
    let note = "The `random` rows are, in this order: resnet18 at 24 px, resnet18 at 32 px.";
    assert!(document.notes.iter().any(|text| text == note), "{:?}", document.notes);
}

#[test]
fn an_embed_job_makes_the_representations_that_evaluate_uses() {
    let bench = Bench::new();
    let dataset = bench.whole_dataset();
    let encoder = bench.encoder(5, "siamese", |bytes| bytes);
    let (evaluated, _) = bench.run(evaluate(&[encoder], &dataset), |_| ());
    let used = bench.document(&evaluated.unwrap()).rows[0].artifact;
    let (embedded, recorder) = bench.run(embed(&encoder, &dataset), |task| {
        task.checkpoint_interval = Duration::ZERO;
    });
    assert_eq!(Some(embedded.unwrap()), used);
    let middle = recorder.checkpoints().remove(3);
    assert!(middle.place.step > 0 && middle.place.step < 72);
    let (resumed, _) = bench.run(embed(&encoder, &dataset), |task| task.checkpoint = Some(middle));
    assert_eq!(Some(resumed.unwrap()), used);
}

#[test]
fn a_dataset_that_cannot_be_probed_is_refused_by_name() {
    let bench = Bench::new();
    let encoder = bench.encoder(5, "siamese", |bytes| bytes);
    let refusal = |dataset: Digest, adapt: fn(&mut EvaluateSpec)| {
        let Kind::Evaluate(mut spec) = evaluate(&[encoder], &dataset) else { unreachable!() };
        adapt(&mut spec);
        let error = bench.run(Kind::Evaluate(spec), |_| ()).0.unwrap_err();
        assert_eq!(error.code, ErrorCode::FailedPrecondition);
        error.message
    };
    let whole = bench.whole_dataset();
    let message = refusal(whole, |spec| spec.test_split = Some("holdout".to_owned()));
    assert!(message.contains("holdout") && message.contains("\"test\", \"train\""), "{message}");
    let message = refusal(whole, |spec| spec.test_split = Some("train".to_owned()));
    assert!(message.contains("both \"train\""), "{message}");
    let empty_class = bench.dataset(|split, label| {
        (split == "test" || label == "normal").then(|| (split.to_owned(), label.to_owned()))
    });
    let message = refusal(empty_class, |_| ());
    assert!(
        message.contains("class neoplastic of split \"test\" has no sample in split \"train\""),
        "{message}"
    );
    let one_class =
        bench.dataset(|split, label| (label == "normal").then(|| (split.to_owned(), label.to_owned())));
    assert!(refusal(one_class, |_| ()).contains("single class"));
}

#[test]
fn damaged_or_diverged_encoders_are_named() {
    let bench = Bench::new();
    let dataset = bench.whole_dataset();
    let broken = bench.encoder(5, "siamese", |_| b"no weights at all".to_vec());
    let (outcome, _) = bench.run(embed(&broken, &dataset), |_| ());
    let error = outcome.unwrap_err();
    assert_eq!(error.code, ErrorCode::Corrupt);
    assert!(error.message.contains(&broken.to_string()), "{error}");
    let diverged = bench.encoder(5, "siamese", |mut bytes| {
        let length = bytes.len();
        bytes[length - 64..].copy_from_slice(&[0xff; 64]);
        bytes
    });
    let error = bench.run(embed(&diverged, &dataset), |_| ()).0.unwrap_err();
    assert_eq!(error.code, ErrorCode::NonFinite);
    assert!(error.message.contains("tile-") && error.message.contains("diverged"), "{error}");
    let error = bench.run(embed(&dataset, &dataset), |_| ()).0.unwrap_err();
    assert!(error.message.contains("is a dataset; a encoder is needed"), "{error}");
}

#[test]
fn a_tile_is_embedded_online_as_in_a_job() {
    let bench = Bench::new();
    let encoder = bench.encoder(5, "siamese", |bytes| bytes);
    let tissue = Tissue { size: SIDE, seed: 1, ..Tissue::default() };
    let image = encode_png(&tissue.sample(0, 0, 0).he).unwrap();
    bench.runtime.block_on(async {
        let context = OnlineContext { store: bench.store.clone(), status: StatusHandle::default() };
        let online = Online::start(context, Device::Cpu, 1).unwrap();
        let call =
            |encoder: String, image: Vec<u8>| online.embed(Request::new(EmbedRequest { encoder, image }));
        let row = call(encoder.to_string(), image.clone()).await.unwrap().into_inner().representation;
        assert_eq!(row.len(), 512);
        assert_eq!(row, call(encoder.to_string(), image.clone()).await.unwrap().into_inner().representation);
        let refused = [
            (call("nonsense".to_owned(), image.clone()).await, tonic::Code::InvalidArgument),
            (call(encoder.to_string(), vec![]).await, tonic::Code::InvalidArgument),
            (call(encoder.to_string(), image[..40].to_vec()).await, tonic::Code::InvalidArgument),
            (call(Digest::of(b"unknown").to_string(), image).await, tonic::Code::NotFound),
        ];
        for (answer, code) in refused {
            assert_eq!(answer.unwrap_err().code(), code);
        }
        let idle =
            online.get_status(Request::new(GetStatusRequest {})).await.unwrap().into_inner().run.unwrap();
        assert!(idle.job_id.is_empty());
    });
}

#[test]
fn a_checkpoint_of_another_spec_is_refused() {
    let bench = Bench::new();
    let dataset = bench.whole_dataset();
    let encoder = bench.encoder(5, "siamese", |bytes| bytes);
    let (_, recorder) = bench.run(embed(&encoder, &dataset), |task| {
        task.checkpoint_interval = Duration::ZERO;
        task.stop_after = Some(1);
    });
    let checkpoint = recorder.checkpoints().remove(0);
    let Kind::Embed(mut spec) = embed(&encoder, &dataset) else { unreachable!() };
    spec.batch_size = Some(16);
    let (outcome, _) = bench.run(Kind::Embed(spec), |task| task.checkpoint = Some(checkpoint));
    let error = outcome.unwrap_err();
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
    assert!(error.message.contains("belongs to spec"), "{error}");
}
