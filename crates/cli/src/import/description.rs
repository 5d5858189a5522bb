//! What an import does, as commands and pipeline files say it.
//!
//! A `[imports.NAME]` section of a pipeline file and the options of `counterstain import` both become an
//! [`Import`]. What a manifest records of it ([`Import::recorded`]) holds no path, so the same tiles give
//! the same digest wherever they lie.

mod change;
mod layers;
mod simulated;
mod slide;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use change::{Change, HoldOutBy};
pub use layers::{Content, LayerSource};
pub use simulated::SimulatedImport;
pub use slide::SlideImport;

/// One import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Import {
    /// Labelled folders of tiles.
    Folder(FolderImport),
    /// Pairs of images with the same stem.
    Paired(PairedImport),
    /// Panels side by side in one image.
    Strips(StripsImport),
    /// The folds of PanNuke.
    Pannuke(PannukeImport),
    /// Camelyon17 as WILDS distributes it.
    Camelyon17(Camelyon17Import),
    /// Whole-slide images.
    Slide(SlideImport),
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

/// Strips: every image holds panels of equal width side by side, one for each layer, as DeepLIIF's do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StripsImport {
    /// The folder.
    pub path: PathBuf,
    /// The layers' names from left to right, `-` for a panel to leave out. The first name is the primary.
    pub panels: Vec<String>,
    /// CSV file with the columns `path,group`.
    pub groups: Option<PathBuf>,
    /// Split of all samples when no outer level names it; default `train`.
    pub split: Option<String>,
    /// How tiles are selected and changed.
    #[serde(flatten)]
    pub change: Change,
}

/// PanNuke: `Fold N/images/foldN/{images,types}.npy` and `Fold N/masks/foldN/masks.npy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PannukeImport {
    /// The folder that holds the folds.
    pub path: PathBuf,
    /// Split of each fold by its number; default fold 1 is `train`, 2 `valid`, 3 `test`.
    pub folds: BTreeMap<String, String>,
    /// How tiles are selected and changed.
    #[serde(flatten)]
    pub change: Change,
}

/// Camelyon17 in the form of WILDS: `metadata.csv` and `patches/`, with its official split by centre.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Camelyon17Import {
    /// The folder that holds `metadata.csv`.
    pub path: PathBuf,
    /// How tiles are selected and changed.
    #[serde(flatten)]
    pub change: Change,
}

impl Import {
    /// Its word in a pipeline file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Paired(_) => "paired",
            Self::Strips(_) => "strips",
            Self::Pannuke(_) => "pannuke",
            Self::Camelyon17(_) => "camelyon17",
            Self::Slide(_) => "slide",
            Self::Simulated(_) => "simulated",
        }
    }

    /// Every fault of the values, as `(key, what is wrong)`.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Folder(FolderImport { change, .. })
            | Self::Paired(PairedImport { change, .. })
            | Self::Strips(StripsImport { change, .. })
            | Self::Pannuke(PannukeImport { change, .. })
            | Self::Camelyon17(Camelyon17Import { change, .. }) => change.faults(),
            Self::Slide(slide) => slide.faults(),
            Self::Simulated(simulated) => simulated.faults(),
        }
    }

    /// The options that decide the content, for the manifest: no paths, no host.
    pub fn recorded(&self) -> Value {
        let mut record = Map::new();
        record.insert("kind".into(), json!(self.kind()));
        match self {
            Self::Simulated(simulated) => {
                if let Value::Object(rest) = json!(simulated) {
                    record.extend(rest);
                }
            }
            Self::Folder(FolderImport { change, .. }) | Self::Camelyon17(Camelyon17Import { change, .. }) => {
                record.extend(change.recorded(true));
            }
            Self::Paired(paired) => {
                record.extend(paired.change.recorded(true));
                let derived: Map<String, Value> = paired
                    .layers
                    .iter()
                    .filter(|(_, source)| source.content.is_derived())
                    .map(|(name, source)| (name.clone(), json!(source.content)))
                    .collect();
                if !derived.is_empty() {
                    record.insert("derived_layers".into(), Value::Object(derived));
                }
            }
            Self::Strips(strips) => {
                record.extend(strips.change.recorded(false));
                record.insert("panels".into(), json!(strips.panels));
            }
            Self::Pannuke(pannuke) => record.extend(pannuke.change.recorded(false)),
            Self::Slide(slide) => record.extend(slide.recorded()),
        }
        Value::Object(record)
    }
}

#[cfg(test)]
mod tests {
    use counterstain_artifact::LayerKind;

    use super::*;

    #[test]
    fn a_section_of_a_pipeline_file_becomes_an_import() {
        let section = json!({
            "kind": "paired", "primary": "a", "downsample": 4,
            "layers": { "types": "label:b", "ihc": "c", "nuclei": "components:d", "odd": "c:/e" },
        });
        let Import::Paired(paired) = serde_json::from_value(section).unwrap() else { panic!("another kind") };
        assert_eq!(paired.layers["types"], LayerSource { path: "b".into(), content: Content::Label });
        assert_eq!(paired.layers["ihc"].content, Content::Image);
        assert_eq!(paired.layers["nuclei"].content.kind(), LayerKind::Instance);
        assert_eq!(paired.layers["odd"], LayerSource { path: "c:/e".into(), content: Content::Image });
        assert_eq!(paired.change.downsample, 4);
        assert!(!paired.change.keeps_pixels());
    }

    #[test]
    fn what_is_recorded_names_no_path() {
        let import = Import::Folder(FolderImport { path: "/some/where".into(), ..FolderImport::default() });
        assert!(!import.recorded().to_string().contains("where"));
    }
}
