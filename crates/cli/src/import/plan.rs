//! Decides, from names alone, which files make which samples.
//!
//! Invariants: samples are sorted by key; keys are unique; every file that does not fit is listed, none is
//! left out silently.

mod camelyon17;
mod folder;
mod hold_out;
mod paired;
mod pannuke;
#[cfg(feature = "slide")]
mod slide;
mod strips;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterstain_artifact::Skipped;

use super::description::{Change, Content};
use super::error::ImportError;
use super::groups::Groups;
use super::source::Source;

pub use camelyon17::plan_camelyon17;
pub use folder::plan_folder;
pub use paired::plan_paired;
pub use pannuke::plan_pannuke;
#[cfg(feature = "slide")]
pub use slide::plan_slides;
pub use strips::plan_strips;

/// Name of the primary layer.
pub const PRIMARY: &str = "he";

/// A layer and the folder that its files are in.
#[derive(Clone, Debug)]
pub struct PlannedLayer {
    /// Name in the dataset.
    pub name: String,
    /// What the pixels of its files mean.
    pub content: Content,
    /// Folder that the files of samples are relative to.
    pub root: PathBuf,
}

impl PlannedLayer {
    /// The layer of primary images below `root`.
    fn primary(root: &Path) -> Self {
        Self { name: PRIMARY.into(), content: Content::Image, root: root.to_owned() }
    }
}

/// A sample to be.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Escaped key, before cutting.
    pub key: String,
    /// Where the pixels of each of [`Plan::layers`] are.
    pub source: Source,
    /// Class.
    pub label: Option<Arc<str>>,
    /// Split.
    pub split: Option<Arc<str>>,
    /// Patient or slide.
    pub group: Option<String>,
}

/// Everything that an import of files will read.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The primary layer first.
    pub layers: Vec<PlannedLayer>,
    /// Sorted by key.
    pub samples: Vec<Planned>,
    /// Files that cannot be used, known before any is opened.
    pub bad: Vec<Skipped>,
    /// Files that are no images and were passed over.
    pub ignored: u64,
    /// Microns per pixel of all tiles, where the files say it.
    pub microns_per_pixel: Option<f64>,
}

impl Plan {
    /// A plan without samples.
    fn new(layers: Vec<PlannedLayer>, ignored: u64) -> Self {
        Self { layers, samples: Vec::new(), bad: Vec::new(), ignored, microns_per_pixel: None }
    }

    /// Sorts the samples, takes out the splits that are held out, and limits what is left.
    ///
    /// # Errors
    /// When nothing can be held out.
    pub fn arrange(&mut self, change: &Change) -> Result<(), ImportError> {
        self.sort();
        self.hold_out(change)?;
        if let Some(limit) = change.limit {
            self.keep_even_subset(limit);
        }
        Ok(())
    }

    /// Sorts samples by key and moves those whose key is taken to the bad files.
    fn sort(&mut self) {
        self.samples.sort_by(|first, second| {
            first.key.cmp(&second.key).then_with(|| first.source.shown().cmp(&second.source.shown()))
        });
        let mut unique: Vec<Planned> = Vec::with_capacity(self.samples.len());
        for sample in self.samples.drain(..) {
            match unique.last() {
                Some(last) if last.key == sample.key => self.bad.push(Skipped {
                    path: sample.source.shown(),
                    reason: format!("has the same name, without extension, as {}", last.source.shown()),
                }),
                _ => unique.push(sample),
            }
        }
        self.samples = unique;
    }

    /// Keeps at most `limit` samples of each split and label, evenly spaced in key order.
    fn keep_even_subset(&mut self, limit: usize) {
        let class = |sample: &Planned| (sample.split.clone(), sample.label.clone());
        let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
        for sample in &self.samples {
            *sizes.entry(class(sample)).or_default() += 1;
        }
        let mut seen: BTreeMap<_, usize> = BTreeMap::new();
        self.samples.retain(|sample| {
            let size = sizes[&class(sample)];
            let position = seen.entry(class(sample)).or_default();
            let kept = size <= limit || is_evenly_kept(*position, size, limit);
            *position += 1;
            kept
        });
    }
}

/// Whether `position` is one of the `limit` positions `floor(i * size / limit)`.
fn is_evenly_kept(position: usize, size: usize, limit: usize) -> bool {
    let candidate = (position * limit).div_ceil(size);
    candidate < limit && candidate * size / limit == position
}

/// The split that a folder name means.
fn split_of(folder: &str) -> Option<&'static str> {
    match folder.to_ascii_lowercase().as_str() {
        "train" | "training" => Some("train"),
        "valid" | "val" | "validation" => Some("valid"),
        "test" | "testing" => Some("test"),
        _ => None,
    }
}

/// Interns the few names of splits and labels that millions of samples share.
#[derive(Default)]
struct Names(std::collections::HashMap<String, Arc<str>>);

impl Names {
    fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = Arc::from(name);
        self.0.insert(name.to_owned(), Arc::clone(&shared));
        shared
    }
}

/// The groups of a CSV file, where one is given; `root` is the folder of the primary images.
fn read_groups(csv: Option<&PathBuf>, root: &Path) -> Result<Option<Groups>, ImportError> {
    csv.map(|csv| Groups::read(csv, root)).transpose()
}

/// The group that the CSV file gives the file at `path`.
fn group_of(groups: Option<&Groups>, path: &Path) -> Option<String> {
    groups.and_then(|groups| groups.of(path)).map(str::to_owned)
}

/// A CSV file in which no path names an image is a mistake.
fn require_groups(plan: &Plan, csv: Option<&PathBuf>, root: &Path) -> Result<(), ImportError> {
    match csv {
        Some(csv) if plan.samples.iter().all(|sample| sample.group.is_none()) => Err(ImportError::Invalid(
            format!("no path in {} names a file below {}", csv.display(), root.display()),
        )),
        _ => Ok(()),
    }
}

/// Refuses what cannot be the name of a layer.
fn check_layer_name(name: &str) -> Result<(), ImportError> {
    if counterstain_api::spec::is_name(name) {
        return Ok(());
    }
    Err(ImportError::Invalid(format!(
        "{name:?} cannot be the name of a layer: 1 to 63 characters of a-z, 0-9, '-' and '_', starting with a \
         letter"
    )))
}

/// The error of a folder without images.
fn nothing_to_import(folder: &Path) -> ImportError {
    ImportError::Invalid(format!("there is no PNG, JPEG or TIFF file below {}", folder.display()))
}

/// The folders of a list of images' first path components.
fn first_component(relative: &str) -> Option<(&str, &str)> {
    relative.split_once('/')
}

/// Whether the outer level is the split: every image lies in a folder whose name means one.
fn outer_level_is_split(images: &[String]) -> bool {
    !images.is_empty()
        && images
            .iter()
            .all(|image| first_component(image).is_some_and(|(outer, _)| split_of(outer).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn an_even_subset_has_exactly_the_asked_size(size in 1_usize..300, limit in 1_usize..300) {
            let kept = (0..size).filter(|&position| size <= limit || is_evenly_kept(position, size, limit)).count();
            proptest::prop_assert_eq!(kept, size.min(limit));
        }
    }

    #[test]
    fn the_split_level_is_recognised_in_its_usual_spellings() {
        for (folder, split) in [("Train", "train"), ("val", "valid"), ("TEST", "test")] {
            assert_eq!(split_of(folder), Some(split));
        }
        assert_eq!(split_of("tumour"), None);
    }
}
