//! Turns one planned sample into the bytes that are written.
//!
//! Invariants: layers of a sample have one size; label maps are never blended; bytes are kept as they are
//! unless tiles are cut, reduced or computed.

use std::sync::Arc;

use counterstain_artifact::Skipped;
use counterstain_tile::Tile;
use counterstain_tile::decode::Limits;
use counterstain_tile::encode::{encode_labels_png, encode_png};
use counterstain_tile::resample::{cut, cut_positions, downsample_area, majority};

use super::description::{Change, HoldOutBy};
use super::key::cut_key;
use super::plan::{Plan, Planned};
use super::source::{Loaded, Pixels};

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
    /// Split, where it is not the whole image's.
    pub split: Option<Arc<str>>,
    /// Patient or slide; of a cut image without one, the image.
    pub group: Option<String>,
}

/// Reads, checks and changes the layers of a sample.
///
/// # Errors
/// Every layer of the sample that cannot be used.
pub fn prepare(
    plan: &Plan,
    sample: &Planned,
    change: &Change,
    limits: &Limits,
) -> Result<Vec<Prepared>, Vec<Skipped>> {
    let loaded = sample.source.read(&plan.layers, limits)?;
    let (width, height) = loaded[0].size();
    let other_sizes: Vec<Skipped> = loaded
        .iter()
        .filter(|layer| layer.size() != (width, height))
        .map(|layer| {
            let (found_width, found_height) = layer.size();
            let reason = format!("is {found_width}x{found_height} px, its primary image {width}x{height} px");
            Skipped { path: layer.shown.clone(), reason }
        })
        .collect();
    if !other_sizes.is_empty() {
        return Err(other_sizes);
    }
    let changed =
        if change.keeps_pixels() { keep(sample, loaded) } else { cut_and_reduce(sample, &loaded, change) };
    changed.map_err(|reason| vec![Skipped { path: sample.source.shown(), reason }])
}

fn keep(sample: &Planned, loaded: Vec<Loaded>) -> Result<Vec<Prepared>, String> {
    let (width, height) = loaded[0].size();
    let files = loaded
        .into_iter()
        .map(|layer| {
            let channels = layer.channels();
            let (extension, bytes) = match layer.original {
                Some(original) => original,
                None => ("png".to_owned(), encoded(&layer.pixels)?),
            };
            Ok(PreparedFile { extension, bytes, channels })
        })
        .collect::<Result<_, String>>()?;
    let (key, group) = (sample.key.clone(), sample.group.clone());
    Ok(vec![Prepared { key, files, width, height, split: None, group }])
}

fn encoded(pixels: &Pixels) -> Result<Vec<u8>, String> {
    let bytes = match pixels {
        Pixels::Image(tile) => encode_png(tile),
        Pixels::Labels(tile) => encode_labels_png(tile),
    };
    bytes.map_err(|error| error.to_string())
}

fn cut_and_reduce(sample: &Planned, loaded: &[Loaded], change: &Change) -> Result<Vec<Prepared>, String> {
    let columns = change.tile.map_or(1, |side| loaded[0].size().0 / change.downsample / side);
    let mut prepared: Vec<Prepared> = Vec::new();
    for image in loaded {
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
                let split = piece.place.and_then(|(_, column)| column_split(sample, change, column, columns));
                prepared.push(Prepared { key, files: Vec::new(), width, height, split, group });
            }
            prepared[index].files.push(piece.file);
        }
    }
    Ok(prepared)
}

/// The split that a column of tiles is held out for, counted from the right.
fn column_split(sample: &Planned, change: &Change, column: usize, columns: usize) -> Option<Arc<str>> {
    if change.hold_out_by != HoldOutBy::Column || sample.split.as_deref() != Some("train") {
        return None;
    }
    let mut taken = 0;
    for (split, share) in &change.hold_out {
        taken += ((share * columns as f64).round() as usize).max(1);
        if column + taken >= columns {
            return Some(Arc::from(split.as_str()));
        }
    }
    None
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
