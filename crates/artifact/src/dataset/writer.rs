//! Writing a dataset: samples in, shards out as they fill up, the manifest last.
//!
//! Memory holds one sample, one shard's index and 16 bytes for each key; the disk holds one shard.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use counterstain_api::Digest;
use serde_json::Value;

use crate::body::{DatasetBody, LayerInfo, Skipped};
use crate::manifest::{ArtifactKind, NamedObject};
use crate::shard::{SampleEntry, ShardLimits, ShardWriter, StoredShard};
use crate::{Error, ManifestParts, Store};

/// What a dataset's manifest says beside what its samples say.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetDescription {
    /// A name for people.
    pub name: String,
    /// The layers; each sample must have exactly these.
    pub layers: Vec<LayerInfo>,
    /// The layer that exists at inference.
    pub primary: String,
    /// Micrometres per pixel of the primary layer, where known.
    pub microns_per_pixel: Option<f64>,
    /// Files that were left out.
    pub skipped: Vec<Skipped>,
    /// Options of the import or simulation. No paths of this machine, or the digest will depend on them.
    pub source: Value,
}

/// Writes a dataset. Nothing is an artifact before [`DatasetWriter::finish`]: a writer that is dropped leaves
/// at most objects that nothing refers to.
pub struct DatasetWriter {
    store: Store,
    dir: PathBuf,
    limits: ShardLimits,
    shard: Option<ShardWriter>,
    stored: Vec<StoredShard>,
    keys: HashSet<[u8; 16]>,
    layers: Option<BTreeSet<String>>,
    classes: BTreeSet<String>,
    splits: BTreeMap<String, u64>,
}

impl DatasetWriter {
    /// A writer that spools shards in `dir` (made when missing).
    pub fn new(store: &Store, dir: &Path) -> Self {
        Self {
            store: store.clone(),
            dir: dir.to_owned(),
            limits: ShardLimits::default(),
            shard: None,
            stored: Vec::new(),
            keys: HashSet::new(),
            layers: None,
            classes: BTreeSet::new(),
            splits: BTreeMap::new(),
        }
    }

    /// Other limits of a shard; they change the digest.
    pub fn with_limits(mut self, limits: ShardLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Appends a sample; the order of the calls is the dataset's order. Uploads the shard when it is full.
    ///
    /// # Errors
    /// `Invalid` for faulty or repeated keys and for a sample whose layers differ from the first one's; those of
    /// disk and store.
    pub async fn add(&mut self, entry: SampleEntry) -> Result<(), Error> {
        let layers: BTreeSet<String> = entry.files.iter().map(|file| file.0.clone()).collect();
        let expected = self.layers.get_or_insert_with(|| layers.clone());
        if *expected != layers {
            return Err(Error::invalid(
                format!("sample {:?}", entry.key),
                format!("has layers {layers:?}, the first sample has {expected:?}"),
            ));
        }
        let mut key = [0; 16];
        key.copy_from_slice(&Digest::of(entry.key.as_bytes()).bytes()[..16]);
        if !self.keys.insert(key) {
            return Err(Error::invalid(format!("sample {:?}", entry.key), "occurs twice"));
        }
        let mut shard = match self.shard.take() {
            Some(shard) => shard,
            None => ShardWriter::new(&self.dir)?,
        };
        shard.add(&entry)?;
        if let Some(meta) = entry.meta {
            self.classes.extend(meta.label);
            if let Some(split) = meta.split {
                *self.splits.entry(split).or_default() += 1;
            }
        }
        if shard.is_full(&self.limits) {
            self.stored.push(shard.finish()?.put(&self.store).await?);
        } else {
            self.shard = Some(shard);
        }
        Ok(())
    }

    /// Samples so far.
    pub fn samples(&self) -> usize {
        self.keys.len()
    }

    /// Uploads the last shard and writes the manifest. Gives the dataset's digest.
    ///
    /// # Errors
    /// `Invalid` for a description that does not fit the samples, or without any; those of disk and store.
    pub async fn finish(mut self, description: DatasetDescription) -> Result<Digest, Error> {
        let DatasetDescription { name, layers, primary, microns_per_pixel, skipped, source } = description;
        let fail = |reason: String| Err(Error::invalid(format!("dataset {name:?}"), reason));
        let described: BTreeSet<String> = layers.iter().map(|layer| layer.name.clone()).collect();
        match &self.layers {
            None => return fail("has no samples".to_owned()),
            Some(found) if *found != described || described.len() != layers.len() => {
                return fail(format!("is described with layers {described:?}, its samples have {found:?}"));
            }
            Some(_) if !described.contains(&primary) => {
                return fail(format!("has no layer of its primary's name {primary:?}"));
            }
            Some(_) => {}
        }
        if let Some(shard) = self.shard.take() {
            self.stored.push(shard.finish()?.put(&self.store).await?);
        }
        let body = DatasetBody {
            name,
            layers,
            primary,
            classes: self.classes.into_iter().collect(),
            splits: self.splits,
            samples: self.keys.len() as u64,
            shards: self.stored.iter().map(|shard| shard.info.clone()).collect(),
            microns_per_pixel,
            skipped,
            source,
        };
        let objects: Vec<NamedObject> =
            self.stored.iter().enumerate().flat_map(|(position, shard)| shard.objects(position)).collect();
        self.store.put_manifest(&ManifestParts::new(ArtifactKind::Dataset, &body).manifest(objects)).await
    }
}
