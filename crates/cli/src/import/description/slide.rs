//! What is taken of whole-slide images.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Change, HoldOutBy};

/// Whole-slide images through OpenSlide: squares that hold enough tissue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlideImport {
    /// A slide, or a folder of slides.
    pub path: PathBuf,
    /// Side of the tiles in pixels.
    pub tile: usize,
    /// Pixels that neighbouring tiles share.
    pub overlap: usize,
    /// Level of the slide that tiles have the resolution of; default 0.
    pub level: Option<u32>,
    /// Microns per pixel of the tiles, instead of a level.
    pub microns_per_pixel: Option<f64>,
    /// Least share of tissue in a tile.
    pub tissue: f64,
    /// CSV file with the columns `path,group` (patient of a slide); default: a slide is a group.
    pub groups: Option<PathBuf>,
    /// Split of all tiles; default `train`.
    pub split: Option<String>,
    /// At most this many tiles of each split, evenly spaced in the sorted list.
    pub limit: Option<usize>,
    /// Leaves slides out that cannot be used, and records them.
    pub skip_bad: bool,
    /// Splits to take out of `train`, each with its share of the groups.
    pub hold_out: BTreeMap<String, f64>,
}

impl Default for SlideImport {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            tile: 256,
            overlap: 0,
            level: None,
            microns_per_pixel: None,
            tissue: 0.5,
            groups: None,
            split: None,
            limit: None,
            skip_bad: false,
            hold_out: BTreeMap::new(),
        }
    }
}

impl SlideImport {
    /// What applies to its tiles as to those of other imports.
    pub fn change(&self) -> Change {
        Change {
            limit: self.limit,
            skip_bad: self.skip_bad,
            microns_per_pixel: self.microns_per_pixel,
            hold_out: self.hold_out.clone(),
            hold_out_by: HoldOutBy::Group,
            ..Change::default()
        }
    }

    /// Every fault of the values, as `(key, what is wrong)`.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = self.change().faults();
        if !(32..=4096).contains(&self.tile) {
            faults.push(("tile", "must be 32 to 4096 px".to_owned()));
        }
        if self.overlap >= self.tile {
            faults.push(("overlap", "must be less than tile".to_owned()));
        }
        if self.level.is_some() && self.microns_per_pixel.is_some() {
            faults.push(("level", "cannot be given together with microns_per_pixel".to_owned()));
        }
        if !(0.0..=1.0).contains(&self.tissue) {
            faults.push(("tissue", "must be 0 to 1".to_owned()));
        }
        faults
    }

    /// What decides the content, for the manifest.
    pub fn recorded(&self) -> Map<String, Value> {
        let mut record = self.change().recorded(false);
        record.insert("tile".into(), json!(self.tile));
        record.insert("overlap".into(), json!(self.overlap));
        match self.microns_per_pixel {
            Some(size) => record.insert("microns_per_pixel".into(), json!(size)),
            None => record.insert("level".into(), json!(self.level.unwrap_or(0))),
        };
        record.insert("tissue".into(), json!(self.tissue));
        record.insert("tissue_rule".into(), json!("saturation of at least 0.07 in an overview of 2048 px"));
        record
    }
}
