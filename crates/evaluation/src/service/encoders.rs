//! Encoders of the store: what they are, where they come from, and the random ones
//! that stand beside them.

use std::collections::BTreeSet;

use bytes::Bytes;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_api::spec;
use counterstain_artifact::{
    ArtifactKind, Digest, EncoderBody, Manifest, ManifestParts, Store, WEIGHTS, get_named, put_artifact,
};
use counterstain_worker::{Task, TaskError};
use tch::{Device, Kind as TensorKind};

use crate::engine::encoder::{Architecture, Encoder};

/// Method of the random floor in result rows.
pub const RANDOM: &str = "random";

/// An encoder and its lineage, as far as result rows state it.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The artifact.
    pub digest: Digest,
    /// Its manifest's body.
    pub body: EncoderBody,
    /// The dataset that it learnt from.
    pub train_dataset: Option<Digest>,
    /// The generator of its first privileged layer that was generated.
    pub generator: Option<Digest>,
    /// Seed of its training, or of its initialisation.
    pub seed: u64,
}

impl Description {
    /// What the encoder is, for the engine.
    pub fn architecture(&self) -> Architecture {
        Architecture {
            name: self.body.architecture.clone(),
            image_size: self.body.image_size,
            normalisation: self.body.normalisation.clone(),
        }
    }

    /// Name for logs and notes.
    pub fn title(&self) -> String {
        match (self.body.method.as_str(), self.body.loss.as_str()) {
            (RANDOM, _) => format!("random {}", self.body.architecture),
            (method, "") => format!("{method} {}", self.body.architecture),
            (method, loss) => format!("{method} {loss} {}", self.body.architecture),
        }
    }
}

/// Reads what an encoder is and what it was made from.
pub async fn describe(store: &Store, digest: &Digest) -> Result<Description, TaskError> {
    let manifest = store.manifest(digest).await?;
    let body: EncoderBody = manifest.body_of(ArtifactKind::Encoder)?;
    let mut generator = None;
    for input in manifest.inputs.iter().filter(|input| input.name.starts_with("layer/")) {
        if generator.is_none() {
            generator = store.manifest(&input.digest).await?.input("generator");
        }
    }
    let seed = if body.method == RANDOM { random_seed(&manifest) } else { training_seed(&manifest) };
    Ok(Description { digest: *digest, train_dataset: manifest.input("dataset"), generator, seed, body })
}

/// The seed of the training, whether the canonical spec states it or leaves out the
/// default.
fn training_seed(manifest: &Manifest) -> u64 {
    let spec = manifest.spec.as_ref().and_then(|value| spec::from_json(JobKind::TrainEncoder, value).ok());
    let resolved = spec.and_then(|spec| spec::resolve(&spec).ok());
    match resolved.and_then(|spec| spec.kind) {
        Some(Kind::TrainEncoder(spec)) => spec.seed(),
        _ => 0,
    }
}

fn random_seed(manifest: &Manifest) -> u64 {
    manifest.spec.as_ref().and_then(|spec| spec.get("seed")).and_then(serde_json::Value::as_u64).unwrap_or(0)
}

/// The weights' file of an encoder, verified.
pub async fn weights(store: &Store, digest: &Digest) -> Result<Bytes, TaskError> {
    let manifest = store.manifest(digest).await?;
    Ok(get_named(store, &manifest, WEIGHTS).await?)
}

/// Builds an encoder on a device.
pub fn build(
    description: &Description,
    weights: &[u8],
    device: Device,
    dtype: Option<TensorKind>,
) -> Result<Encoder, TaskError> {
    Encoder::new(description.architecture(), weights, device, dtype).map_err(|error| {
        let TaskError { code, message, .. } = error.into();
        TaskError::new(code, format!("encoder {}: {message}", description.digest))
    })
}

/// One randomly initialised encoder for each architecture among `trained`, as artifacts
/// of the store: the same seed gives the same digests anywhere.
pub fn random_ones(task: &Task, trained: &[Description], seed: u64) -> Result<Vec<Description>, TaskError> {
    let architectures: BTreeSet<Architecture> = trained.iter().map(Description::architecture).collect();
    architectures.into_iter().map(|architecture| random_one(task, &architecture, seed)).collect()
}

fn random_one(task: &Task, architecture: &Architecture, seed: u64) -> Result<Description, TaskError> {
    let body = EncoderBody {
        architecture: architecture.name.clone(),
        representation_width: architecture.representation_width()? as u32,
        image_size: architecture.image_size,
        normalisation: architecture.normalisation.clone(),
        method: RANDOM.to_owned(),
        loss: String::new(),
        privileged: Vec::new(),
    };
    let mut parts = ManifestParts::new(ArtifactKind::Encoder, &body);
    // No job makes it: the seed is all there is to say.
    parts.spec = Some(serde_json::json!({ "seed": seed }));
    let weights = Bytes::from(architecture.random_weights(seed)?);
    let digest = task.block_on(put_artifact(task.store(), parts, vec![(WEIGHTS.to_owned(), weights)]))?;
    task.register_artifact(&digest)?;
    Ok(Description { digest, body, train_dataset: None, generator: None, seed })
}
