//! The tiles of a dataset, in dataset order, in batches whose boundaries are fixed.

use std::ops::Range;

use counterstain_api::error::ErrorCode;
use counterstain_artifact::dataset::{Dataset, Reader};
use counterstain_tile::Tile;
use counterstain_worker::TaskError;
use counterstain_worker::images::decode_layer;

/// Decodes the primary image of a sample as RGB.
pub fn tile(reader: &Reader, dataset: &Dataset, sample: usize) -> Result<Tile<u8>, TaskError> {
    let primary = &dataset.body.primary;
    let layer = dataset.layer(primary).ok_or_else(|| {
        TaskError::new(ErrorCode::Corrupt, format!("dataset {} has no layer {primary:?}", dataset.digest))
    })?;
    let bytes = reader.read(dataset, sample, primary)?;
    let what = format!("sample {}", dataset.samples[sample].key);
    let tile = decode_layer(&bytes, layer, &what)?;
    tile.as_rgb().map_err(|error| TaskError::new(ErrorCode::Corrupt, format!("{what} ({primary}): {error}")))
}

/// Slices of at most `batch_size` samples that never cross a shard's end, so that the
/// last bits do not depend on where a job was interrupted.
pub fn batches(dataset: &Dataset, batch_size: usize) -> Vec<Range<usize>> {
    let size = batch_size.max(1);
    (0..dataset.shard_count())
        .filter_map(|shard| dataset.shard_range(shard))
        .flat_map(|shard| shard.clone().step_by(size).map(move |start| start..(start + size).min(shard.end)))
        .collect()
}

/// The labelled samples of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledSplit {
    /// Its name.
    pub name: String,
    /// Positions in dataset order.
    pub samples: Vec<usize>,
    /// Class of each.
    pub labels: Vec<usize>,
    /// Group id of each, where any group of the split is known.
    pub groups: Option<Vec<usize>>,
    /// Samples of the split that have no label and are left out.
    pub unlabelled: usize,
}

impl LabelledSplit {
    /// Collects a split; one without labelled samples is an error that lists the splits
    /// there are.
    pub fn new(dataset: &Dataset, name: &str) -> Result<Self, TaskError> {
        let all = dataset.samples_of_split(name);
        let labelled: Vec<(usize, usize)> =
            all.iter().filter_map(|&sample| dataset.class_of(sample).map(|class| (sample, class))).collect();
        if labelled.is_empty() {
            let known: Vec<&str> = dataset.body.splits.keys().map(String::as_str).collect();
            let text = format!(
                "dataset {} has no labelled sample in split {name:?} ({} without label); its splits are {known:?}",
                dataset.body.name,
                all.len()
            );
            return Err(TaskError::new(ErrorCode::FailedPrecondition, text));
        }
        let (samples, labels): (Vec<usize>, Vec<usize>) = labelled.into_iter().unzip();
        let group = |&sample: &usize| dataset.samples[sample].group.as_deref().map(str::to_owned);
        let groups: Vec<Option<String>> = samples.iter().map(group).collect();
        Ok(Self {
            name: name.to_owned(),
            unlabelled: all.len() - samples.len(),
            groups: crate::engine::split::group_ids(&groups),
            samples,
            labels,
        })
    }

    /// The number of groups, or none where no group is known.
    pub fn group_count(&self) -> Option<usize> {
        self.groups.as_ref().map(|groups| groups.iter().max().map_or(0, |most| most + 1))
    }

    /// `name: 120 samples of 8 groups`, for notes.
    pub fn describe(&self) -> String {
        let groups = self.group_count().map(|count| format!(" of {count} groups")).unwrap_or_default();
        format!("{} ({} samples{groups})", self.name, self.samples.len())
    }
}

/// Refuses splits on which a probe cannot be trained or scored honestly.
pub fn check_classes(
    dataset: &Dataset,
    train: &LabelledSplit,
    test: &LabelledSplit,
) -> Result<(), TaskError> {
    let refuse = |text: String| Err(TaskError::new(ErrorCode::FailedPrecondition, text));
    if train.name == test.name {
        return refuse(format!(
            "train_split and test_split are both {:?}: the score would be of what was learnt",
            train.name
        ));
    }
    let missing: Vec<&str> = (0..dataset.body.classes.len())
        .filter(|class| test.labels.contains(class) && !train.labels.contains(class))
        .map(|class| dataset.body.classes[class].as_str())
        .collect();
    if !missing.is_empty() {
        return refuse(format!(
            "class {} of split {:?} has no sample in split {:?}, so that no probe can learn it",
            missing.join(", "),
            test.name,
            train.name
        ));
    }
    let first = train.labels.first();
    if train.labels.iter().all(|label| Some(label) == first) {
        return refuse(format!("split {:?} holds a single class; a probe needs two", train.name));
    }
    Ok(())
}
