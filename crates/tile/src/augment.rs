//! Random views of a tile: the paper's augmentations as plain functions and presets.
//!
//! Source: Farndale et al. 2024 (arXiv 2403.05220), section "Augmentations", and
//! its authors' code (TriDeNT, `VICReg/augmentations.py`), which fixes the order:
//! flips, crop and bilinear resize, random background, rotation, solarize,
//! colour jitter (brightness, contrast, saturation, hue), clip.
//!
//! Invariants: a view depends on nothing but the tile, the preset, the output
//! size and `(seed, epoch, sample, view)`; every draw is made whether it is used
//! or not, so that changing one probability leaves the other draws as they are.

mod blur;
mod color;
mod draws;
mod geometry;
mod nuclei;

pub use color::{
    JitterDraw, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, color_drop, color_jitter,
    grayscale, random_background, solarize,
};
pub use draws::{Draws, apply_draws};
pub use geometry::{flip_left_right, flip_up_down, rotate};
pub use nuclei::{Annotated, PatchAugmentation};

use crate::error::Error;
use crate::random::Stream;
use crate::tile::Tile;

/// Largest change of each colour property; 0 leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JitterRange {
    /// The added value lies within ± this, in units of the image's scale.
    pub brightness: f32,
    /// The factor lies within 1 ± this.
    pub contrast: f32,
    /// The factor lies within 1 ± this.
    pub saturation: f32,
    /// The rotation lies within ± this fraction of the colour circle.
    pub hue: f32,
}

impl JitterRange {
    /// No change.
    pub const NONE: Self = Self { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };

    /// The ranges of the authors' `color_jitter` at a strength (the paper: 0.5).
    pub fn of_strength(strength: f32) -> Self {
        Self {
            brightness: 0.8 * strength,
            contrast: 0.8 * strength,
            saturation: 0.8 * strength,
            hue: 0.2 * strength,
        }
    }
}

/// What may happen to a view, how likely and how strongly.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmentation {
    /// The value of white: the image's scale is 0..this.
    pub maximum: f32,
    /// Probability of exchanging left and right.
    pub flip_left_right: f32,
    /// Probability of exchanging top and bottom.
    pub flip_up_down: f32,
    /// Smallest share of each side that a crop keeps (drawn apart for width and height).
    pub crop_smallest: f32,
    /// Probability of replacing zeros by noise.
    pub background: f32,
    /// The noise is uniform in 0..this.
    pub background_maximum: f32,
    /// Probability of rotating.
    pub rotate: f32,
    /// Largest angle in radians; angles are uniform in 0..this.
    pub rotate_largest: f32,
    /// Probability of solarizing.
    pub solarize: f32,
    /// Range of the threshold from which values are inverted, in units of the image's scale.
    pub solarize_threshold: (f32, f32),
    /// Colour jitter; it is always applied.
    pub jitter: JitterRange,
}

impl Augmentation {
    /// The paper's augmentations on a 0..1 scale, so that each does what its name says.
    pub fn paper() -> Self {
        Self {
            maximum: 1.0,
            flip_left_right: 0.5,
            flip_up_down: 0.5,
            crop_smallest: 0.75,
            background: 0.3,
            background_maximum: 1.0,
            rotate: 0.4,
            rotate_largest: std::f32::consts::PI,
            solarize: 0.3,
            solarize_threshold: (0.01, 0.6),
            jitter: JitterRange::of_strength(0.5),
        }
    }

    /// The authors' code as published: the same numbers on images of 0..255.
    ///
    /// Brightness then changes next to nothing, and solarize inverts nearly
    /// everything. The views are on a scale of 0..255.
    pub fn faithful() -> Self {
        Self { maximum: 255.0, background_maximum: 256.0, ..Self::paper() }
    }

    /// Flips, mild crops and mild jitter, for short runs on small tiles (0..1).
    pub fn light() -> Self {
        Self {
            crop_smallest: 0.85,
            background: 0.0,
            rotate: 0.0,
            solarize: 0.0,
            jitter: JitterRange { brightness: 0.1, contrast: 0.2, saturation: 0.2, hue: 0.04 },
            ..Self::paper()
        }
    }

    /// Nothing but the resize to the output size (0..1): what evaluation uses.
    pub fn none() -> Self {
        Self {
            flip_left_right: 0.0,
            flip_up_down: 0.0,
            crop_smallest: 1.0,
            jitter: JitterRange::NONE,
            ..Self::light()
        }
    }

    /// The preset of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "paper" => Some(Self::paper()),
            "faithful" => Some(Self::faithful()),
            "light" => Some(Self::light()),
            "none" => Some(Self::none()),
            _ => None,
        }
    }

    /// The names of the presets.
    pub const NAMES: [&'static str; 4] = ["paper", "light", "faithful", "none"];

    /// The same flips, crops and rotations without any change of colour.
    ///
    /// For privileged images whose colours are labels rather than stains.
    pub fn geometric(&self) -> Self {
        Self { background: 0.0, solarize: 0.0, jitter: JitterRange::NONE, ..self.clone() }
    }

    /// One view: `out_size` × `out_size`, the tile's channels, on a scale of 0..`maximum`.
    ///
    /// Saturation and hue apply to images of three channels only. Fails for a
    /// tile without pixels.
    pub fn apply(
        &self,
        tile: &Tile<u8>,
        out_size: usize,
        seed: u64,
        epoch: u64,
        sample: u64,
        view: u64,
    ) -> Result<Tile<f32>, Error> {
        let position = [epoch, sample, view];
        let mut stream = Stream::new(seed, "augment", &position);
        let draws = self.draw(tile.width, tile.height, &mut stream);
        // Only a source with zeros can have zeros in its view.
        let noise = (draws.background && tile.data.contains(&0)).then(|| {
            let mut stream = Stream::new(seed, "augment.background", &position);
            let count = out_size * out_size * tile.channels;
            let data = (0..count).map(|_| stream.uniform(0.0, self.background_maximum)).collect();
            Tile { width: out_size, height: out_size, channels: tile.channels, data }
        });
        let scale = self.maximum / 255.0;
        apply_draws(tile, &draws, (out_size, out_size), scale, self.maximum, noise.as_ref())
    }
}

#[cfg(test)]
mod tests;
