//! How tiles are selected, divided into splits and changed on the way in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How tiles are selected and changed on the way in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Divides both sides: mean over squares for images, most frequent value for label maps. 1 keeps the size.
    pub downsample: usize,
    /// Cuts (reduced) images into squares of this many pixels; what does not fill a square is dropped.
    pub tile: Option<usize>,
    /// At most this many files of each split and label, evenly spaced in the sorted list.
    pub limit: Option<usize>,
    /// Leaves unusable files out and records them, instead of importing nothing.
    pub skip_bad: bool,
    /// Microns per pixel of the files as they are, where known.
    pub microns_per_pixel: Option<f64>,
    /// Splits to take out of `train`, each with its share.
    pub hold_out: BTreeMap<String, f64>,
    /// What is held out together.
    pub hold_out_by: HoldOutBy,
}

/// What is held out together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum HoldOutBy {
    /// Whole patients, slides or source images.
    #[default]
    Group,
    /// The rightmost columns of the tiles that are cut from each image, for sets of very few images.
    Column,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            downsample: 1,
            tile: None,
            limit: None,
            skip_bad: false,
            microns_per_pixel: None,
            hold_out: BTreeMap::new(),
            hold_out_by: HoldOutBy::Group,
        }
    }
}

impl Change {
    /// Whether images are written in their size and whole.
    pub fn keeps_pixels(&self) -> bool {
        self.downsample == 1 && self.tile.is_none()
    }

    /// Every fault of the values, as `(key, what is wrong)`.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if !(1..=64).contains(&self.downsample) {
            faults.push(("downsample", format!("must be 1 to 64, is {}", self.downsample)));
        }
        if self.tile.is_some_and(|side| !(8..=8192).contains(&side)) {
            faults.push(("tile", "must be 8 to 8192 px".to_owned()));
        }
        if self.limit == Some(0) {
            faults.push(("limit", "must be at least 1".to_owned()));
        }
        if self.microns_per_pixel.is_some_and(|size| !(size > 0.0 && size < 1000.0)) {
            faults.push(("microns_per_pixel", "must be greater than 0 and less than 1000".to_owned()));
        }
        self.hold_out_faults(&mut faults);
        faults
    }

    fn hold_out_faults(&self, faults: &mut Vec<(&'static str, String)>) {
        for (split, &share) in &self.hold_out {
            if split == "train" || !counterstain_api::spec::is_name(split) {
                let text = format!(
                    "cannot take out a split named {split:?}: name another than train, 1 to 63 characters of \
                     a-z, 0-9, '-' and '_', starting with a letter"
                );
                faults.push(("hold_out", text));
            }
            if !(share > 0.0 && share < 1.0) {
                let text = format!("the share of {split} must be greater than 0 and less than 1, is {share}");
                faults.push(("hold_out", text));
            }
        }
        if self.hold_out.values().sum::<f64>() >= 1.0 {
            faults
                .push(("hold_out", "the shares must leave something: their sum must be less than 1".into()));
        }
        if self.hold_out_by == HoldOutBy::Column && !self.hold_out.is_empty() && self.tile.is_none() {
            faults.push((
                "hold_out_by",
                "column needs tile: columns are those of the tiles that are cut".into(),
            ));
        }
    }

    /// Microns per pixel of the tiles that are written.
    pub fn written_microns_per_pixel(&self) -> Option<f64> {
        self.microns_per_pixel.map(|size| size * self.downsample as f64)
    }

    /// What decides the content, for the manifest; `keeps_bytes` when the files as such are written.
    pub fn recorded(&self, keeps_bytes: bool) -> serde_json::Map<String, Value> {
        let mut record = serde_json::Map::new();
        let bytes = if keeps_bytes && self.keeps_pixels() { "kept" } else { "re-encoded as png" };
        record.insert("bytes".into(), json!(bytes));
        if self.downsample > 1 {
            record.insert("downsample".into(), json!(self.downsample));
            record.insert(
                "downsample_rule".into(),
                json!("mean of squares; majority for label and instance maps"),
            );
        }
        if let Some(side) = self.tile {
            record.insert("tile".into(), json!(side));
            record.insert("tile_rule".into(), json!("whole squares from the left top corner, row by row"));
        }
        if let Some(limit) = self.limit {
            record.insert("limit".into(), json!(limit));
            record.insert("limit_rule".into(), json!("evenly spaced in key order, per split and label"));
        }
        if self.skip_bad {
            record.insert("skip_bad".into(), json!(true));
        }
        if !self.hold_out.is_empty() {
            let rule = match self.hold_out_by {
                HoldOutBy::Group => "whole groups of train, in the order of the SHA-256 of their names",
                HoldOutBy::Column => "the rightmost columns of the tiles cut from each image of train",
            };
            record.insert("hold_out".into(), json!(self.hold_out));
            record.insert("hold_out_rule".into(), json!(rule));
        }
        record
    }
}
