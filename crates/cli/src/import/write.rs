//! Writes prepared samples into shards and, at the end, the manifest.
//!
//! Invariants: the manifest comes last, so an import that stops anywhere registers nothing; shards wait in
//! a local folder until nothing can go wrong with the files any more (with `skip_bad` they need not wait).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use counterstain_artifact::shard::{
    FinishedShard, SampleEntry, SampleMeta, ShardLimits, ShardWriter, StoredShard,
};
use counterstain_artifact::{
    ArtifactKind, DatasetBody, Digest, LayerInfo, LayerKind, ManifestParts, NamedObject, Skipped, Store,
};
use serde_json::Value;
use tokio::runtime::Handle;

use super::error::ImportError;

/// A sample to write; files in the order of the layers.
#[derive(Debug)]
pub struct Sample {
    /// Key.
    pub key: String,
    /// Extension, bytes and channels per layer.
    pub files: Vec<(String, Bytes, usize)>,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Class.
    pub label: Option<Arc<str>>,
    /// Split.
    pub split: Option<Arc<str>>,
    /// Patient or slide.
    pub group: Option<String>,
}

/// What is said of the dataset besides its samples.
#[derive(Clone, Debug)]
pub struct About {
    /// Name for people.
    pub name: String,
    /// Microns per pixel of the written tiles.
    pub microns_per_pixel: Option<f64>,
    /// Options that decided the content.
    pub source: Value,
}

/// What was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Digest of the dataset.
    pub digest: Digest,
    /// Its body.
    pub body: DatasetBody,
}

/// Writes a dataset, sample by sample.
pub struct DatasetWriter {
    store: Store,
    handle: Handle,
    spool: PathBuf,
    holds_shards: bool,
    open: Option<ShardWriter>,
    held: Vec<FinishedShard>,
    stored: Vec<StoredShard>,
    layers: Vec<LayerSummary>,
    labels: BTreeSet<Arc<str>>,
    splits: BTreeMap<Arc<str>, u64>,
    samples: u64,
}

/// What is found out about a layer on the way.
struct LayerSummary {
    name: String,
    kind: LayerKind,
    channels: usize,
    extension: Common<String>,
    width: Common<usize>,
    height: Common<usize>,
}

/// A value that all samples share, as long as they do.
#[derive(Clone, Debug, PartialEq)]
enum Common<T> {
    Unknown,
    Shared(T),
    Mixed,
}

impl<T: PartialEq> Common<T> {
    fn add(&mut self, value: T) {
        *self = match std::mem::replace(self, Self::Mixed) {
            Self::Unknown => Self::Shared(value),
            Self::Shared(known) if known == value => Self::Shared(known),
            _ => Self::Mixed,
        };
    }

    fn shared(self) -> Option<T> {
        match self {
            Self::Shared(value) => Some(value),
            _ => None,
        }
    }
}

impl DatasetWriter {
    /// A writer of samples with these layers. Shards are built in `spool`; with `holds_shards` they stay
    /// there until [`Self::finish`].
    pub fn new(
        store: &Store,
        handle: &Handle,
        spool: PathBuf,
        layers: impl IntoIterator<Item = (String, LayerKind)>,
        holds_shards: bool,
    ) -> Self {
        let layers = layers
            .into_iter()
            .map(|(name, kind)| LayerSummary {
                name,
                kind,
                channels: 1,
                extension: Common::Unknown,
                width: Common::Unknown,
                height: Common::Unknown,
            })
            .collect();
        Self {
            store: store.clone(),
            handle: handle.clone(),
            spool,
            holds_shards,
            open: None,
            held: Vec::new(),
            stored: Vec::new(),
            layers,
            labels: BTreeSet::new(),
            splits: BTreeMap::new(),
            samples: 0,
        }
    }

    /// Appends a sample. Call from a thread that may block.
    ///
    /// # Errors
    /// Those of the local disk and of the store.
    pub fn add(&mut self, sample: Sample) -> Result<(), ImportError> {
        for (layer, (extension, _, channels)) in self.layers.iter_mut().zip(&sample.files) {
            layer.channels = layer.channels.max(*channels);
            layer.extension.add(extension.clone());
            layer.width.add(sample.width);
            layer.height.add(sample.height);
        }
        self.labels.extend(sample.label.clone());
        if let Some(split) = &sample.split {
            *self.splits.entry(Arc::clone(split)).or_default() += 1;
        }
        self.samples += 1;
        let names = self.layers.iter().map(|layer| layer.name.clone());
        let entry = SampleEntry {
            key: sample.key,
            files: names
                .zip(sample.files)
                .map(|(name, (extension, bytes, _))| (name, extension, bytes))
                .collect(),
            meta: Some(SampleMeta {
                group: sample.group,
                label: sample.label.as_deref().map(str::to_owned),
                split: sample.split.as_deref().map(str::to_owned),
            }),
        };
        let shard = match &mut self.open {
            Some(shard) => shard,
            None => self.open.insert(ShardWriter::new(&self.spool)?),
        };
        shard.add(&entry)?;
        if shard.is_full(&ShardLimits::default()) {
            self.close_shard()?;
        }
        Ok(())
    }

    fn close_shard(&mut self) -> Result<(), ImportError> {
        let Some(shard) = self.open.take() else { return Ok(()) };
        self.held.push(shard.finish()?);
        if !self.holds_shards {
            self.store_held()?;
        }
        Ok(())
    }

    fn store_held(&mut self) -> Result<(), ImportError> {
        for shard in self.held.drain(..) {
            self.stored.push(self.handle.block_on(shard.put(&self.store))?);
        }
        Ok(())
    }

    /// Writes what is left and the manifest. Call from a thread that may block.
    ///
    /// # Errors
    /// Those of the local disk and of the store.
    pub fn finish(mut self, about: About, skipped: Vec<Skipped>) -> Result<Imported, ImportError> {
        self.close_shard()?;
        self.store_held()?;
        let objects: Vec<NamedObject> =
            self.stored.iter().enumerate().flat_map(|(position, shard)| shard.objects(position)).collect();
        let microns_per_pixel = about.microns_per_pixel;
        let body = DatasetBody {
            name: about.name,
            primary: self.layers.first().map(|layer| layer.name.clone()).unwrap_or_default(),
            layers: self.layers.into_iter().map(|layer| layer.info(microns_per_pixel)).collect(),
            classes: self.labels.iter().map(|label| label.to_string()).collect(),
            splits: self.splits.iter().map(|(split, &samples)| (split.to_string(), samples)).collect(),
            samples: self.samples,
            shards: self.stored.iter().map(|shard| shard.info.clone()).collect(),
            microns_per_pixel,
            skipped,
            source: about.source,
        };
        let manifest = ManifestParts::new(ArtifactKind::Dataset, &body).manifest(objects);
        let digest = self.handle.block_on(self.store.put_manifest(&manifest))?;
        Ok(Imported { digest, body })
    }
}

impl LayerSummary {
    fn info(self, microns_per_pixel: Option<f64>) -> LayerInfo {
        let extension = self.extension.shared().unwrap_or_default();
        let media_type = match extension.as_str() {
            "png" => "image/png",
            "jpg" | "jpeg" => "image/jpeg",
            "tif" | "tiff" => "image/tiff",
            _ => "application/octet-stream",
        };
        let side = |side: Common<usize>| side.shared().and_then(|side| u32::try_from(side).ok());
        LayerInfo {
            name: self.name,
            kind: self.kind,
            channels: self.channels as u32,
            media_type: media_type.to_owned(),
            extension,
            palette: None,
            width: side(self.width),
            height: side(self.height),
            microns_per_pixel,
        }
    }
}
