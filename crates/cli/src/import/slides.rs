//! A whole-slide image through OpenSlide: where its tissue is, and its tiles.
//!
//! Invariants: a slide is opened once; no more of it is in memory than its smallest level and the tiles in work;
//! a tile is read from the level next above its resolution and reduced by the mean, never enlarged.

use std::path::Path;

use counterstain_tile::Tile;
use image::imageops::{FilterType, resize};
use openslide_rs::{Address, OpenSlide, Region, Size};

use super::description::SlideImport;
use super::source::{Loaded, Pixels};

/// Longest side of the picture that tissue is sought in, in pixels.
const OVERVIEW: u32 = 2048;
/// Saturation, (max - min) / max of the channels, from which a pixel is tissue: glass has less.
const TISSUE_SATURATION: f64 = 0.07;
/// Brightness below which a pixel is none: the black of missing areas and of pens.
const DARKEST: u8 = 20;
/// How much finer or coarser than the slide tiles may be.
const MAX_SCALE: f64 = 256.0;
/// Most pixels that are read for one tile.
const MAX_REGION: f64 = 8192.0 * 8192.0;

/// A slide with the plan of its tiles.
pub struct Slide {
    slide: OpenSlide,
    name: String,
    level: u32,
    /// Level 0 pixels per pixel of the tiles, and pixels of `level` per pixel of the tiles.
    scale: f64,
    level_scale: f64,
    /// Microns per pixel at level 0, where the slide says it.
    finest: Option<f64>,
    tile: u32,
}

impl std::fmt::Debug for Slide {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Slide").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Left and top of a tile at level 0.
pub type Place = (u32, u32);

impl Slide {
    /// Opens a slide; `name` is told in messages.
    ///
    /// # Errors
    /// When OpenSlide refuses it, it has no such level, or its resolution is unknown but asked for.
    pub fn open(path: &Path, name: &str, import: &SlideImport) -> Result<Self, String> {
        let slide = OpenSlide::new(path).map_err(|error| format!("OpenSlide refuses it: {error}"))?;
        let finest = microns_per_pixel(&slide);
        let scale = match (import.level, import.microns_per_pixel) {
            (Some(level), _) => slide.level_downsample(level).map_err(|_| {
                format!("has no level {level}; it has {} levels, from 0", slide.level_count())
            })?,
            (None, Some(wanted)) => {
                let finest = finest
                    .ok_or("does not say its microns per pixel; give level instead of microns_per_pixel")?;
                wanted / finest
            }
            (None, None) => 1.0,
        };
        if !(1.0 / 1.05..=MAX_SCALE).contains(&scale) {
            let finest = finest.unwrap_or_default();
            return Err(format!(
                "has {finest:.4} microns per pixel: tiles can be 1 to {MAX_SCALE} times as coarse, not {scale:.3} times"
            ));
        }
        // A little tolerance: 0.2499 and 0.25 microns are one resolution.
        let scale = if scale < 1.05 { 1.0 } else { scale };
        let level = slide.best_level_for_downsample(scale * 1.01).map_err(|error| error.to_string())?;
        let downsample = slide.level_downsample(level).map_err(|error| error.to_string())?;
        let level_scale = scale / downsample;
        let tile = u32::try_from(import.tile).map_err(|_| "tile is too large".to_owned())?;
        if (f64::from(tile) * level_scale).powi(2) > MAX_REGION {
            return Err(format!(
                "has no level near that resolution: a tile would be read from {:.0} px a side; give a level",
                f64::from(tile) * level_scale
            ));
        }
        Ok(Self { slide, name: name.to_owned(), level, scale, level_scale, finest, tile })
    }

    /// The places whose tiles hold at least the share `tissue` of tissue, row by row.
    ///
    /// # Errors
    /// OpenSlide's.
    pub fn places(&self, overlap: usize, tissue: f64) -> Result<Vec<Place>, String> {
        let size = self.slide.level_dimensions(0).map_err(|error| error.to_string())?;
        let overview = self.slide.thumbnail_rgb(&overview_size(size)).map_err(|error| error.to_string())?;
        let mask: Vec<bool> = overview.pixels().map(|pixel| is_tissue(pixel.0)).collect();
        let share = |left: f64, top: f64, side: f64| {
            let (across, down) = (
                f64::from(overview.width()) / f64::from(size.w),
                f64::from(overview.height()) / f64::from(size.h),
            );
            let range = |start: f64, factor: f64, end: u32| {
                let first = ((start * factor) as u32).min(end.saturating_sub(1));
                first..(((start + side) * factor).ceil() as u32).clamp(first + 1, end)
            };
            let columns = range(left, across, overview.width());
            let (mut found, mut all) = (0_u64, 0_u64);
            for row in range(top, down, overview.height()) {
                for column in columns.clone() {
                    found += u64::from(mask[(row * overview.width() + column) as usize]);
                    all += 1;
                }
            }
            found as f64 / all.max(1) as f64
        };
        let side = f64::from(self.tile) * self.scale;
        let step = (f64::from(self.tile) - overlap as f64) * self.scale;
        let along = |length: u32| {
            let count =
                if f64::from(length) < side { 0 } else { ((f64::from(length) - side) / step) as u32 + 1 };
            (0..count).map(move |index| f64::from(index) * step)
        };
        let mut places = Vec::new();
        for top in along(size.h) {
            for left in along(size.w).filter(|&left| share(left, top, side) >= tissue) {
                places.push((left as u32, top as u32));
            }
        }
        Ok(places)
    }

    /// Microns per pixel of the tiles, where the slide says its own.
    pub fn tile_microns_per_pixel(&self) -> Option<f64> {
        self.finest.map(|finest| finest * self.scale)
    }

    /// A tile's name in messages.
    pub fn shown(&self, (x, y): Place) -> String {
        format!("{} at {x},{y}", self.name)
    }

    /// Bytes that a tile takes.
    pub fn tile_bytes(&self) -> u64 {
        (f64::from(self.tile) * self.level_scale).powi(2) as u64 * 4
    }

    /// Reads a tile.
    ///
    /// # Errors
    /// OpenSlide's.
    pub fn read(&self, place: Place) -> Result<Vec<Loaded>, String> {
        let downsample = self.scale / self.level_scale;
        let on_level = |at: u32| (f64::from(at) / downsample).round() as u32;
        let side = (f64::from(self.tile) * self.level_scale).round().max(1.0) as u32;
        let region = Region {
            address: Address { x: on_level(place.0), y: on_level(place.1) },
            level: self.level,
            size: Size { w: side, h: side },
        };
        let read = self.slide.read_image_rgb(&region);
        let read = read.map_err(|error| format!("OpenSlide cannot read it: {error}"))?;
        let read =
            if side == self.tile { read } else { resize(&read, self.tile, self.tile, FilterType::Triangle) };
        let side = self.tile as usize;
        let tile = Tile { width: side, height: side, channels: 3, data: read.into_raw() };
        Ok(vec![Loaded { shown: self.shown(place), pixels: Pixels::Image(tile), original: None }])
    }
}

/// The mean of both directions, where the slide says it. Of a plain TIFF, OpenSlide tells it from version 4 on; here
/// it is read off the same tags with older ones too.
fn microns_per_pixel(slide: &OpenSlide) -> Option<f64> {
    let text = |name: &str| slide.property_value(name).ok();
    let number = |name: &str| text(name)?.trim().parse::<f64>().ok();
    let is_plain = text("openslide.vendor").as_deref() == Some("generic-tiff")
        && text("tiff.ResolutionUnit").as_deref() == Some("centimeter");
    let along = |direction: &str, tag: &str| {
        let size = number(&format!("openslide.mpp-{direction}"));
        size.or_else(|| number(tag).filter(|_| is_plain).map(|per_centimetre| 10_000.0 / per_centimetre))
    };
    let (x, y) = (along("x", "tiff.XResolution")?, along("y", "tiff.YResolution")?);
    (x > 0.0 && y > 0.0 && x.is_finite() && y.is_finite()).then_some((x + y) / 2.0)
}

fn overview_size(size: Size) -> Size {
    let factor = (f64::from(size.w.max(size.h)) / f64::from(OVERVIEW)).max(1.0);
    let reduced = |side: u32| ((f64::from(side) / factor) as u32).max(1);
    Size { w: reduced(size.w), h: reduced(size.h) }
}

fn is_tissue([red, green, blue]: [u8; 3]) -> bool {
    let (low, high) = (red.min(green).min(blue), red.max(green).max(blue));
    high >= DARKEST && f64::from(high - low) >= TISSUE_SATURATION * f64::from(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stain_is_tissue_and_glass_and_black_are_none() {
        assert!(is_tissue([200, 120, 170]) && is_tissue([90, 60, 140]));
        assert!(!is_tissue([243, 241, 244]) && !is_tissue([5, 0, 3]));
    }
}
