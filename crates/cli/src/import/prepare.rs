//! Turns one planned sample into the bytes that are written.
//!
//! Invariants: every file is decoded whole, so damage shows here and not in a training run; label maps are
//! never blended; bytes are kept as they are unless tiles are cut or reduced.

use counterstain_artifact::{LayerKind, Skipped};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Format, Limits, decode, decode_labels};
use counterstain_tile::encode::{encode_labels_png, encode_png};
use counterstain_tile::resample::{cut, cut_positions, downsample_area, majority};

use super::description::Change;
use super::key::cut_key;
use super::plan::{Plan, Planned, PlannedLayer};

/// A file of a sample, ready to be written.
#[derive(Debug)]
pub struct PreparedFile {
    /// Extension, lower case.
    pub extension: String,
    /// Encoded image.
    pub bytes: Vec<u8>,
    /// Channels of its pixels.
    pub channels: usize,
}

/// A sample, ready to be written.
#[derive(Debug)]
pub struct Prepared {
    /// Key in the dataset.
    pub key: String,
    /// One file per layer, in the plan's order.
    pub files: Vec<PreparedFile>,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Patient or slide; of a cut image without one, the image.
    pub group: Option<String>,
}

/// Reads, checks and changes the files of a sample.
///
/// # Errors
/// Every file of the sample that cannot be used.
pub fn prepare(
    plan: &Plan,
    sample: &Planned,
    change: &Change,
    limits: &Limits,
) -> Result<Vec<Prepared>, Vec<Skipped>> {
    let mut loaded = Vec::with_capacity(sample.files.len());
    let mut bad = Vec::new();
    for (index, (file, layer)) in sample.files.iter().zip(&plan.layers).enumerate() {
        let shown = if index == 0 { file.clone() } else { format!("{}/{file}", layer.name) };
        match Loaded::read(layer, file, limits) {
            Ok(image) => loaded.push((shown, image)),
            Err(reason) => bad.push(Skipped { path: shown, reason }),
        }
    }
    if let Some((_, primary)) = loaded.first().filter(|_| bad.is_empty()) {
        let (width, height) = primary.size();
        for (shown, image) in loaded.iter().skip(1).filter(|(_, image)| image.size() != (width, height)) {
            let (found_width, found_height) = image.size();
            let reason = format!("is {found_width}x{found_height} px, its primary image {width}x{height} px");
            bad.push(Skipped { path: shown.clone(), reason });
        }
    }
    if !bad.is_empty() {
        return Err(bad);
    }
    let changed =
        if change.keeps_bytes() { keep(sample, loaded) } else { cut_and_reduce(sample, &loaded, change) };
    changed.map_err(|reason| vec![Skipped { path: sample.files[0].clone(), reason }])
}

enum Pixels {
    Image(Tile<u8>),
    Labels(Tile<u32>),
}

struct Loaded {
    extension: String,
    bytes: Vec<u8>,
    pixels: Pixels,
}

impl Loaded {
    fn read(layer: &PlannedLayer, file: &str, limits: &Limits) -> Result<Self, String> {
        let path = layer.root.join(file);
        let size = std::fs::metadata(&path).map_err(|error| format!("cannot be read: {error}"))?.len();
        if usize::try_from(size).map_or(true, |size| size > limits.max_bytes) {
            return Err(format!("the file has {size} bytes, more than the limit of {}", limits.max_bytes));
        }
        let bytes = std::fs::read(&path).map_err(|error| format!("cannot be read: {error}"))?;
        let extension = extension_of(file, &bytes).map_err(|error| error.to_string())?;
        let pixels = match layer.kind {
            LayerKind::Image => Pixels::Image(decode(&bytes, limits).map_err(|error| error.to_string())?),
            LayerKind::Label | LayerKind::Instance => {
                Pixels::Labels(decode_labels(&bytes, limits).map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { extension, bytes, pixels })
    }

    fn size(&self) -> (usize, usize) {
        match &self.pixels {
            Pixels::Image(tile) => (tile.width, tile.height),
            Pixels::Labels(tile) => (tile.width, tile.height),
        }
    }

    fn channels(&self) -> usize {
        match &self.pixels {
            Pixels::Image(tile) => tile.channels,
            Pixels::Labels(_) => 1,
        }
    }
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

fn keep(sample: &Planned, loaded: Vec<(String, Loaded)>) -> Result<Vec<Prepared>, String> {
    let (width, height) = loaded[0].1.size();
    let files = loaded
        .into_iter()
        .map(|(_, image)| PreparedFile {
            channels: image.channels(),
            extension: image.extension,
            bytes: image.bytes,
        })
        .collect();
    Ok(vec![Prepared { key: sample.key.clone(), files, width, height, group: sample.group.clone() }])
}

fn cut_and_reduce(
    sample: &Planned,
    loaded: &[(String, Loaded)],
    change: &Change,
) -> Result<Vec<Prepared>, String> {
    let mut prepared: Vec<Prepared> = Vec::new();
    for (_, image) in loaded {
        let pieces = match &image.pixels {
            Pixels::Image(tile) => {
                encode_pieces(reduced(tile, change, downsample_area)?, change, encode_png)?
            }
            Pixels::Labels(tile) => {
                encode_pieces(reduced(tile, change, majority)?, change, encode_labels_png)?
            }
        };
        for (index, piece) in pieces.into_iter().enumerate() {
            if prepared.len() <= index {
                let (width, height) = (piece.width, piece.height);
                let key = match piece.place {
                    Some((row, column)) => cut_key(&sample.key, row, column),
                    None => sample.key.clone(),
                };
                let own_image = piece.place.map(|_| sample.key.clone());
                let group = sample.group.clone().or(own_image);
                prepared.push(Prepared { key, files: Vec::new(), width, height, group });
            }
            prepared[index].files.push(piece.file);
        }
    }
    Ok(prepared)
}

fn reduced<T: Copy>(
    tile: &Tile<T>,
    change: &Change,
    reduce: impl Fn(&Tile<T>, usize) -> Result<Tile<T>, counterstain_tile::Error>,
) -> Result<Tile<T>, String> {
    if change.downsample == 1 {
        return Ok(tile.clone());
    }
    reduce(tile, change.downsample).map_err(|error| error.to_string())
}

struct Piece {
    /// Row and column of the cut; none when the image stays whole.
    place: Option<(usize, usize)>,
    width: usize,
    height: usize,
    file: PreparedFile,
}

fn encode_pieces<T: Copy>(
    tile: Tile<T>,
    change: &Change,
    encode: impl Fn(&Tile<T>) -> Result<Vec<u8>, counterstain_tile::Error>,
) -> Result<Vec<Piece>, String> {
    let (tiles, places) = match change.tile {
        None => (vec![tile], vec![None]),
        Some(side) => {
            let places = cut_positions(tile.width, tile.height, side);
            let places = places.into_iter().map(|(left, top)| Some((top / side, left / side))).collect();
            (cut(&tile, side).map_err(|error| error.to_string())?, places)
        }
    };
    tiles
        .into_iter()
        .zip(places)
        .map(|(piece, place)| {
            let bytes = encode(&piece).map_err(|error| error.to_string())?;
            let file = PreparedFile { extension: "png".to_owned(), bytes, channels: piece.channels };
            Ok(Piece { place, width: piece.width, height: piece.height, file })
        })
        .collect()
}
