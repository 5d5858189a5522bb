//! 33 global colour and gradient statistics of a tile: the floor of every evaluation.
//!
//! A classifier on these sees no shape. What an encoder reaches is worth only what
//! it adds to them.

use crate::error::Error;
use crate::stain::{hed, percentile_of_sorted};
use crate::tile::Tile;

/// How many statistics there are.
pub const COUNT: usize = 33;

/// Their names, in order.
pub const NAMES: [&str; COUNT] = [
    "red mean",
    "red deviation",
    "red 10th percentile",
    "red median",
    "red 90th percentile",
    "green mean",
    "green deviation",
    "green 10th percentile",
    "green median",
    "green 90th percentile",
    "blue mean",
    "blue deviation",
    "blue 10th percentile",
    "blue median",
    "blue 90th percentile",
    "hematoxylin mean",
    "hematoxylin deviation",
    "hematoxylin gradient",
    "eosin mean",
    "eosin deviation",
    "eosin gradient",
    "dab mean",
    "dab deviation",
    "dab gradient",
    "saturation mean",
    "saturation deviation",
    "grey 5th percentile",
    "grey 95th percentile",
    "grey entropy",
    "gradient mean",
    "gradient deviation",
    "gradient median",
    "gradient 90th percentile",
];

/// The statistics named in [`NAMES`], on a 0..1 scale (stains as in [`hed`], entropy in bits / 8).
///
/// Gradients are central differences (one-sided at the border). A tile of one
/// pixel has zero gradients. Fails unless the tile has three channels and a pixel.
pub fn colour_statistics(tile: &Tile<u8>) -> Result<Vec<f32>, Error> {
    let stains = hed::rgb_to_hed(tile)?;
    if tile.is_empty() {
        return Err(Error::Empty { what: "colour statistics", width: tile.width, height: tile.height });
    }
    let (width, height) = (tile.width, tile.height);
    let mut found: Vec<f64> = Vec::with_capacity(COUNT);
    for channel in 0..3 {
        let mut values: Vec<f64> =
            tile.data.chunks_exact(3).map(|pixel| f64::from(pixel[channel]) / 255.0).collect();
        found.extend(mean_and_deviation(&values));
        values.sort_unstable_by(f64::total_cmp);
        found.extend([10.0, 50.0, 90.0].map(|percent| percentile_of_sorted(&values, percent)));
    }
    for stain in 0..3 {
        let values: Vec<f64> = stains.data.chunks_exact(3).map(|pixel| pixel[stain]).collect();
        found.extend(mean_and_deviation(&values));
        found.push(mean_and_deviation(&gradient(&values, width, height))[0]);
    }
    let saturation: Vec<f64> = tile.data.chunks_exact(3).map(saturation).collect();
    found.extend(mean_and_deviation(&saturation));

    let grey: Vec<f64> = tile
        .data
        .chunks_exact(3)
        .map(|pixel| {
            (0.2989 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.114 * f64::from(pixel[2])) / 255.0
        })
        .collect();
    let mut slopes = gradient(&grey, width, height);
    let mut sorted_grey = grey;
    sorted_grey.sort_unstable_by(f64::total_cmp);
    found.extend([5.0, 95.0].map(|percent| percentile_of_sorted(&sorted_grey, percent)));
    found.push(entropy(&sorted_grey) / 8.0);
    found.extend(mean_and_deviation(&slopes));
    slopes.sort_unstable_by(f64::total_cmp);
    found.extend([50.0, 90.0].map(|percent| percentile_of_sorted(&slopes, percent)));
    Ok(found.into_iter().map(|value| value as f32).collect())
}

fn mean_and_deviation(values: &[f64]) -> [f64; 2] {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    [mean, libm::sqrt(variance)]
}

fn saturation(pixel: &[u8]) -> f64 {
    let largest = pixel.iter().copied().max().unwrap_or(0);
    let smallest = pixel.iter().copied().min().unwrap_or(0);
    if largest == 0 { 0.0 } else { f64::from(largest - smallest) / f64::from(largest) }
}

/// Magnitudes of the gradient.
fn gradient(values: &[f64], width: usize, height: usize) -> Vec<f64> {
    let slope = |first: usize, last: usize, steps: usize| {
        if steps == 0 { 0.0 } else { (values[last] - values[first]) / steps as f64 }
    };
    let mut magnitudes = Vec::with_capacity(values.len());
    for y in 0..height {
        for x in 0..width {
            let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
            let (up, down) = (y.saturating_sub(1), (y + 1).min(height - 1));
            let along_x = slope(y * width + left, y * width + right, right - left);
            let along_y = slope(up * width + x, down * width + x, down - up);
            magnitudes.push(libm::sqrt(along_x * along_x + along_y * along_y));
        }
    }
    magnitudes
}

/// Entropy in bits of the values (0..1) in 256 bins.
fn entropy(values: &[f64]) -> f64 {
    let mut counts = [0_usize; 256];
    for value in values {
        counts[(value * 255.0) as usize % 256] += 1;
    }
    let total = values.len().max(1) as f64;
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| {
            let share = count as f64 / total;
            -share * libm::log2(share)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_constant_tile_has_its_colour_and_no_spread() {
        for (width, height) in [(1, 1), (1, 5), (4, 4)] {
            let found = colour_statistics(&Tile::filled(width, height, 3, 51)).unwrap();
            assert_eq!(found.len(), COUNT);
            assert!((found[0] - 0.2).abs() < 1e-6 && found[1] < 1e-6);
            assert!(found[28..].iter().all(|value| value.abs() < 1e-6), "{found:?}");
        }
    }

    #[test]
    fn empty_and_grey_tiles_are_an_error() {
        assert!(colour_statistics(&Tile::filled(0, 0, 3, 0)).is_err());
        assert!(colour_statistics(&Tile::filled(2, 2, 1, 0)).is_err());
    }

    proptest! {
        #[test]
        fn statistics_are_finite_and_blind_to_mirroring(values in proptest::collection::vec(any::<u8>(), 5 * 4 * 3)) {
            let tile = Tile::new(5, 4, 3, values).unwrap();
            let found = colour_statistics(&tile).unwrap();
            let mirrored = colour_statistics(&crate::augment::flip_left_right(&tile)).unwrap();
            for (a, b) in found.iter().zip(&mirrored) {
                prop_assert!(a.is_finite() && (a - b).abs() < 1e-5);
            }
        }
    }
}
