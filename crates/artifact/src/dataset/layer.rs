//! A layer that was opened. Sample `i` of a layer belongs to sample `i` of its dataset.

use counterstain_api::Digest;

use super::open::Dataset;
use super::table::Table;
use crate::body::{LayerBody, LayerInfo};
use crate::manifest::ArtifactKind;
use crate::{Error, Store};

/// A layer that was opened.
#[derive(Debug)]
pub struct Layer {
    /// Its name.
    pub digest: Digest,
    /// The manifest's body.
    pub body: LayerBody,
    /// The one of its layers that is read where none is named.
    pub info: LayerInfo,
    pub(super) keys: Vec<String>,
    pub(super) table: Table,
}

impl Layer {
    /// Opens a layer. Before using it beside its dataset, call [`Layer::check_pairs`].
    ///
    /// # Errors
    /// `Mismatch` for another kind of artifact or one that contradicts itself, and those of the store.
    pub async fn open(store: &Store, digest: &Digest) -> Result<Self, Error> {
        Self::open_named(store, digest, None).await
    }

    /// As [`Layer::open`], to read the layer of this name rather than the main one.
    ///
    /// # Errors
    /// As [`Layer::open`], and `Mismatch` that lists its layers where it has none of this name.
    pub async fn open_named(store: &Store, digest: &Digest, name: Option<&str>) -> Result<Self, Error> {
        let body: LayerBody = store.manifest(digest).await?.body_of(ArtifactKind::Layer)?;
        let info = body.layer_named(name)?.clone();
        let names: Vec<&str> =
            std::iter::once(&body.layer).chain(&body.companions).map(|layer| layer.name.as_str()).collect();
        let mut keys = Vec::new();
        let table = Table::open(store, &body.shards, &names, |_, _, sample| keys.push(sample.key)).await?;
        Ok(Self { digest: *digest, body, info, keys, table })
    }

    /// Samples.
    pub fn len(&self) -> usize {
        self.table.samples()
    }

    /// Whether it has no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Key of a sample.
    pub fn key(&self, sample: usize) -> Option<&str> {
        self.keys.get(sample).map(String::as_str)
    }

    /// Whether this layer belongs to `dataset`: it names it, has the same keys in the same order and shards,
    /// and, where both know it, images of the primary layer's size.
    ///
    /// # Errors
    /// `Mismatch` with the first difference.
    pub fn check_pairs(&self, dataset: &Dataset) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::mismatch(format!("layer {}", self.digest), reason));
        if self.body.dataset != dataset.digest {
            return fail(format!("belongs to dataset {}, not to {}", self.body.dataset, dataset.digest));
        }
        if self.len() != dataset.len() {
            return fail(format!("has {} samples, its dataset has {}", self.len(), dataset.len()));
        }
        for (sample, key) in self.keys.iter().enumerate() {
            if *key != dataset.samples[sample].key {
                return fail(format!(
                    "has {key:?} as sample {sample}, its dataset has {:?}",
                    dataset.samples[sample].key
                ));
            }
        }
        let shards = (0..dataset.shard_count()).map(|shard| dataset.shard_range(shard));
        if !shards.eq((0..self.table.shard_count()).map(|shard| self.table.shard_range(shard))) {
            return fail("is cut into other shards than its dataset".to_owned());
        }
        if let Some(primary) = dataset.layer(&dataset.body.primary) {
            let size = |width: Option<u32>, height: Option<u32>| width.zip(height);
            let ours = size(self.info.width, self.info.height);
            if let (Some(ours), Some(theirs)) = (ours, size(primary.width, primary.height))
                && ours != theirs
            {
                return fail(format!(
                    "has images of {}×{} pixels, layer {:?} of its dataset has {}×{}",
                    ours.0, ours.1, primary.name, theirs.0, theirs.1
                ));
            }
        }
        Ok(())
    }
}
