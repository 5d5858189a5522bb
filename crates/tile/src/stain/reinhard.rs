//! Normalisation of colour statistics in the CIELAB space.
//!
//! Reinhard et al., "Color transfer between images", IEEE CG&A 21(5):34, 2001; in
//! CIELAB (sRGB, D65) and with truncation to 8 bits, as torchstain does it.

use super::{Matrix3, inverse, require_rgb, row_times};
use crate::error::Error;
use crate::tile::Tile;

/// Rows: the share of X, Y and Z in linear red, green and blue (transposed for row vectors).
const XYZ_FROM_RGB: Matrix3 =
    [[0.412453, 0.212671, 0.019334], [0.357580, 0.715160, 0.119193], [0.180423, 0.072169, 0.950227]];
const WHITE: [f64; 3] = [0.95047, 1.0, 1.08883];

/// Mean and standard deviation (over all pixels) of L (0..100), a and b.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabStatistics {
    /// Per channel.
    pub means: [f64; 3],
    /// Per channel, with the number of pixels as divisor.
    pub deviations: [f64; 3],
}

fn lab_pixels(tile: &Tile<u8>) -> Vec<[f64; 3]> {
    let linear: Vec<f64> = (0..=255)
        .map(|value| {
            let value = f64::from(value) / 255.0;
            if value > 0.04045 { libm::pow((value + 0.055) / 1.055, 2.4) } else { value / 12.92 }
        })
        .collect();
    let root = |value: f64| {
        if value > 0.008856 { libm::cbrt(value) } else { 7.787 * value + 16.0 / 116.0 }
    };
    tile.data
        .chunks_exact(3)
        .map(|pixel| {
            let light = std::array::from_fn(|channel| linear[usize::from(pixel[channel])]);
            let xyz = row_times(light, &XYZ_FROM_RGB);
            let [x, y, z]: [f64; 3] = std::array::from_fn(|axis| root(xyz[axis] / WHITE[axis]));
            [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
        })
        .collect()
}

fn rgb_pixel([l, a, b]: [f64; 3], rgb_from_xyz: &Matrix3) -> [u8; 3] {
    let y = (l + 16.0) / 116.0;
    let roots = [a / 500.0 + y, y, (y - b / 200.0).max(0.0)];
    let xyz = std::array::from_fn(|axis| {
        let root = roots[axis];
        let value = if root > 0.206_896_6 { root * root * root } else { (root - 16.0 / 116.0) / 7.787 };
        value * WHITE[axis]
    });
    row_times(xyz, rgb_from_xyz).map(|light| {
        let value =
            if light > 0.003_130_8 { 1.055 * libm::pow(light, 1.0 / 2.4) - 0.055 } else { 12.92 * light };
        (value.clamp(0.0, 1.0) * 255.0) as u8
    })
}

fn statistics(pixels: &[[f64; 3]]) -> LabStatistics {
    let count = pixels.len().max(1) as f64;
    let means: [f64; 3] =
        std::array::from_fn(|channel| pixels.iter().map(|pixel| pixel[channel]).sum::<f64>() / count);
    let deviations = std::array::from_fn(|channel| {
        let squares: f64 = pixels.iter().map(|pixel| (pixel[channel] - means[channel]).powi(2)).sum();
        libm::sqrt(squares / count)
    });
    LabStatistics { means, deviations }
}

/// The statistics of an image, as a target for [`normalize`].
///
/// Fails unless the tile has three channels and at least one pixel.
pub fn fit(tile: &Tile<u8>) -> Result<LabStatistics, Error> {
    require_rgb(tile, "colour statistics")?;
    if tile.is_empty() {
        return Err(Error::Empty { what: "colour statistics", width: tile.width, height: tile.height });
    }
    Ok(statistics(&lab_pixels(tile)))
}

/// Moves each channel's mean and standard deviation to the target's.
///
/// A channel that is constant in the image becomes the target's mean.
pub fn normalize(tile: &Tile<u8>, target: &LabStatistics) -> Result<Tile<u8>, Error> {
    let own = fit(tile)?;
    let rgb_from_xyz = inverse(&XYZ_FROM_RGB);
    let mut data = Vec::with_capacity(tile.data.len());
    for pixel in lab_pixels(tile) {
        let moved = std::array::from_fn(|channel| {
            let centred = pixel[channel] - own.means[channel];
            let standard =
                if own.deviations[channel] > 0.0 { centred / own.deviations[channel] } else { 0.0 };
            standard * target.deviations[channel] + target.means[channel]
        });
        data.extend(rgb_pixel(moved, &rgb_from_xyz));
    }
    Ok(Tile { data, ..*tile })
}
