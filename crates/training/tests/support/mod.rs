//! A dataset of simulated tissue in a store in memory, and runs on it.

use std::sync::Arc;

use counterstain_api::proto::job::v1::JobSpec;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_api::proto::training::v1::TrainEncoderSpec;
use counterstain_api::{Digest, spec};
use counterstain_artifact::dataset::{DatasetDescription, DatasetWriter};
use counterstain_artifact::faults::Faulty;
use counterstain_artifact::shard::{SampleEntry, SampleMeta};
use counterstain_artifact::{LayerInfo, LayerKind, Manifest, Store};
use counterstain_simulate::Tissue;
use counterstain_tile::encode::{encode_labels_png, encode_png};
use counterstain_training::service::TrainingEngine;
use counterstain_worker::testing::{Recorder, TestTask};
use counterstain_worker::{Engine, TaskError};
use object_store::memory::InMemory;
use tch::Device;
use tokio::runtime::Runtime;

pub struct World {
    /// Fails on demand.
    pub backend: Arc<Faulty>,
    runtime: Runtime,
    folder: tempfile::TempDir,
    store: Store,
    pub dataset: Digest,
}

pub struct Run {
    pub outcome: Result<Digest, TaskError>,
    pub recorder: Arc<Recorder>,
}

impl World {
    /// A world with `samples` tiles of 32 px, layers `he` and `types`, in split `train`.
    pub fn new(samples: u64) -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let backend = Arc::new(Faulty::new(Arc::new(InMemory::new())));
        let store = Store::from_backend(backend.clone(), "memory:");
        let tissue = Tissue { size: 32, seed: 1, ..Tissue::default() };
        let dataset = runtime.block_on(async {
            let mut writer = DatasetWriter::new(&store, folder.path());
            for index in 0..samples {
                let sample = tissue.sample(index, 0, (index % 2) as usize);
                let files = vec![
                    ("he".to_owned(), "png".to_owned(), encode_png(&sample.he).unwrap().into()),
                    ("types".to_owned(), "png".to_owned(), encode_labels_png(&sample.types).unwrap().into()),
                ];
                let meta =
                    SampleMeta { label: Some(sample.label), group: None, split: Some("train".to_owned()) };
                writer
                    .add(SampleEntry { key: format!("tile{index}"), files, meta: Some(meta) })
                    .await
                    .unwrap();
            }
            let layer = |name: &str, kind, channels| LayerInfo {
                name: name.to_owned(),
                kind,
                channels,
                media_type: "image/png".to_owned(),
                extension: "png".to_owned(),
                palette: None,
                width: Some(32),
                height: Some(32),
                microns_per_pixel: None,
            };
            let description = DatasetDescription {
                name: "simulated".to_owned(),
                layers: vec![layer("he", LayerKind::Image, 3), layer("types", LayerKind::Label, 1)],
                primary: "he".to_owned(),
                microns_per_pixel: None,
                skipped: Vec::new(),
                source: Default::default(),
            };
            writer.finish(description).await.unwrap()
        });
        Self { backend, runtime, folder, store, dataset }
    }

    pub fn manifest(&self, digest: &Digest) -> Manifest {
        self.runtime.block_on(self.store.manifest(digest)).unwrap()
    }

    pub fn run(&self, spec: TrainEncoderSpec) -> Run {
        self.run_with(spec, |_| {})
    }

    pub fn run_with(&self, spec: TrainEncoderSpec, set_up: impl FnOnce(&mut TestTask)) -> Run {
        let written = JobSpec { kind: Some(Kind::TrainEncoder(spec)) };
        // A spec that breaks a rule on purpose runs as it is.
        let resolved = spec::resolve(&written).unwrap_or_else(|_| defaults(&written));
        let mut task = TestTask::new(resolved, self.store.clone());
        set_up(&mut task);
        let (task, recorder) = task.build(&self.folder.path().join("cache"), self.runtime.handle().clone());
        Run { outcome: TrainingEngine::new(Device::Cpu).run(&task), recorder }
    }
}

/// The defaults for a spec whose learning rate is out of range.
fn defaults(written: &JobSpec) -> JobSpec {
    let Some(Kind::TrainEncoder(spec)) = &written.kind else { panic!("another kind") };
    let tame =
        JobSpec { kind: Some(Kind::TrainEncoder(TrainEncoderSpec { learning_rate: None, ..spec.clone() })) };
    let mut resolved = spec::resolve(&tame).unwrap();
    if let Some(Kind::TrainEncoder(resolved)) = &mut resolved.kind {
        resolved.learning_rate = spec.learning_rate;
    }
    resolved
}
