//! Bodies of manifests: what depends on the kind of the artifact.

use std::collections::BTreeMap;

use counterstain_api::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::manifest::{ArtifactKind, Manifest, NamedInput, NamedObject, SCHEMA};
use crate::{Error, shard};

/// A shard of a dataset or layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardInfo {
    /// Digest of the WebDataset tar.
    pub tar: Digest,
    /// Digest of its index.
    pub index: Digest,
    /// Samples in it.
    pub samples: u64,
}

/// What the values of a layer's images mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// Intensities; may be blended and interpolated.
    Image,
    /// A class number per pixel; never blended.
    Label,
    /// An instance number per pixel; never blended.
    Instance,
}

/// What is known of the images of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerInfo {
    /// Name, as in the members' file names: `he`, `nuclei`, `types` ...
    pub name: String,
    /// What the values mean.
    pub kind: LayerKind,
    /// Channels of each image once decoded.
    pub channels: u32,
    /// Media type where all images share it, else `application/octet-stream`.
    pub media_type: String,
    /// File extension where all images share it, else empty.
    pub extension: String,
    /// Colours of the classes, for label layers that were painted or are to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub palette: Option<Vec<[u8; 3]>>,
    /// Width in pixels, when all images share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, when all images share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Micrometres per pixel, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microns_per_pixel: Option<f64>,
}

impl LayerInfo {
    /// A layer of PNG images of any size, without a palette.
    pub fn png(name: impl Into<String>, channels: u32) -> Self {
        Self {
            name: name.into(),
            kind: LayerKind::Image,
            channels,
            media_type: "image/png".to_owned(),
            extension: "png".to_owned(),
            palette: None,
            width: None,
            height: None,
            microns_per_pixel: None,
        }
    }
}

/// A file that an import left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// Path relative to what was imported.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Body of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetBody {
    /// A name for people.
    pub name: String,
    /// The layers inside its shards.
    pub layers: Vec<LayerInfo>,
    /// Name of the layer that exists at inference, usually `he`.
    pub primary: String,
    /// Labels that occur, sorted.
    pub classes: Vec<String>,
    /// Samples of each split; samples without one are not counted.
    pub splits: BTreeMap<String, u64>,
    /// Samples in all.
    pub samples: u64,
    /// Shards, in the order of the samples.
    pub shards: Vec<ShardInfo>,
    /// Micrometres per pixel of the primary layer, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microns_per_pixel: Option<f64>,
    /// Files that the import left out.
    pub skipped: Vec<Skipped>,
    /// Options of the import or simulation.
    pub source: Value,
}

/// Body of a layer. Shard `i` holds exactly the samples of the dataset's shard `i`, in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerBody {
    /// A name for people.
    pub name: String,
    /// The dataset it belongs to.
    pub dataset: Digest,
    /// Its images: the layer that is meant where none is named.
    pub layer: LayerInfo,
    /// Further images of each sample in the same shards, such as instances and types beside painted nuclei.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<LayerInfo>,
    /// Shards, in the order of the dataset's.
    pub shards: Vec<ShardInfo>,
    /// Parquet tables of the objects in each shard's images (nuclei), one per shard; or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Digest>,
}

impl LayerBody {
    /// The layer of this name, or the main one where none is named.
    ///
    /// # Errors
    /// `Mismatch` that lists the layers there are.
    pub fn layer_named(&self, name: Option<&str>) -> Result<&LayerInfo, Error> {
        let mut all = std::iter::once(&self.layer).chain(&self.companions);
        match name {
            None => Ok(&self.layer),
            Some(name) => all.clone().find(|layer| layer.name == name).ok_or_else(|| {
                let known: Vec<&str> = all.by_ref().map(|layer| layer.name.as_str()).collect();
                let reason = format!("has no layer {name:?}; it has {}", known.join(", "));
                Error::mismatch(format!("layer artifact {:?}", self.name), reason)
            }),
        }
    }
}

/// Body of a layer part: one shard of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerPartBody {
    /// Which shard, from 0.
    pub part: u32,
    /// The shard.
    pub shard: ShardInfo,
    /// Its images.
    pub layer: LayerInfo,
    /// Further images of each sample, as in [`LayerBody::companions`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<LayerInfo>,
    /// The dataset it belongs to.
    pub dataset: Digest,
    /// Parquet table of the objects in its images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Digest>,
}

/// Body of a generator; its weights are [`crate::WEIGHTS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorBody {
    /// `pix2pix`, `cyclegan` or `hovernet`.
    pub method: String,
    /// The network and its sizes.
    pub network: GeneratorNetwork,
    /// Channels in.
    pub in_channels: u32,
    /// Channels out; of a segmenter, those of the picture that it paints.
    pub out_channels: u32,
    /// Name of the layer that it reads: a dataset's primary one, unless it was trained in the other direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The stored intensities that -1 and 1 stand for, for each channel out, where these are not 0 and 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intensity: Option<Vec<[u8; 2]>>,
    /// The layer that it paints.
    pub layer: LayerInfo,
}

/// A generator's network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GeneratorNetwork {
    /// The U-Net of pix2pix.
    Unet {
        /// Times that it halves the image.
        depth: u32,
        /// Filters of the first layer.
        filters: u32,
        /// `batch` or `instance`.
        norm: String,
    },
    /// The residual generator of cycleGAN. Where both directions were trained, [`crate::REVERSE_WEIGHTS`] holds
    /// the other one.
    Resnet {
        /// Residual blocks.
        blocks: u32,
        /// Filters of the first layer.
        filters: u32,
        /// `batch` or `instance`.
        norm: String,
        /// Whether its blocks have a dropout layer (it shifts the tensors' names).
        dropout: bool,
    },
    /// HoVer-Net.
    Hovernet {
        /// `fast` or `original`.
        mode: String,
        /// Share of the published network's channels.
        width: f64,
        /// Names of the types, background first; empty for a network without types.
        types: Vec<String>,
    },
}

/// Body of an encoder; its weights are [`crate::WEIGHTS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderBody {
    /// `resnet18`, `resnet34`, `resnet50`, or `inception_v3` (FID's, imported).
    pub architecture: String,
    /// Width of a representation.
    pub representation_width: u32,
    /// Side of the square images that it was trained on, in pixels.
    pub image_size: u32,
    /// How 0..255 becomes input; `0-1` divides by 255; imported encoders also have `-1-1`, `0-255` and `imagenet`.
    pub normalisation: String,
    /// `trident`, `siamese`, `unprivileged`, `supervised`; `published` for imported weights.
    pub method: String,
    /// `vicreg`, `infonce`, `cross-entropy` ...
    pub loss: String,
    /// Names of the privileged layers.
    pub privileged: Vec<String>,
}

/// Body of representations; object [`crate::REPRESENTATIONS`] holds the tensor `representations` (f32, samples × width, in dataset order).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepresentationsBody {
    /// The encoder; none for one with random weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Digest>,
    /// The dataset.
    pub dataset: Digest,
    /// Width of a representation.
    pub width: u32,
    /// Samples.
    pub samples: u64,
}

/// Body of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointBody {
    /// Kind of the job, such as `train_encoder`.
    pub job_kind: String,
    /// Steps that are done.
    pub step: u64,
    /// Epoch that the next step belongs to, from 0.
    pub epoch: u64,
    /// Digest of the job's canonical spec.
    pub spec_digest: Digest,
    /// Version of the checkpoint's content, which the kind of job counts for itself.
    pub schema: u32,
}

impl CheckpointBody {
    /// Whether a job can go on from here.
    ///
    /// # Errors
    /// `NewerSchema` or `Mismatch` that says what differs.
    pub fn check(&self, job_kind: &str, spec_digest: &Digest, schema: u32) -> Result<(), Error> {
        let what = format!("checkpoint of {} at step {}", self.job_kind, self.step);
        if self.job_kind != job_kind {
            return Err(Error::mismatch(what, format!("cannot be resumed by {job_kind}")));
        }
        if self.schema > schema {
            return Err(Error::NewerSchema { what, found: self.schema, supported: schema });
        }
        if self.schema < schema {
            return Err(Error::mismatch(
                what,
                format!(
                    "has schema {}, this program resumes from schema {schema}; start the job afresh",
                    self.schema
                ),
            ));
        }
        if self.spec_digest != *spec_digest {
            return Err(Error::mismatch(
                what,
                format!(
                    "belongs to spec {}, not to {}; start the job afresh",
                    self.spec_digest.short(),
                    spec_digest.short()
                ),
            ));
        }
        Ok(())
    }
}

/// Body of a result; the document is [`crate::RESULT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultBody {
    /// Rows of the document.
    pub rows: u64,
}

/// The manifest of the layer whose shards are `parts`, in part order. Spec, profile and inputs are theirs.
///
/// # Errors
/// `Mismatch` where a part is missing, out of order or made in another way than the first.
pub fn layer_from_parts(name: &str, parts: &[Manifest]) -> Result<Manifest, Error> {
    let Some(first) = parts.first() else {
        return Err(Error::mismatch(format!("layer {name:?}"), "has no parts"));
    };
    let first_body: LayerPartBody = first.body_of(ArtifactKind::LayerPart)?;
    let mut shards = Vec::with_capacity(parts.len());
    let mut tables = Vec::new();
    let mut objects: Vec<NamedObject> = Vec::with_capacity(2 * parts.len());
    for (position, part) in parts.iter().enumerate() {
        let body: LayerPartBody = part.body_of(ArtifactKind::LayerPart)?;
        let differs = |reason: &str| Error::mismatch(format!("part {position} of layer {name:?}"), reason);
        if u64::from(body.part) != position as u64 {
            return Err(differs(&format!("is numbered {}", body.part)));
        }
        if body.dataset != first_body.dataset
            || body.layer != first_body.layer
            || body.companions != first_body.companions
            || body.table.is_some() != first_body.table.is_some()
        {
            return Err(differs("has another dataset or other images than part 0"));
        }
        if part.spec != first.spec || part.profile != first.profile || part.inputs != first.inputs {
            return Err(differs("was made with another spec, profile or input than part 0"));
        }
        let size_of = |digest: &Digest| {
            part.objects
                .iter()
                .find(|object| object.digest == *digest)
                .map(|object| object.size)
                .ok_or_else(|| differs("does not list the objects of its shard"))
        };
        let (tar, index) = shard::object_names(position);
        objects.push(NamedObject { name: tar, size: size_of(&body.shard.tar)?, digest: body.shard.tar });
        objects.push(NamedObject {
            name: index,
            size: size_of(&body.shard.index)?,
            digest: body.shard.index,
        });
        if let Some(digest) = body.table {
            let name = shard::table_name(position);
            objects.push(NamedObject { name, size: size_of(&digest)?, digest });
            tables.push(digest);
        }
        shards.push(body.shard);
    }
    let LayerPartBody { dataset, layer, companions, .. } = first_body;
    let body = LayerBody { name: name.to_owned(), dataset, layer, companions, shards, tables };
    let inputs: Vec<NamedInput> = first.inputs.clone();
    Ok(Manifest {
        kind: ArtifactKind::Layer,
        schema: SCHEMA,
        objects,
        inputs,
        job_kind: first.job_kind.clone(),
        spec: first.spec.clone(),
        profile: first.profile.clone(),
        body: to_value(&body),
    })
}

/// A body as JSON.
pub(crate) fn to_value(body: &impl Serialize) -> Value {
    serde_json::to_value(body).expect("bodies have string keys only")
}
