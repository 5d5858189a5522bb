//! Where the pixels of a sample are, and how they are read.
//!
//! Invariants: every file is decoded whole, so damage shows here and not in a training run; a sample's
//! files are opened once; nothing is read beyond the limits.

use std::path::Path;
use std::sync::Arc;

use counterstain_artifact::{LayerKind, Skipped};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Format, Limits, decode, decode_labels};
use counterstain_tile::nuclei::label_components;

use super::description::Content;
use super::pannuke::Fold;
use super::plan::PlannedLayer;

/// Where the pixels of a sample are.
#[derive(Clone, Debug)]
pub enum Source {
    /// One file per layer, relative to the layers' folders.
    Files(Vec<String>),
    /// Panels of one file below the first layer's folder.
    Strip {
        /// The file.
        file: String,
        /// Which panels are whose.
        panels: Arc<Panels>,
    },
    /// A row of the arrays of a PanNuke fold.
    Row {
        /// The fold.
        fold: Arc<Fold>,
        /// Position in its arrays.
        row: usize,
    },
    /// A square of a whole-slide image.
    #[cfg(feature = "slide")]
    Region {
        /// The slide.
        slide: Arc<super::slides::Slide>,
        /// Where it is.
        place: super::slides::Place,
    },
}

/// Which panels of a strip the layers take.
#[derive(Clone, Debug)]
pub struct Panels {
    /// Panels of a strip, those left out included.
    pub count: usize,
    /// The panel of each layer, in the order of the plan's layers.
    pub places: Vec<usize>,
}

/// Pixels of one layer of a sample.
#[derive(Debug)]
pub enum Pixels {
    /// Colour or grey.
    Image(Tile<u8>),
    /// Classes or instance numbers.
    Labels(Tile<u32>),
}

/// One layer of a sample, read and checked.
#[derive(Debug)]
pub struct Loaded {
    /// Its name in messages.
    pub shown: String,
    /// Decoded.
    pub pixels: Pixels,
    /// Extension and bytes, where a file holds just these pixels.
    pub original: Option<(String, Vec<u8>)>,
}

impl Loaded {
    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        match &self.pixels {
            Pixels::Image(tile) => (tile.width, tile.height),
            Pixels::Labels(tile) => (tile.width, tile.height),
        }
    }

    /// Values per pixel.
    pub fn channels(&self) -> usize {
        match &self.pixels {
            Pixels::Image(tile) => tile.channels,
            Pixels::Labels(_) => 1,
        }
    }
}

impl Source {
    /// The primary image's name in messages.
    pub fn shown(&self) -> String {
        match self {
            Self::Files(files) => files[0].clone(),
            Self::Strip { file, .. } => file.clone(),
            Self::Row { fold, row } => fold.shown(*row),
            #[cfg(feature = "slide")]
            Self::Region { slide, place } => slide.shown(*place),
        }
    }

    /// Bytes that reading it takes, as far as the file system says.
    pub fn bytes(&self, layers: &[PlannedLayer]) -> u64 {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        match self {
            // A file that cannot be asked for its size is reported when it is read.
            Self::Files(files) => {
                files.iter().zip(layers).map(|(file, layer)| size(&layer.root.join(file))).sum()
            }
            Self::Strip { file, .. } => size(&layers[0].root.join(file)),
            Self::Row { fold, .. } => fold.row_bytes(),
            #[cfg(feature = "slide")]
            Self::Region { slide, .. } => slide.tile_bytes(),
        }
    }

    /// Reads all layers.
    ///
    /// # Errors
    /// Every layer that cannot be used.
    pub fn read(&self, layers: &[PlannedLayer], limits: &Limits) -> Result<Vec<Loaded>, Vec<Skipped>> {
        match self {
            Self::Files(files) => read_files(files, layers, limits),
            Self::Strip { file, panels } => {
                read_strip(&layers[0].root.join(file), file, panels, layers, limits)
                    .map_err(|reason| vec![Skipped { path: file.clone(), reason }])
            }
            Self::Row { fold, row } => {
                fold.read(*row).map_err(|reason| vec![Skipped { path: fold.shown(*row), reason }])
            }
            #[cfg(feature = "slide")]
            Self::Region { slide, place } => {
                slide.read(*place).map_err(|reason| vec![Skipped { path: slide.shown(*place), reason }])
            }
        }
    }
}

fn read_files(
    files: &[String],
    layers: &[PlannedLayer],
    limits: &Limits,
) -> Result<Vec<Loaded>, Vec<Skipped>> {
    let mut loaded = Vec::with_capacity(files.len());
    let mut bad = Vec::new();
    for (index, (file, layer)) in files.iter().zip(layers).enumerate() {
        let shown = if index == 0 { file.clone() } else { format!("{}/{file}", layer.name) };
        match read_file(&layer.root.join(file), file, layer.content, limits) {
            Ok((pixels, original)) => loaded.push(Loaded { shown, pixels, original }),
            Err(reason) => bad.push(Skipped { path: shown, reason }),
        }
    }
    if bad.is_empty() { Ok(loaded) } else { Err(bad) }
}

type Original = Option<(String, Vec<u8>)>;

fn read_file(
    path: &Path,
    name: &str,
    content: Content,
    limits: &Limits,
) -> Result<(Pixels, Original), String> {
    let bytes = read_bytes(path, limits)?;
    let pixels = match content {
        Content::Image => decode(&bytes, limits).map(Pixels::Image),
        Content::Label | Content::Instance => decode_labels(&bytes, limits).map(Pixels::Labels),
        Content::Mask | Content::Components => {
            let mask = decode(&bytes, limits).map_err(|error| error.to_string())?;
            return Ok((Pixels::Labels(labels_of_mask(&mask, content)), None));
        }
    };
    let pixels = pixels.map_err(|error| error.to_string())?;
    let extension = extension_of(name, &bytes).map_err(|error| error.to_string())?;
    Ok((pixels, Some((extension, bytes))))
}

fn read_bytes(path: &Path, limits: &Limits) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if usize::try_from(size).map_or(true, |size| size > limits.max_bytes) {
        return Err(format!("the file has {size} bytes, more than the limit of {}", limits.max_bytes));
    }
    std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))
}

/// The file name's own extension where it fits the content, else the content's usual one.
fn extension_of(file: &str, bytes: &[u8]) -> Result<String, counterstain_tile::Error> {
    let named =
        file.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default();
    let fitting: &[&str] = match Format::of(bytes)? {
        Format::Png => &["png"],
        Format::Jpeg => &["jpg", "jpeg"],
        Format::Tiff => &["tif", "tiff"],
    };
    Ok(if fitting.contains(&named.as_str()) { named } else { fitting[0].to_owned() })
}

/// Class 1, or the number of its component, wherever any channel is not 0.
fn labels_of_mask(mask: &Tile<u8>, content: Content) -> Tile<u32> {
    let is_set: Vec<bool> =
        mask.data.chunks_exact(mask.channels).map(|pixel| pixel.iter().any(|&value| value != 0)).collect();
    let data = match content {
        Content::Components => label_components(&is_set, mask.width),
        _ => is_set.into_iter().map(u32::from).collect(),
    };
    Tile { width: mask.width, height: mask.height, channels: 1, data }
}

fn read_strip(
    path: &Path,
    file: &str,
    panels: &Panels,
    layers: &[PlannedLayer],
    limits: &Limits,
) -> Result<Vec<Loaded>, String> {
    let strip = decode(&read_bytes(path, limits)?, limits).map_err(|error| error.to_string())?;
    let count = panels.count;
    if strip.width % count != 0 {
        let width = strip.width;
        return Err(format!("is {width} px wide, which {count} panels of equal width cannot fill"));
    }
    let width = strip.width / count;
    panels
        .places
        .iter()
        .zip(layers)
        .map(|(&place, layer)| {
            debug_assert_eq!(layer.content.kind(), LayerKind::Image);
            let panel =
                strip.crop(place * width, 0, width, strip.height).map_err(|error| error.to_string())?;
            let shown = format!("{file}, panel {}", layer.name);
            Ok(Loaded { shown, pixels: Pixels::Image(panel), original: None })
        })
        .collect()
}
