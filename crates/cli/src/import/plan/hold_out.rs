//! Takes splits out of `train` by whole groups, so that no patient, slide or source image is on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterstain_artifact::Digest;

use super::super::description::{Change, HoldOutBy};
use super::super::error::ImportError;
use super::{Plan, Planned};

impl Plan {
    /// Moves whole groups of `train` to the splits that are held out.
    ///
    /// Groups are ranked by the SHA-256 of their names, so that the choice depends on the names alone and a
    /// further group moves few others. A sample without a group is a group of its own.
    ///
    /// # Errors
    /// When there are too few groups for every split, or a split has samples already.
    pub fn hold_out(&mut self, change: &Change) -> Result<(), ImportError> {
        if change.hold_out.is_empty() {
            return Ok(());
        }
        let taken: BTreeSet<&str> =
            self.samples.iter().filter_map(|sample| sample.split.as_deref()).collect();
        if let Some(split) = change.hold_out.keys().find(|split| taken.contains(split.as_str())) {
            let text =
                format!("hold_out: the data have a split {split} already; name another, or leave it out");
            return Err(ImportError::Invalid(text));
        }
        if change.hold_out_by == HoldOutBy::Column {
            return Ok(());
        }
        let is_train = |sample: &&Planned| sample.split.as_deref() == Some("train");
        let groups: BTreeSet<&str> = self.samples.iter().filter(is_train).map(group_of).collect();
        let mut ranked: Vec<&str> = groups.into_iter().collect();
        ranked.sort_by_cached_key(|group| Digest::of(group.as_bytes()).to_string());

        let count = |share: &f64| ((share * ranked.len() as f64).round() as usize).max(1);
        let asked: usize = change.hold_out.values().map(count).sum();
        if asked >= ranked.len() {
            return Err(ImportError::Invalid(format!(
                "hold_out needs {} groups, train has {}: give more data, smaller shares, finer groups, or \
                 hold_out_by = \"column\" with tile, which holds out a part of each image",
                asked + 1,
                ranked.len()
            )));
        }
        let mut split_of_group: BTreeMap<String, Arc<str>> = BTreeMap::new();
        let mut rest = ranked.iter();
        for (split, share) in &change.hold_out {
            let split: Arc<str> = Arc::from(split.as_str());
            let moved = rest.by_ref().take(count(share));
            split_of_group.extend(moved.map(|group| ((*group).to_owned(), Arc::clone(&split))));
        }
        for sample in self.samples.iter_mut().filter(|sample| sample.split.as_deref() == Some("train")) {
            if let Some(split) = split_of_group.get(group_of(sample)) {
                sample.split = Some(Arc::clone(split));
            }
        }
        Ok(())
    }
}

fn group_of(sample: &Planned) -> &str {
    sample.group.as_deref().unwrap_or(&sample.key)
}
