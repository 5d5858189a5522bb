//! `evaluate_generator` on layers whose figures can be computed by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::result::{ResultDocument, SAMPLE_SCORES, SampleScores};
use counterstain_api::{Digest, spec};
use counterstain_artifact::dataset::{Dataset, DatasetDescription, DatasetWriter};
use counterstain_artifact::shard::{SampleEntry, SampleMeta, ShardWriter};
use counterstain_artifact::{
    ArtifactKind, EncoderBody, GeneratorBody, GeneratorNetwork, LayerInfo, LayerKind, LayerPartBody,
    ManifestParts, RESULT, Store, WEIGHTS, get_named, layer_from_parts, put_artifact,
};
use counterstain_evaluation::engine::encoder::Architecture;
use counterstain_evaluation::service::EvaluationEngine;
use counterstain_tile::Tile;
use counterstain_tile::encode::{encode_labels_png, encode_png};
use counterstain_worker::testing::TestTask;
use counterstain_worker::{Engine, TaskError};
use serde_json::{Value, json};
use tch::Device;
use tokio::runtime::Runtime;

const SIDE: usize = 32;
const SAMPLES: usize = 6;

struct Bench {
    runtime: Runtime,
    store: Store,
    folder: tempfile::TempDir,
}

type File = (String, String, Bytes);

fn file(layer: &str, bytes: Vec<u8>) -> File {
    (layer.to_owned(), "png".to_owned(), Bytes::from(bytes))
}

fn info(name: &str, kind: LayerKind) -> LayerInfo {
    LayerInfo {
        name: name.to_owned(),
        kind,
        channels: if kind == LayerKind::Image { 3 } else { 1 },
        media_type: "image/png".to_owned(),
        extension: "png".to_owned(),
        palette: None,
        width: Some(SIDE as u32),
        height: Some(SIDE as u32),
        microns_per_pixel: None,
    }
}

fn flat(value: u8) -> Vec<u8> {
    encode_png(&Tile::filled(SIDE, SIDE, 3, value)).unwrap()
}

/// Squares of 8 px with these numbers (with gaps), one in each corner.
fn corners(numbers: [u32; 4]) -> Tile<u32> {
    let mut map = Tile::filled(SIDE, SIDE, 1, 0);
    for (corner, number) in numbers.into_iter().enumerate() {
        let (left, top) = (4 + 16 * (corner % 2), 4 + 16 * (corner / 2));
        for y in top..top + 8 {
            for x in left..left + 8 {
                map.pixel_mut(x, y)[0] = number;
            }
        }
    }
    map
}

impl Bench {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime, store: Store::open("memory:").unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// Tiles of 100, real images of 151, four nuclei (none in the last tile) of types 1 and 2; two groups.
    fn dataset(&self) -> Digest {
        let mut writer = DatasetWriter::new(&self.store, self.folder.path());
        for sample in 0..SAMPLES {
            let empty = sample + 1 == SAMPLES;
            let nuclei = if empty { Tile::filled(SIDE, SIDE, 1, 0) } else { corners([7, 2, 90, 4]) };
            let types = if empty { Tile::filled(SIDE, SIDE, 1, 0) } else { corners([1, 1, 2, 2]) };
            let files = vec![
                file("he", flat(100)),
                file("ihc", flat(151)),
                file("instances", encode_labels_png(&nuclei).unwrap()),
                file("types", encode_labels_png(&types).unwrap()),
            ];
            let meta = SampleMeta {
                group: Some(format!("patient-{}", sample % 2)),
                split: Some("test".to_owned()),
                label: None,
            };
            let entry = SampleEntry { key: format!("tile-{sample}"), files, meta: Some(meta) };
            self.runtime.block_on(writer.add(entry)).unwrap();
        }
        let description = DatasetDescription {
            name: "flat".to_owned(),
            layers: vec![
                info("he", LayerKind::Image),
                info("ihc", LayerKind::Image),
                info("instances", LayerKind::Instance),
                info("types", LayerKind::Label),
            ],
            primary: "he".to_owned(),
            microns_per_pixel: None,
            skipped: vec![],
            source: Value::Null,
        };
        self.runtime.block_on(writer.finish(description)).unwrap()
    }

    /// A layer as a generator would have painted it.
    fn layer(
        &self,
        dataset: &Digest,
        network: GeneratorNetwork,
        companions: &[(&str, LayerKind)],
        files: impl Fn(usize) -> Vec<File>,
    ) -> Digest {
        let method =
            if matches!(network, GeneratorNetwork::Hovernet { .. }) { "hovernet" } else { "pix2pix" };
        let body = GeneratorBody {
            method: method.to_owned(),
            network,
            in_channels: 3,
            out_channels: 3,
            source: None,
            intensity: None,
            layer: info("painted", LayerKind::Image),
        };
        let parts = ManifestParts::new(ArtifactKind::Generator, &body);
        let generator = self.runtime.block_on(put_artifact(&self.store, parts, vec![])).unwrap();
        let mut writer = ShardWriter::new(self.folder.path()).unwrap();
        let opened = self.runtime.block_on(Dataset::open(&self.store, dataset)).unwrap();
        for (number, sample) in opened.samples.iter().enumerate() {
            writer.add(&SampleEntry { key: sample.key.clone(), files: files(number), meta: None }).unwrap();
        }
        let shard = self.runtime.block_on(writer.finish().unwrap().put(&self.store)).unwrap();
        let part = LayerPartBody {
            part: 0,
            shard: shard.info.clone(),
            layer: info("painted", LayerKind::Image),
            companions: companions.iter().map(|(name, kind)| info(name, *kind)).collect(),
            dataset: *dataset,
            table: None,
        };
        let manifest = ManifestParts::new(ArtifactKind::LayerPart, &part)
            .input("generator", generator)
            .input("dataset", *dataset)
            .manifest(shard.objects(0).to_vec());
        let layer = layer_from_parts("painted", &[manifest]).unwrap();
        self.runtime.block_on(self.store.put_manifest(&layer)).unwrap()
    }

    fn unet(&self, dataset: &Digest, value: u8) -> Digest {
        let network = GeneratorNetwork::Unet { depth: 5, filters: 4, norm: "batch".to_owned() };
        self.layer(dataset, network, &[], |_| vec![file("painted", flat(value))])
    }

    fn encoder(&self) -> Digest {
        let architecture = Architecture {
            name: "resnet18".to_owned(),
            image_size: SIDE as u32,
            normalisation: "0-1".to_owned(),
        };
        let body = EncoderBody {
            architecture: architecture.name.clone(),
            representation_width: 512,
            image_size: architecture.image_size,
            normalisation: architecture.normalisation.clone(),
            method: "unprivileged".to_owned(),
            loss: "vicreg".to_owned(),
            privileged: vec![],
        };
        let weights = Bytes::from(architecture.random_weights(1).unwrap());
        let parts = ManifestParts::new(ArtifactKind::Encoder, &body);
        self.runtime.block_on(put_artifact(&self.store, parts, vec![(WEIGHTS.to_owned(), weights)])).unwrap()
    }

    fn run(&self, spec: &Value) -> Result<Digest, TaskError> {
        let spec = spec::from_json(JobKind::EvaluateGenerator, spec).unwrap();
        let task = TestTask::new(spec::resolve(&spec).unwrap(), self.store.clone());
        let (task, _) = task.build(self.folder.path(), self.runtime.handle().clone());
        EvaluationEngine::new(Device::Cpu).run(&task)
    }

    fn object<T: serde::de::DeserializeOwned>(&self, digest: &Digest, name: &str) -> T {
        let manifest = self.runtime.block_on(self.store.manifest(digest)).unwrap();
        assert_eq!(manifest.job_kind.as_deref(), Some("evaluate_generator"));
        let bytes = self.runtime.block_on(get_named(&self.store, &manifest, name)).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn refusal(&self, spec: &Value) -> (ErrorCode, String) {
        let error = self.run(spec).unwrap_err();
        (error.code, error.message)
    }
}

fn judging(dataset: &Digest, layers: &[Digest], reference: &str) -> Value {
    let layers: Vec<String> = layers.iter().map(Digest::to_string).collect();
    json!({ "dataset": dataset.to_string(), "layers": layers, "reference": reference, "bootstrap": 50 })
}

fn value(document: &ResultDocument, method: &str, metric: &str) -> f64 {
    let found = document.rows.iter().find(|row| row.method == method && row.metric == metric);
    found.unwrap_or_else(|| panic!("no {method} {metric} in {:?}", document.rows)).value
}

#[test]
fn painted_images_are_scored_beside_the_primary_image() {
    let bench = Bench::new();
    let dataset = bench.dataset();
    let mut spec = judging(&dataset, &[bench.unet(&dataset, 202)], "ihc");
    spec["encoders"] = json!([bench.encoder().to_string()]);
    let digest = bench.run(&spec).unwrap();
    assert_eq!(bench.run(&spec).unwrap(), digest);
    let document: ResultDocument = bench.object(&digest, RESULT);
    // Both are 51 of 255 away from the real ones: 0.2, and -10 log10(0.04) decibels.
    for method in ["pix2pix", "primary"] {
        assert!((value(&document, method, "image/l1") - 0.2).abs() < 1e-12);
        assert!((value(&document, method, "image/psnr") - 13.979_400_086_720_377).abs() < 1e-9);
        assert!(value(&document, method, "distance/frechet") > 0.0);
        assert!(value(&document, method, "distance/kernel") > 0.0);
    }
    let psnr = document.rows.iter().find(|row| row.metric == "image/psnr").unwrap();
    assert_eq!((psnr.n, psnr.ci_low.is_some(), psnr.artifact.is_some()), (6, true, true));
    assert!(document.rows.iter().all(|row| row.metric != "image/ms_ssim"), "32 px are too small for it");
    assert!(document.notes.iter().any(|note| note.contains("176 px")), "{:?}", document.notes);
    let scores: SampleScores = bench.object(&digest, SAMPLE_SCORES);
    assert_eq!(scores.samples.len(), SAMPLES);
    assert!((scores.samples[3].scores["image/l1"] - 0.2).abs() < 1e-12);

    // What is painted exactly has no finite PSNR and counts as 100 dB.
    let exact = bench.run(&judging(&dataset, &[bench.unet(&dataset, 151)], "ihc")).unwrap();
    let document: ResultDocument = bench.object(&exact, RESULT);
    assert_eq!(value(&document, "pix2pix", "image/psnr"), 100.0);
    assert!((value(&document, "pix2pix", "image/ssim") - 1.0).abs() < 1e-9);
}

#[test]
fn nuclei_are_scored_one_by_one_and_empty_tiles_do_not_count() {
    let bench = Bench::new();
    let dataset = bench.dataset();
    let names = ["background", "other", "inflammatory"].map(str::to_owned).to_vec();
    let network = GeneratorNetwork::Hovernet { mode: "fast".to_owned(), width: 1.0, types: names };
    // Three of four nuclei; the third has the wrong type.
    let layer = bench.layer(
        &dataset,
        network,
        &[("instances", LayerKind::Instance), ("types", LayerKind::Label)],
        |sample| {
            let empty = sample + 1 == SAMPLES;
            let found = if empty { corners([0; 4]) } else { corners([1, 2, 3, 0]) };
            let types = if empty { corners([0; 4]) } else { corners([1, 1, 1, 0]) };
            vec![
                file("painted", flat(0)),
                file("instances", encode_labels_png(&found).unwrap()),
                file("types", encode_labels_png(&types).unwrap()),
            ]
        },
    );
    let mut spec = judging(&dataset, &[layer], "instances");
    spec["reference_types"] = json!("types");
    let digest = bench.run(&spec).unwrap();
    let document: ResultDocument = bench.object(&digest, RESULT);
    let of = |metric: &str| value(&document, "hovernet", metric);
    assert!((of("nuclei/dice") - 6.0 / 7.0).abs() < 1e-9);
    assert!((of("nuclei/aji") - 0.75).abs() < 1e-9);
    assert!((of("nuclei/dq") - 6.0 / 7.0).abs() < 1e-9);
    assert!((of("nuclei/sq") - 1.0).abs() < 1e-5);
    assert!((of("nuclei/detection_f1") - 6.0 / 7.0).abs() < 1e-9);
    // Of type 1 two are right and one is called so wrongly, which counts twice; of type 2 none is right.
    assert!((of("nuclei/f1_other") - 4.0 / 6.0).abs() < 1e-9);
    assert_eq!(of("nuclei/f1_inflammatory"), 0.0);
    let dice = document.rows.iter().find(|row| row.metric == "nuclei/dice").unwrap();
    assert_eq!(dice.n, 5, "the tile without nuclei has no figure");
}

#[test]
fn what_cannot_be_compared_is_refused_by_name() {
    let bench = Bench::new();
    let dataset = bench.dataset();
    let painted = bench.unet(&dataset, 9);
    let (_, text) = bench.refusal(&judging(&dataset, &[painted], "instances"));
    assert!(text.contains("has no instances to compare"), "{text}");
    let (code, text) = bench.refusal(&judging(&dataset, &[painted], "cd3"));
    assert_eq!(code, ErrorCode::InvalidArgument);
    assert!(text.contains("reference") && text.contains("he, ihc, instances, types"), "{text}");
    let mut spec = judging(&dataset, &[painted], "ihc");
    spec["split"] = json!("valid");
    let (_, text) = bench.refusal(&spec);
    assert!(text.contains("no sample in split \"valid\""), "{text}");
    let network = GeneratorNetwork::Unet { depth: 5, filters: 4, norm: "batch".to_owned() };
    let small = encode_png(&Tile::filled(16, 16, 3, 1)).unwrap();
    let cut = bench.layer(&dataset, network, &[], |_| vec![file("painted", small.clone())]);
    let (_, text) = bench.refusal(&judging(&dataset, &[cut], "ihc"));
    assert!(text.contains("tile-0") && text.contains("16 x 16 and 32 x 32"), "{text}");
}
