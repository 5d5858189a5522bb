//! What an import does, as commands and pipeline files say it.
//!
//! A `[imports.NAME]` section of a pipeline file and the options of `counterstain import` both become an
//! [`Import`]. What a manifest records of it ([`Import::recorded`]) holds no path, so the same tiles give
//! the same digest wherever they lie.

use std::collections::BTreeMap;
use std::path::PathBuf;

use counterstain_artifact::LayerKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Import {
    /// Labelled folders of tiles.
    Folder(FolderImport),
    /// Pairs of images with the same stem.
    Paired(PairedImport),
    /// Simulated tissue.
    Simulated(SimulatedImport),
}

/// Tiles in folders: the folder is the label, an outer `train/valid/test` level the split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FolderImport {
    /// The folder.
    pub path: PathBuf,
    /// CSV file with the columns `path,group` (patient or slide).
    pub groups: Option<PathBuf>,
    /// Split of all tiles when no outer level names it; default `train`.
    pub split: Option<String>,
    /// How tiles are selected and changed.
    #[serde(flatten)]
    pub change: Change,
}

/// Pairs: a primary image and, with the same stem, one image in every layer's folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairedImport {
    /// Folder of the primary images.
    pub primary: PathBuf,
    /// Folders of the other layers by name.
    pub layers: BTreeMap<String, LayerSource>,
    /// CSV file with the columns `path,group`; paths name primary images.
    pub groups: Option<PathBuf>,
    /// Split of all samples when no outer level names it; default `train`.
    pub split: Option<String>,
    /// How tiles are selected and changed.
    #[serde(flatten)]
    pub change: Change,
}

/// Where the images of a layer are: `"DIR"` (images), `"label:DIR"`, `"instance:DIR"`, or a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "LayerSourceText", into = "LayerSourceText")]
pub struct LayerSource {
    /// The folder.
    pub path: PathBuf,
    /// Colour or grey images, label maps or instance maps.
    pub kind: LayerKind,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LayerSourceText {
    Text(String),
    Table(LayerSourceTable),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerSourceTable {
    path: PathBuf,
    #[serde(default = "image_kind")]
    kind: LayerKind,
}

fn image_kind() -> LayerKind {
    LayerKind::Image
}

impl From<LayerSourceText> for LayerSource {
    fn from(text: LayerSourceText) -> Self {
        match text {
            LayerSourceText::Table(LayerSourceTable { path, kind }) => Self { path, kind },
            LayerSourceText::Text(text) => {
                let kinds = [
                    ("label:", LayerKind::Label),
                    ("instance:", LayerKind::Instance),
                    ("image:", LayerKind::Image),
                ];
                let found =
                    kinds.into_iter().find_map(|(prefix, kind)| Some((text.strip_prefix(prefix)?, kind)));
                let (path, kind) = found.unwrap_or((&text, LayerKind::Image));
                Self { path: path.into(), kind }
            }
        }
    }
}

impl From<LayerSource> for LayerSourceText {
    fn from(source: LayerSource) -> Self {
        Self::Table(LayerSourceTable { path: source.path, kind: source.kind })
    }
}

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
}

impl Default for Change {
    fn default() -> Self {
        Self { downsample: 1, tile: None, limit: None, skip_bad: false, microns_per_pixel: None }
    }
}

impl Change {
    /// Whether the bytes of files are written as they are.
    pub fn keeps_bytes(&self) -> bool {
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
        faults
    }

    /// Microns per pixel of the tiles that are written.
    pub fn written_microns_per_pixel(&self) -> Option<f64> {
        self.microns_per_pixel.map(|size| size * self.downsample as f64)
    }

    fn recorded(&self) -> Value {
        let mut record = serde_json::Map::new();
        let bytes = if self.keeps_bytes() { "kept" } else { "re-encoded as png" };
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
        Value::Object(record)
    }
}

/// Simulated tissue with its exact nuclei.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SimulatedImport {
    /// Samples of all splits together.
    pub samples: usize,
    /// Side of a tile in pixels.
    pub size: usize,
    /// Seed of everything.
    pub seed: u64,
    /// Centres that differ in stain and background.
    pub centres: usize,
    /// Patients of each centre.
    pub patients: usize,
    /// Strength of the differences between centres and patients; 1 is the default, 0 is none.
    pub nuisance: f32,
    /// Layers to write beside the primary image: `types`, `instances`, `ihc`, `if`.
    pub layers: Vec<String>,
}

impl Default for SimulatedImport {
    fn default() -> Self {
        Self {
            samples: 1000,
            size: 64,
            seed: 0,
            centres: 4,
            patients: 8,
            nuisance: 1.0,
            layers: vec!["types".to_owned()],
        }
    }
}

impl SimulatedImport {
    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if !(10..=10_000_000).contains(&self.samples) {
            faults.push(("samples", "must be 10 to 10000000".to_owned()));
        }
        if !(32..=1024).contains(&self.size) {
            faults.push(("size", "must be 32 to 1024 px".to_owned()));
        }
        if !(1..=64).contains(&self.centres) {
            faults.push(("centres", "must be 1 to 64".to_owned()));
        }
        if !(1..=10_000).contains(&self.patients) {
            faults.push(("patients", "must be 1 to 10000".to_owned()));
        }
        if !(0.0..=10.0).contains(&self.nuisance) {
            faults.push(("nuisance", "must be 0 to 10".to_owned()));
        }
        faults
    }
}

impl Import {
    /// Every fault of the values, as `(key, what is wrong)`.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Folder(folder) => folder.change.faults(),
            Self::Paired(paired) => paired.change.faults(),
            Self::Simulated(simulated) => simulated.faults(),
        }
    }

    /// The options that decide the content, for the manifest: no paths, no host.
    pub fn recorded(&self) -> Value {
        let mut record = serde_json::Map::new();
        let kind = match self {
            Self::Folder(_) => "folder",
            Self::Paired(_) => "paired",
            Self::Simulated(_) => "simulated",
        };
        record.insert("kind".into(), json!(kind));
        let rest = match self {
            Self::Folder(folder) => folder.change.recorded(),
            Self::Paired(paired) => paired.change.recorded(),
            Self::Simulated(simulated) => json!(simulated),
        };
        if let Value::Object(rest) = rest {
            record.extend(rest);
        }
        Value::Object(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_of_a_pipeline_file_becomes_an_import() {
        let section = json!({
            "kind": "paired", "primary": "a", "layers": { "types": "label:b", "ihc": "c" }, "downsample": 4,
        });
        let Import::Paired(paired) = serde_json::from_value(section).unwrap() else { panic!("another kind") };
        assert_eq!(paired.layers["types"], LayerSource { path: "b".into(), kind: LayerKind::Label });
        assert_eq!(paired.layers["ihc"].kind, LayerKind::Image);
        assert_eq!(paired.change.downsample, 4);
        assert!(!paired.change.keeps_bytes());
    }

    #[test]
    fn what_is_recorded_names_no_path() {
        let import = Import::Folder(FolderImport { path: "/some/where".into(), ..FolderImport::default() });
        assert!(!import.recorded().to_string().contains("where"));
    }
}
