//! The random decisions of one view, apart from their execution.

use super::color::JitterDraw;
use super::{Augmentation, random_background, rotate, solarize};
use crate::error::Error;
use crate::random::Stream;
use crate::resample::{Flips, Window, crop_resize};
use crate::tile::Tile;

/// Everything random about one view except the background's noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws {
    /// Which axes are mirrored, before the crop.
    pub flips: Flips,
    /// The window of the mirrored tile that is kept.
    pub window: Window,
    /// Whether zeros are replaced by noise.
    pub background: bool,
    /// The angle in radians, if the view is rotated.
    pub angle: Option<f32>,
    /// The threshold, if the view is solarized.
    pub solarize: Option<f32>,
    /// The colour change, if there is one.
    pub jitter: Option<JitterDraw>,
}

impl Augmentation {
    /// Draws one view of a tile of `width` × `height` px.
    pub fn draw(&self, width: usize, height: usize, stream: &mut Stream) -> Draws {
        let flips = Flips {
            left_right: stream.chance(self.flip_left_right),
            up_down: stream.chance(self.flip_up_down),
        };
        let window_height = kept(height, stream.uniform(self.crop_smallest, 1.0));
        let window_width = kept(width, stream.uniform(self.crop_smallest, 1.0));
        let window = Window {
            top: stream.below((height - window_height) as u64 + 1) as usize,
            left: stream.below((width - window_width) as u64 + 1) as usize,
            width: window_width,
            height: window_height,
        };
        let background = stream.chance(self.background);
        let rotated = stream.chance(self.rotate);
        let angle = stream.uniform(0.0, self.rotate_largest);
        let solarized = stream.chance(self.solarize);
        let threshold = stream.uniform(self.solarize_threshold.0, self.solarize_threshold.1);
        let range = self.jitter;
        let jitter = JitterDraw {
            brightness: stream.uniform(-range.brightness, range.brightness),
            contrast: stream.uniform(1.0 - range.contrast, 1.0 + range.contrast),
            saturation: stream.uniform(1.0 - range.saturation, 1.0 + range.saturation),
            hue: stream.uniform(-range.hue, range.hue),
        };
        Draws {
            flips,
            window,
            background,
            angle: rotated.then_some(angle),
            solarize: solarized.then_some(threshold),
            jitter: (range != super::JitterRange::NONE).then_some(jitter),
        }
    }
}

/// The truncated share of a side, at least one pixel where there is one.
fn kept(side: usize, share: f32) -> usize {
    ((side as f32 * share) as usize).clamp(side.min(1), side)
}

/// Executes the draws: the view of `size` (width, height) on a scale of 0..`maximum`.
///
/// The tile's values are multiplied by `scale` first. `noise` must have the
/// view's shape where `draws.background` is set; without it that step is left out.
pub fn apply_draws<T: Copy + Into<f32>>(
    tile: &Tile<T>,
    draws: &Draws,
    size: (usize, usize),
    scale: f32,
    maximum: f32,
    noise: Option<&Tile<f32>>,
) -> Result<Tile<f32>, Error> {
    let mut view = crop_resize(tile, &draws.window, draws.flips, size.0, size.1, scale)?;
    if let (true, Some(noise)) = (draws.background, noise) {
        random_background(&mut view, noise)?;
    }
    if let Some(angle) = draws.angle {
        view = rotate(&view, angle);
    }
    if let Some(threshold) = draws.solarize {
        solarize(&mut view, threshold, maximum);
    }
    if let Some(jitter) = &draws.jitter {
        super::color_jitter(&mut view, jitter, maximum);
    }
    Ok(view)
}
