//! From a layer's file to the image that networks see: label layers are painted in their palette.

use std::borrow::Cow;

use counterstain_api::error::ErrorCode;
use counterstain_artifact::{LayerInfo, LayerKind};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode, decode_labels};
use counterstain_tile::palette::{MASK, NUCLEUS_TYPES, PANNUKE_TYPES, Palette, PaletteEntry, paint_types};

use crate::TaskError;

/// Decodes a layer's image; a label or instance layer becomes RGB in its palette.
///
/// # Errors
/// The file is damaged or larger than the limits; the message names `what`.
pub fn decode_layer(bytes: &[u8], layer: &LayerInfo, what: &str) -> Result<Tile<u8>, TaskError> {
    let damaged = |error: counterstain_tile::Error| {
        TaskError::new(ErrorCode::Corrupt, format!("{what} ({}) cannot be decoded: {error}", layer.name))
    };
    match palette_of(layer) {
        None => decode(bytes, &Limits::default()).map_err(damaged),
        Some(palette) => {
            let labels = decode_labels(bytes, &Limits::default()).map_err(damaged)?;
            Ok(paint_types(&labels, &palette))
        }
    }
}

/// The palette that a layer's files are painted in: its own, or that of nucleus types. Instances become a
/// mask, since their numbers mean nothing. None for images, painted ones included.
pub fn palette_of(layer: &LayerInfo) -> Option<Palette> {
    match layer.kind {
        LayerKind::Image => None,
        LayerKind::Instance => Some(MASK),
        LayerKind::Label => Some(layer.palette.as_deref().map_or(NUCLEUS_TYPES, |colours| {
            let entries = colours.iter().enumerate().map(|(label, &rgb)| PaletteEntry {
                label: label as u32,
                name: Cow::Owned(label.to_string()),
                rgb,
            });
            Palette {
                name: Cow::Owned(layer.name.clone()),
                entries: Cow::Owned(entries.collect()),
                unknown: NUCLEUS_TYPES.unknown,
            }
        })),
    }
}

/// The types 0 to `largest`, or more where the layer has more colours, with names and colours: those of the built-in
/// palette that the layer's colours are from, else numbered.
pub fn type_palette(layer: &LayerInfo, largest: u32) -> Palette {
    let colours = layer.palette.as_deref().unwrap_or_default();
    let count = colours.len().max(largest as usize + 1).max(2) as u32;
    let known = [NUCLEUS_TYPES, PANNUKE_TYPES].into_iter().find(|palette| {
        let same = |(label, colour): (usize, &[u8; 3])| palette.color(label as u32) == *colour;
        colours.iter().enumerate().all(same)
    });
    let entry = |label: u32| {
        let known = known.as_ref().and_then(|palette| palette.entries.iter().find(|e| e.label == label));
        let name = known.map_or_else(|| Cow::Owned(format!("type-{label}")), |entry| entry.name.clone());
        let colour = colours.get(label as usize).copied().or_else(|| known.map(|entry| entry.rgb));
        PaletteEntry { label, name, rgb: colour.unwrap_or(NUCLEUS_TYPES.unknown) }
    };
    Palette {
        name: Cow::Owned(layer.name.clone()),
        entries: (0..count).map(entry).collect(),
        unknown: NUCLEUS_TYPES.unknown,
    }
}

/// Whether a layer's colours are labels rather than stains: a change of colour would change their meaning.
pub fn colours_are_labels(layer: &LayerInfo) -> bool {
    layer.kind != LayerKind::Image || layer.palette.is_some()
}
