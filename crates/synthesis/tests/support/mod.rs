//! A small dataset in a store in memory, and tasks on it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::{JobKind, JobSpec};
use counterstain_api::spec;
use counterstain_artifact::dataset::{DatasetDescription, DatasetWriter};
use counterstain_artifact::shard::{SampleEntry, SampleMeta, ShardLimits};
use counterstain_artifact::{Digest, LayerInfo, LayerKind, Store};
use counterstain_synthesis::service::SynthesisEngine;
use counterstain_tile::Tile;
use counterstain_tile::encode::{encode_labels_png, encode_png};
use counterstain_tile::random::Stream;
use counterstain_worker::testing::{Recorder, TestTask};
use counterstain_worker::{Engine, TaskError};
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Pixels of a tile's side.
pub const SIDE: usize = 32;

/// A store with a runtime and a scratch folder.
pub struct World {
    pub store: Store,
    pub runtime: Runtime,
    pub folder: TempDir,
}

impl World {
    pub fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { store: Store::open("memory:").unwrap(), runtime, folder: TempDir::new().unwrap() }
    }

    /// A dataset of `samples` tiles in shards of three, with layers `types` (labels 0 to 5)
    /// and `grey` (one channel); every fifth sample is in split `test`.
    pub fn dataset(&self, samples: usize) -> Digest {
        self.dataset_with(samples, |_| SIDE)
    }

    /// The same with another side of the label map of each sample.
    pub fn dataset_with(&self, samples: usize, label_side: impl Fn(usize) -> usize) -> Digest {
        let limits = ShardLimits { samples: 3, ..ShardLimits::default() };
        let mut writer = DatasetWriter::new(&self.store, self.folder.path()).with_limits(limits);
        for sample in 0..samples {
            let (tissue, types) = tissue(sample as u64);
            let types = types.crop(0, 0, label_side(sample).min(SIDE), SIDE).unwrap();
            let grey = Tile::new(SIDE, SIDE, 1, tissue.data.iter().step_by(3).copied().collect()).unwrap();
            let file = |layer: &str, bytes: Vec<u8>| (layer.to_owned(), "png".to_owned(), Bytes::from(bytes));
            let split = if sample % 5 == 4 { "test" } else { "train" };
            let entry = SampleEntry {
                key: format!("tile/{sample:03}"),
                files: vec![
                    file("he", encode_png(&tissue).unwrap()),
                    file("types", encode_labels_png(&types).unwrap()),
                    file("grey", encode_png(&grey).unwrap()),
                ],
                meta: Some(SampleMeta { split: Some(split.to_owned()), ..SampleMeta::default() }),
            };
            self.runtime.block_on(writer.add(entry)).unwrap();
        }
        let description = DatasetDescription {
            name: "small".to_owned(),
            layers: vec![
                layer("he", LayerKind::Image, 3),
                layer("types", LayerKind::Label, 1),
                layer("grey", LayerKind::Image, 1),
            ],
            primary: "he".to_owned(),
            microns_per_pixel: Some(1.0),
            skipped: Vec::new(),
            source: Value::Null,
        };
        self.runtime.block_on(writer.finish(description)).unwrap()
    }

    /// A task on a resolved spec.
    pub fn task(&self, kind: JobKind, spec: &Value) -> TestTask {
        TestTask::new(resolved(kind, spec), self.store.clone())
    }

    /// Runs a task to its end, or to its stop.
    pub fn run(&self, task: TestTask) -> (Result<Digest, TaskError>, Arc<Recorder>) {
        let (task, recorder) = task.build(self.folder.path(), self.runtime.handle().clone());
        (SynthesisEngine::new(tch::Device::Cpu).run(&task), recorder)
    }

    /// Trains a tiny generator of `layer` for a few steps.
    pub fn generator(&self, dataset: &Digest, layer: &str) -> Digest {
        let task = self.task(JobKind::TrainGenerator, &training(dataset, layer));
        self.run(task).0.unwrap()
    }

    /// The code and text of the error that a task ends with.
    pub fn refusal(&self, kind: JobKind, spec: &Value) -> (ErrorCode, String) {
        let error = self.run(self.task(kind, spec)).0.unwrap_err();
        assert!(!error.is_stop());
        (error.code, error.message)
    }
}

/// A tiny training spec.
pub fn training(dataset: &Digest, layer: &str) -> Value {
    json!({
        "dataset": dataset.to_string(),
        "layer": layer,
        "epochs": 3,
        "batch_size": 3,
        "depth": 3,
        "filters": 4,
        "discriminator_filters": 4,
        "discriminator_layers": 2,
        "dtype": "f32",
        "seed": 7,
    })
}

pub fn resolved(kind: JobKind, spec: &Value) -> JobSpec {
    spec::resolve(&spec::from_json(kind, spec).unwrap()).unwrap()
}

/// A tile with coloured blobs, and their types.
pub fn tissue(seed: u64) -> (Tile<u8>, Tile<u32>) {
    let mut random = Stream::new(seed, "tissue", &[]);
    let mut tissue = Tile::filled(SIDE, SIDE, 3, 220_u8);
    let mut types = Tile::filled(SIDE, SIDE, 1, 0_u32);
    for _ in 0..6 {
        let (left, top, kind) =
            (random.below(28) as usize, random.below(28) as usize, random.below(5) as u32 + 1);
        for y in top..top + 4 {
            for x in left..left + 4 {
                types.pixel_mut(x, y)[0] = kind;
                tissue.pixel_mut(x, y).copy_from_slice(&[80, 20 * kind as u8, 120]);
            }
        }
    }
    (tissue, types)
}

fn layer(name: &str, kind: LayerKind, channels: u32) -> LayerInfo {
    LayerInfo {
        name: name.to_owned(),
        kind,
        channels,
        media_type: "image/png".to_owned(),
        extension: "png".to_owned(),
        palette: None,
        width: Some(SIDE as u32),
        height: Some(SIDE as u32),
        microns_per_pixel: Some(1.0),
    }
}
