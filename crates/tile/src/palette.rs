//! Fixed colours for label maps, so that a nucleus map becomes an RGB image.
//!
//! Invariant: a palette's colours are far apart and frozen, since generators are
//! trained on images painted with them.

use std::borrow::Cow;

use crate::error::Error;
use crate::tile::Tile;

/// One label with its name and colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaletteEntry {
    /// The integer in the label map.
    pub label: u32,
    /// What it stands for.
    pub name: Cow<'static, str>,
    /// Its colour.
    pub rgb: [u8; 3],
}

/// A named list of colours; labels it does not list are painted in `unknown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette {
    /// The name under which a layer records it.
    pub name: Cow<'static, str>,
    /// The labels in ascending order.
    pub entries: Cow<'static, [PaletteEntry]>,
    /// The colour of every other label.
    pub unknown: [u8; 3],
}

const fn entry(label: u32, name: &'static str, rgb: [u8; 3]) -> PaletteEntry {
    PaletteEntry { label, name: Cow::Borrowed(name), rgb }
}

/// Nucleus types as CoNSeP's merged classes number them, and a class for neoplastic nuclei.
pub const NUCLEUS_TYPES: Palette = Palette {
    name: Cow::Borrowed("nucleus-types"),
    entries: Cow::Borrowed(&[
        entry(0, "background", [0, 0, 0]),
        entry(1, "other", [255, 255, 0]),
        entry(2, "inflammatory", [0, 255, 0]),
        entry(3, "epithelial", [0, 0, 255]),
        entry(4, "spindle", [0, 255, 255]),
        entry(5, "neoplastic", [255, 0, 0]),
    ]),
    unknown: [255, 255, 255],
};

/// Nucleus types as PanNuke numbers them (Gamper et al., ECDP 2019).
pub const PANNUKE_TYPES: Palette = Palette {
    name: Cow::Borrowed("pannuke-types"),
    entries: Cow::Borrowed(&[
        entry(0, "background", [0, 0, 0]),
        entry(1, "neoplastic", [255, 0, 0]),
        entry(2, "inflammatory", [0, 255, 0]),
        entry(3, "connective", [0, 0, 255]),
        entry(4, "dead", [255, 255, 0]),
        entry(5, "epithelial", [255, 0, 255]),
    ]),
    unknown: [255, 255, 255],
};

/// A mask without types: everything but background is white.
pub const MASK: Palette = Palette {
    name: Cow::Borrowed("mask"),
    entries: Cow::Borrowed(&[entry(0, "background", [0, 0, 0])]),
    unknown: [255, 255, 255],
};

impl Palette {
    /// The built-in palette of that name.
    pub fn named(name: &str) -> Option<Palette> {
        [NUCLEUS_TYPES, PANNUKE_TYPES, MASK].into_iter().find(|palette| palette.name == name)
    }

    /// The names of the built-in palettes.
    pub fn names() -> Vec<String> {
        [NUCLEUS_TYPES, PANNUKE_TYPES, MASK].iter().map(|palette| palette.name.to_string()).collect()
    }

    /// The colour of a label.
    pub fn color(&self, label: u32) -> [u8; 3] {
        self.entries.iter().find(|entry| entry.label == label).map_or(self.unknown, |entry| entry.rgb)
    }

    /// The labels of a map that the palette does not list, in ascending order.
    pub fn unlisted(&self, labels: &Tile<u32>) -> Vec<u32> {
        let mut unlisted: Vec<u32> = Vec::new();
        for &label in &labels.data {
            if !unlisted.contains(&label) && !self.entries.iter().any(|entry| entry.label == label) {
                unlisted.push(label);
            }
        }
        unlisted.sort_unstable();
        unlisted
    }
}

/// Paints a label map (its first channel) in a palette's colours: RGB, same size.
pub fn paint_types(labels: &Tile<u32>, palette: &Palette) -> Tile<u8> {
    let mut data = Vec::with_capacity(labels.pixels() * 3);
    let mut last = (0, palette.color(0));
    for pixel in labels.data.chunks_exact(labels.channels.max(1)) {
        // Neighbours mostly share a label, so the list is searched seldom.
        if pixel[0] != last.0 {
            last = (pixel[0], palette.color(pixel[0]));
        }
        data.extend_from_slice(&last.1);
    }
    data.resize(labels.pixels() * 3, 0);
    Tile { width: labels.width, height: labels.height, channels: 3, data }
}

/// The inverse of [`paint_types`]: the label of the nearest palette colour, per pixel.
///
/// For generated images, whose colours are only near those of the palette. Of
/// equally near colours the first listed wins.
pub fn nearest_types(painted: &Tile<u8>, palette: &Palette) -> Result<Tile<u32>, Error> {
    if painted.channels != 3 {
        return Err(Error::WrongChannels {
            what: "reading types from colours",
            expected: "3",
            found: painted.channels,
        });
    }
    let distance = |first: &[u8], second: [u8; 3]| -> i32 {
        first.iter().zip(second).map(|(&a, b)| (i32::from(a) - i32::from(b)).pow(2)).sum()
    };
    let data = painted
        .data
        .chunks_exact(3)
        .map(|pixel| {
            palette
                .entries
                .iter()
                .min_by_key(|entry| distance(pixel, entry.rgb))
                .map_or(0, |entry| entry.label)
        })
        .collect();
    Tile::new(painted.width, painted.height, 1, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn painting_and_reading_back_gives_the_labels() {
        for palette in [NUCLEUS_TYPES, PANNUKE_TYPES] {
            let labels = Tile::new(3, 2, 1, vec![0, 1, 2, 3, 4, 5]).unwrap();
            let painted = paint_types(&labels, &palette);
            assert_eq!(nearest_types(&painted, &palette).unwrap(), labels);
            assert!(palette.unlisted(&labels).is_empty());
        }
    }

    #[test]
    fn labels_that_are_not_listed_are_found_and_painted_as_unknown() {
        let labels = Tile::new(3, 1, 1, vec![9, 0, 7]).unwrap();
        assert_eq!(NUCLEUS_TYPES.unlisted(&labels), [7, 9]);
        assert_eq!(paint_types(&labels, &MASK).data, [255, 255, 255, 0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn an_empty_map_is_painted_as_an_empty_image() {
        assert!(paint_types(&Tile::filled(0, 0, 1, 0), &MASK).is_empty());
    }

    #[test]
    fn palettes_are_found_by_name() {
        assert_eq!(Palette::named("nucleus-types"), Some(NUCLEUS_TYPES));
        assert_eq!(Palette::named("x"), None);
    }
}
