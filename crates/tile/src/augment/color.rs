//! Colour operations on float tiles, with the arithmetic of `tf.image`.
//!
//! Each works on any scale; only [`solarize`] and [`color_jitter`] need to know the
//! value of white. Where a function needs three channels, an image with another
//! number is left as it is.

use crate::error::Error;
use crate::tile::Tile;
use crate::vectorised::vectorised;

/// Adds `delta` to every value, without clipping.
pub fn adjust_brightness(tile: &mut Tile<f32>, delta: f32) {
    for value in &mut tile.data {
        *value += delta;
    }
}

/// Moves every value away from its channel's mean by `factor`, without clipping.
pub fn adjust_contrast(tile: &mut Tile<f32>, factor: f32) {
    let means = channel_means(tile);
    for pixel in tile.data.chunks_exact_mut(means.len().max(1)) {
        for (value, &mean) in pixel.iter_mut().zip(&means) {
            *value = contrasted(*value, mean, factor);
        }
    }
}

#[inline(always)]
fn contrasted(value: f32, mean: f32, factor: f32) -> f32 {
    (value - mean) * factor + mean
}

fn channel_means(tile: &Tile<f32>) -> Vec<f32> {
    let mut sums = vec![0.0_f64; tile.channels];
    for y in 0..tile.height {
        for pixel in tile.row(y).chunks_exact(tile.channels.max(1)) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(value);
            }
        }
    }
    let count = tile.pixels().max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// Multiplies the HSV saturation by `factor` and clips it to 0..1.
pub fn adjust_saturation(tile: &mut Tile<f32>, factor: f32) {
    let factor = factor.max(0.0);
    for_each_color(
        tile,
        #[inline(always)]
        |pixel| saturated(pixel, factor),
    );
}

/// Turns the HSV hue by `delta`, a fraction of the full circle.
pub fn adjust_hue(tile: &mut Tile<f32>, delta: f32) {
    let delta = within_half_a_turn(delta);
    for_each_color(
        tile,
        #[inline(always)]
        |pixel| turned(pixel, delta),
    );
}

/// The same turn as a fraction within -0.5..=0.5 of the circle.
fn within_half_a_turn(delta: f32) -> f32 {
    delta - delta.round()
}

/// Pixels that are worked on together, one array per channel.
const LANES: usize = 16;

/// Changes every pixel of an RGB image; other images stay as they are.
#[inline(always)]
fn for_each_color(tile: &mut Tile<f32>, change: impl Fn([f32; 3]) -> [f32; 3]) {
    if tile.channels != 3 {
        return;
    }
    let (pixels, _) = tile.data.as_chunks_mut::<3>();
    vectorised(
        #[inline(always)]
        || {
            let (blocks, rest) = pixels.as_chunks_mut::<LANES>();
            for block in blocks {
                // Taken apart by channel, the pixels fit vector registers.
                let mut channels = [[0.0; LANES]; 3];
                for (lane, pixel) in block.iter().enumerate() {
                    for (channel, &value) in channels.iter_mut().zip(pixel) {
                        channel[lane] = value;
                    }
                }
                let [reds, greens, blues] = &mut channels;
                for ((red, green), blue) in reds.iter_mut().zip(greens).zip(blues) {
                    [*red, *green, *blue] = change([*red, *green, *blue]);
                }
                for (lane, pixel) in block.iter_mut().enumerate() {
                    for (channel, value) in channels.iter().zip(pixel) {
                        *value = channel[lane];
                    }
                }
            }
            for pixel in rest {
                *pixel = change(*pixel);
            }
        },
    );
}

/// The larger one; unlike `f32::max` a single instruction (with NaN: the second).
#[inline(always)]
fn larger(first: f32, second: f32) -> f32 {
    if first > second { first } else { second }
}

#[inline(always)]
fn smaller(first: f32, second: f32) -> f32 {
    if first < second { first } else { second }
}

/// Clips to 0..`maximum`; NaN stays NaN.
#[inline(always)]
fn clipped(value: f32, maximum: f32) -> f32 {
    let value = if value < 0.0 { 0.0 } else { value };
    if value > maximum { maximum } else { value }
}

#[inline(always)]
fn extremes([red, green, blue]: [f32; 3]) -> (f32, f32) {
    (larger(larger(red, green), blue), smaller(smaller(red, green), blue))
}

/// Scaling the saturation moves each channel towards or away from the largest
/// one, which avoids the detour through HSV: x ↦ v − (v − x)·s′/s.
#[inline(always)]
fn saturated(pixel: [f32; 3], factor: f32) -> [f32; 3] {
    let (largest, smallest) = extremes(pixel);
    let range = largest - smallest;
    // s′/s = min(factor, 1/s) with s = range / largest; black has no saturation.
    let limited = smaller(largest / range, factor);
    let ratio = if (largest > 0.0) & (range > 0.0) { limited } else { 0.0 };
    pixel.map(
        #[inline(always)]
        |value| largest - (largest - value) * ratio,
    )
}

/// Turns the hue by `delta` within -0.5..=0.5.
#[inline(always)]
fn turned(pixel: [f32; 3], delta: f32) -> [f32; 3] {
    let (largest, smallest) = extremes(pixel);
    let [red, green, blue] = pixel;
    let range = largest - smallest;
    let inverse = if range > 0.0 { 1.0 / range } else { 0.0 };
    let from_red = (green - blue) * inverse;
    let from_green = 2.0 + (blue - red) * inverse;
    let from_blue = 4.0 + (red - green) * inverse;
    let sector = if red == largest {
        from_red
    } else if green == largest {
        from_green
    } else {
        from_blue
    };
    let turned = sector + delta * 6.0;
    let turned = if turned < 0.0 { turned + 6.0 } else { turned };
    let hue = if turned >= 6.0 { turned - 6.0 } else { turned };
    let shares = [(hue - 3.0).abs() - 1.0, 2.0 - (hue - 2.0).abs(), 2.0 - (hue - 4.0).abs()];
    shares.map(
        #[inline(always)]
        |share| smallest + range * clipped(share, 1.0),
    )
}

/// Luma with the weights 0.2989, 0.5870, 0.1140 (`tf.image.rgb_to_grayscale`), one channel.
///
/// Fails unless the image has three channels.
pub fn grayscale(tile: &Tile<f32>) -> Result<Tile<f32>, Error> {
    if tile.channels != 3 {
        return Err(Error::WrongChannels { what: "conversion to grey", expected: "3", found: tile.channels });
    }
    let luma = |pixel: &[f32]| 0.2989 * pixel[0] + 0.5870 * pixel[1] + 0.1140 * pixel[2];
    Ok(Tile {
        width: tile.width,
        height: tile.height,
        channels: 1,
        data: tile.data.chunks_exact(3).map(luma).collect(),
    })
}

/// The [`grayscale`] image with its channel repeated three times.
pub fn color_drop(tile: &Tile<f32>) -> Result<Tile<f32>, Error> {
    let grey = grayscale(tile)?;
    let data = grey.data.iter().flat_map(|&value| [value; 3]).collect();
    Ok(Tile { data, ..*tile })
}

/// Inverts (`maximum` − x) every value that is not below the threshold.
pub fn solarize(tile: &mut Tile<f32>, threshold: f32, maximum: f32) {
    for value in &mut tile.data {
        // Not `>=`: NaN is inverted to NaN either way, and this is the reference's order.
        *value = if *value < threshold { *value } else { maximum - *value };
    }
}

/// Replaces each value that is exactly zero by the noise at its place.
///
/// Fails when the noise has another shape.
pub fn random_background(tile: &mut Tile<f32>, noise: &Tile<f32>) -> Result<(), Error> {
    if (tile.width, tile.height, tile.channels) != (noise.width, noise.height, noise.channels) {
        return Err(Error::SizesDiffer {
            what: "an image and its background noise",
            first_width: tile.width,
            first_height: tile.height,
            second_width: noise.width,
            second_height: noise.height,
        });
    }
    for (value, &random) in tile.data.iter_mut().zip(&noise.data) {
        if *value == 0.0 {
            *value = random;
        }
    }
    Ok(())
}

/// One drawn colour change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JitterDraw {
    /// Added to every value.
    pub brightness: f32,
    /// Factor about the channel's mean.
    pub contrast: f32,
    /// Factor on the HSV saturation.
    pub saturation: f32,
    /// Fraction of the colour circle.
    pub hue: f32,
}

/// Brightness, contrast, saturation, hue, in that order, then clipping to 0..`maximum`.
pub fn color_jitter(tile: &mut Tile<f32>, draw: &JitterDraw, maximum: f32) {
    adjust_brightness(tile, draw.brightness);
    if tile.channels == 3 {
        let means = channel_means(tile);
        let [red, green, blue] = [means[0], means[1], means[2]];
        let (saturation, hue) = (draw.saturation.max(0.0), within_half_a_turn(draw.hue));
        // One pass for what is left: the tile is read and written once.
        for_each_color(
            tile,
            #[inline(always)]
            |pixel| {
                let pixel = [
                    contrasted(pixel[0], red, draw.contrast),
                    contrasted(pixel[1], green, draw.contrast),
                    contrasted(pixel[2], blue, draw.contrast),
                ];
                turned(saturated(pixel, saturation), hue).map(
                    #[inline(always)]
                    |value| clipped(value, maximum),
                )
            },
        );
    } else {
        adjust_contrast(tile, draw.contrast);
        for value in &mut tile.data {
            *value = clipped(*value, maximum);
        }
    }
}
