//! A layer to judge, and the generator that painted it.

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_api::spec;
use counterstain_artifact::dataset::{Dataset, Layer};
use counterstain_artifact::{ArtifactKind, Digest, GeneratorBody, LayerInfo, LayerKind, Manifest};
use counterstain_worker::{Task, TaskError};

/// A painted layer with its lineage.
#[derive(Debug)]
pub struct Candidate {
    /// The layer.
    pub layer: Layer,
    /// The generator that painted it.
    pub generator: Digest,
    /// What that generator is.
    pub body: GeneratorBody,
    /// The dataset that it learned from; none for imported weights.
    pub train_dataset: Option<Digest>,
    /// The split that it learned from, and the seed of its training.
    train_split: Option<String>,
    /// Seed of its training.
    pub seed: u64,
}

impl Candidate {
    /// Opens a layer of `dataset`.
    ///
    /// # Errors
    /// When it belongs to another dataset, or no generator painted it.
    pub fn open(task: &Task, dataset: &Dataset, digest: &Digest) -> Result<Self, TaskError> {
        let layer = task.block_on(Layer::open(task.store(), digest))?;
        layer.check_pairs(dataset)?;
        let manifest = task.block_on(task.store().manifest(digest))?;
        let generator = manifest.input("generator").ok_or_else(|| {
            let text =
                format!("layers: {} was painted by no generator: there is nothing to judge", digest.short());
            TaskError::new(ErrorCode::InvalidArgument, text)
        })?;
        let manifest = task.block_on(task.store().manifest(&generator))?;
        let body: GeneratorBody = manifest.body_of(ArtifactKind::Generator)?;
        let (train_split, seed) = training(&manifest).unzip();
        Ok(Self {
            layer,
            generator,
            body,
            train_dataset: manifest.input("dataset"),
            train_split,
            seed: seed.unwrap_or(0),
        })
    }

    /// Name for logs and notes.
    pub fn title(&self) -> String {
        format!("{} {} ({})", self.body.method, self.layer.body.layer.name, self.generator.short())
    }

    /// Whether the generator learned from samples of this split of this dataset.
    pub fn learned_from(&self, dataset: &Dataset, split: &str) -> bool {
        self.train_dataset == Some(dataset.digest)
            && self
                .train_split
                .as_deref()
                .is_some_and(|learned| learned.is_empty() || split.is_empty() || learned == split)
    }

    /// The companion of this name and kind.
    pub fn companion(&self, name: &str, kind: LayerKind) -> Option<&LayerInfo> {
        self.layer.body.companions.iter().find(|info| info.name == name && info.kind == kind)
    }
}

/// Split and seed of a generator's training, whether its canonical spec states them or leaves out the defaults.
fn training(manifest: &Manifest) -> Option<(String, u64)> {
    let kind = match manifest.job_kind.as_deref() {
        Some("train_segmenter") => JobKind::TrainSegmenter,
        _ => JobKind::TrainGenerator,
    };
    let spec = spec::from_json(kind, manifest.spec.as_ref()?).ok()?;
    match spec::resolve(&spec).ok()?.kind? {
        Kind::TrainGenerator(spec) => Some((spec.split().to_owned(), spec.seed())),
        Kind::TrainSegmenter(spec) => Some((spec.split().to_owned(), spec.seed())),
        _ => None,
    }
}
