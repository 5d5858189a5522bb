//! A fold of PanNuke (Gamper et al. 2019): arrays of images, masks and tissue types.
//!
//! Invariants: arrays are read row by row, never whole; the three arrays of a fold have the same rows.

use std::path::{Path, PathBuf};

use counterstain_tile::Tile;

use super::error::ImportError;
use super::npy::Array;
use super::source::{Loaded, Pixels};

/// Channels of the masks: neoplastic, inflammatory, connective, dead, epithelial, background.
const MASK_CHANNELS: usize = 6;
/// The types among them; a pixel's type is its channel's position plus 1.
const TYPES: usize = 5;
/// Most pixels of a tile side; PanNuke's is 256.
const MAX_SIDE: usize = 4096;

/// A fold.
#[derive(Debug)]
pub struct Fold {
    /// Its number.
    pub number: u32,
    images: Array,
    masks: Array,
    tissues: Vec<String>,
    /// The images' array as messages name it.
    shown: String,
}

impl Fold {
    /// The folds in `folder`, by number.
    ///
    /// # Errors
    /// When there is none, or an array is missing or cannot be used.
    pub fn find(folder: &Path) -> Result<Vec<Self>, ImportError> {
        let entries = std::fs::read_dir(folder).map_err(|source| ImportError::read(folder, source))?;
        let mut folds = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| ImportError::read(folder, source))?;
            if let Some(number) = fold_number(&entry.file_name().to_string_lossy()) {
                folds.push(Self::open(&entry.path(), number)?);
            }
        }
        folds.sort_by_key(|fold| fold.number);
        if folds.is_empty() {
            return Err(ImportError::Invalid(format!(
                "there is no fold in {}; expected folders \"Fold 1\", \"Fold 2\", \"Fold 3\" that hold \
                 images/fold1/images.npy and masks/fold1/masks.npy",
                folder.display()
            )));
        }
        if let Some(pair) = folds.windows(2).find(|pair| pair[0].number == pair[1].number) {
            let text = format!("{} holds fold {} twice", folder.display(), pair[0].number);
            return Err(ImportError::Invalid(text));
        }
        Ok(folds)
    }

    fn open(folder: &Path, number: u32) -> Result<Self, ImportError> {
        let inner = format!("fold{number}");
        let images_path = folder.join("images").join(&inner).join("images.npy");
        let masks_path = folder.join("masks").join(&inner).join("masks.npy");
        let images = Array::open(&images_path)?;
        let masks = Array::open(&masks_path)?;
        let (rows, height, width) = match *images.shape() {
            [rows, height, width, 3] if height.max(width) <= MAX_SIDE => (rows, height, width),
            _ => return Err(images.unfit(&format!("(rows, height, width, 3), sides up to {MAX_SIDE} px"))),
        };
        if *masks.shape() != [rows, height, width, MASK_CHANNELS] {
            return Err(masks.unfit(&format!("({rows}, {height}, {width}, {MASK_CHANNELS})")));
        }
        for array in [&images, &masks] {
            array.require_numbers()?;
        }
        let types_path: PathBuf = folder.join("images").join(&inner).join("types.npy");
        let tissues = if types_path.exists() {
            let tissues = Array::open(&types_path)?;
            if *tissues.shape() != [rows] {
                return Err(tissues.unfit(&format!("({rows})")));
            }
            tissues.read_texts()?
        } else {
            Vec::new()
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self { number, images, masks, tissues, shown: format!("{name}/images/{inner}/images.npy") })
    }

    /// Tiles.
    pub fn rows(&self) -> usize {
        self.images.shape()[0]
    }

    /// The organ that a tile is from, where the fold says it.
    pub fn tissue(&self, row: usize) -> Option<&str> {
        self.tissues.get(row).map(String::as_str)
    }

    /// A tile's name in messages.
    pub fn shown(&self, row: usize) -> String {
        format!("{}[{row}]", self.shown)
    }

    /// Bytes of one row of both arrays.
    pub fn row_bytes(&self) -> u64 {
        (self.images.row_bytes() + self.masks.row_bytes()) as u64
    }

    /// Reads a row: its image, instance numbers and types, in this order.
    ///
    /// # Errors
    /// Values that are no whole numbers of the range of pixels or instances, and those of the disk.
    pub fn read(&self, row: usize) -> Result<Vec<Loaded>, String> {
        let (height, width) = (self.images.shape()[1], self.images.shape()[2]);
        let image = self.images.read_row(row)?;
        let image: Vec<u8> = image
            .into_iter()
            .map(|value| u8::try_from(value).map_err(|_| format!("a pixel is {value}, not 0 to 255")))
            .collect::<Result<_, _>>()?;
        let masks = self.masks.read_row(row).map_err(|reason| format!("in masks.npy {reason}"))?;
        let (instances, types) = instances_and_types(&masks);
        let labels = |data| Pixels::Labels(Tile { width, height, channels: 1, data });
        let image = Pixels::Image(Tile { width, height, channels: 3, data: image });
        let loaded = |pixels| Loaded { shown: self.shown(row), pixels, original: None };
        Ok([image, labels(instances), labels(types)].map(loaded).into())
    }
}

/// The number of a folder such as `Fold 1`, `fold_1` or `fold1`.
fn fold_number(name: &str) -> Option<u32> {
    let rest = name.to_ascii_lowercase();
    rest.strip_prefix("fold")?.trim_start_matches([' ', '_', '-']).parse().ok()
}

/// Numbers the nuclei of all channels from 1, by channel and then by their number in it.
///
/// Numbers of two channels may be the same, so they cannot be kept. Where channels overlap the first one has
/// the pixel.
fn instances_and_types(masks: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut known: Vec<(usize, u32)> = Vec::new();
    let first_of = |pixel: &[u32]| (0..TYPES).find(|&channel| pixel[channel] != 0).map(|at| (at, pixel[at]));
    for nucleus in masks.chunks_exact(MASK_CHANNELS).filter_map(first_of) {
        if let Err(place) = known.binary_search(&nucleus) {
            known.insert(place, nucleus);
        }
    }
    masks
        .chunks_exact(MASK_CHANNELS)
        .map(|pixel| match first_of(pixel) {
            Some(nucleus) => {
                let number = known.binary_search(&nucleus).unwrap_or_default() as u32 + 1;
                (number, nucleus.0 as u32 + 1)
            }
            None => (0, 0),
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_of_two_channels_are_two_nuclei() {
        // Three pixels: nucleus 7 of channel 0, nucleus 7 of channel 1, background.
        let masks = [7, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(instances_and_types(&masks), (vec![1, 2, 0], vec![1, 2, 0]));
    }

    #[test]
    fn folders_of_folds_are_recognised_in_their_usual_spellings() {
        for name in ["Fold 2", "fold2", "fold_2"] {
            assert_eq!(fold_number(name), Some(2));
        }
        assert_eq!(fold_number("folder"), None);
    }
}
