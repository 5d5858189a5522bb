//! A dataset that was opened: its manifest and all its indices, verified; no image is read yet.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use counterstain_api::Digest;

use super::table::Table;
use crate::body::{DatasetBody, LayerInfo};
use crate::manifest::ArtifactKind;
use crate::{Error, Store};

/// A dataset that was opened.
#[derive(Debug)]
pub struct Dataset {
    /// Its name.
    pub digest: Digest,
    /// The manifest's body.
    pub body: DatasetBody,
    /// Its samples, in dataset order.
    pub samples: Vec<SampleRecord>,
    pub(super) table: Table,
}

/// A sample of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRecord {
    /// Key, unique in the dataset.
    pub key: String,
    /// Class, where known.
    pub label: Option<Arc<str>>,
    /// Patient or slide, where known.
    pub group: Option<Arc<str>>,
    /// `train`, `valid`, `test` ..., where known.
    pub split: Option<Arc<str>>,
    /// Shard, from 0.
    pub shard: u32,
    /// Position in the shard, from 0.
    pub position: u32,
}

impl Dataset {
    /// Opens a dataset.
    ///
    /// # Errors
    /// `Mismatch` for another kind of artifact or one that contradicts itself, and those of the store.
    pub async fn open(store: &Store, digest: &Digest) -> Result<Self, Error> {
        let body: DatasetBody = store.manifest(digest).await?.body_of(ArtifactKind::Dataset)?;
        let layers: Vec<&str> = body.layers.iter().map(|layer| layer.name.as_str()).collect();
        let mut samples = Vec::new();
        let mut names = Names::default();
        let table = Table::open(store, &body.shards, &layers, |shard, position, sample| {
            samples.push(SampleRecord {
                key: sample.key,
                label: names.intern(sample.label),
                group: names.intern(sample.group),
                split: names.intern(sample.split),
                shard,
                position,
            });
        })
        .await?;
        let dataset = Self { digest: *digest, body, samples, table };
        dataset.check()?;
        Ok(dataset)
    }

    fn check(&self) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::mismatch(format!("dataset {}", self.digest), reason));
        if self.samples.len() as u64 != self.body.samples {
            return fail(format!(
                "says {} samples, its shards hold {}",
                self.body.samples,
                self.samples.len()
            ));
        }
        if self.layer(&self.body.primary).is_none() {
            return fail(format!("has no layer of its primary's name {:?}", self.body.primary));
        }
        let unknown = |sample: &&SampleRecord| {
            sample.label.as_deref().is_some_and(|label| self.class_number(label).is_none())
        };
        if let Some(sample) = self.samples.iter().find(unknown) {
            return fail(format!("has sample {:?} of a class that it does not list", sample.key));
        }
        Ok(())
    }

    /// Samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether it has no samples.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// What is known of a layer inside its shards.
    pub fn layer(&self, name: &str) -> Option<&LayerInfo> {
        self.body.layers.iter().find(|layer| layer.name == name)
    }

    /// Position of a label among the sorted classes.
    pub fn class_number(&self, label: &str) -> Option<usize> {
        self.body.classes.binary_search_by(|class| class.as_str().cmp(label)).ok()
    }

    /// Class number of a sample, where its label is known.
    pub fn class_of(&self, sample: usize) -> Option<usize> {
        self.class_number(self.samples.get(sample)?.label.as_deref()?)
    }

    /// Samples of a split, in dataset order.
    pub fn samples_of_split(&self, split: &str) -> Vec<usize> {
        let is_of = |sample: &usize| self.samples[*sample].split.as_deref() == Some(split);
        (0..self.samples.len()).filter(is_of).collect()
    }

    /// Shards; a layer of this dataset has as many.
    pub fn shard_count(&self) -> usize {
        self.table.shard_count()
    }

    /// The samples of a shard, as positions in dataset order.
    pub fn shard_range(&self, shard: usize) -> Option<Range<usize>> {
        self.table.shard_range(shard)
    }

    /// Extension of a sample's image, such as `png`.
    pub fn extension(&self, sample: usize, layer: &str) -> Option<String> {
        Some(self.table.find(sample, layer)?.1.extension().to_owned())
    }
}

/// One allocation for each label, group and split, however many samples share it.
#[derive(Default)]
struct Names(HashMap<String, Arc<str>>);

impl Names {
    fn intern(&mut self, name: Option<String>) -> Option<Arc<str>> {
        let name = name?;
        if let Some(known) = self.0.get(&name) {
            return Some(known.clone());
        }
        let shared: Arc<str> = name.as_str().into();
        self.0.insert(name, shared.clone());
        Some(shared)
    }
}
