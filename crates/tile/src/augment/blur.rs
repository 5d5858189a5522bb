//! Small blurs, with OpenCV's kernels and borders.

use crate::nuclei::reflected;
use crate::tile::Tile;

/// OpenCV's fixed kernels for a deviation that follows from the size: 1, 3 or 5 taps.
fn taps(size: usize) -> &'static [f32] {
    match size {
        0..=2 => &[1.0],
        3..=4 => &[0.25, 0.5, 0.25],
        _ => &[0.0625, 0.25, 0.375, 0.25, 0.0625],
    }
}

/// As `cv2.GaussianBlur` with sigma 0: kernels of 1, 3 or 5 px across and down, borders reflected.
pub fn gaussian_blur(tile: &Tile<f32>, across: usize, down: usize) -> Tile<f32> {
    let channels = tile.channels;
    let blend = |taps: &[f32], length: usize, position: usize, value: &dyn Fn(usize) -> f32| -> f32 {
        let half = (taps.len() / 2) as isize;
        let taps = taps.iter().zip(-half..);
        taps.map(|(tap, offset)| tap * value(reflected(position as isize + offset, length))).sum()
    };
    let mut wide = tile.clone();
    for y in 0..tile.height {
        for x in 0..tile.width {
            for channel in 0..channels {
                let value = |from: usize| tile.pixel(from, y)[channel];
                wide.pixel_mut(x, y)[channel] = blend(taps(across), tile.width, x, &value);
            }
        }
    }
    let mut both = wide.clone();
    for y in 0..tile.height {
        for x in 0..tile.width {
            for channel in 0..channels {
                let value = |from: usize| wide.pixel(x, from)[channel];
                both.pixel_mut(x, y)[channel] = blend(taps(down), tile.height, y, &value);
            }
        }
    }
    both
}

/// As `cv2.medianBlur`: the median of a square of `size` px (odd), borders repeated, each channel apart.
pub fn median_blur(tile: &Tile<f32>, size: usize) -> Tile<f32> {
    let half = size / 2;
    if half == 0 {
        return tile.clone();
    }
    let mut blurred = tile.clone();
    let mut window = Vec::with_capacity(size * size);
    let inside = |position: usize, offset: usize, length: usize| {
        (position + offset).saturating_sub(half).min(length.saturating_sub(1))
    };
    for y in 0..tile.height {
        for x in 0..tile.width {
            for channel in 0..tile.channels {
                window.clear();
                for down in 0..size {
                    for across in 0..size {
                        let (from_x, from_y) = (inside(x, across, tile.width), inside(y, down, tile.height));
                        window.push(tile.pixel(from_x, from_y)[channel]);
                    }
                }
                let middle = window.len() / 2;
                let (_, median, _) = window.select_nth_unstable_by(middle, f32::total_cmp);
                blurred.pixel_mut(x, y)[channel] = *median;
            }
        }
    }
    blurred
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gaussian_of_an_impulse_is_its_kernel() {
        let mut tile = Tile::filled(7, 7, 1, 0.0);
        tile.pixel_mut(3, 3)[0] = 16.0;
        let blurred = gaussian_blur(&tile, 5, 3);
        assert_eq!(blurred.row(3), [0.0, 0.5, 2.0, 3.0, 2.0, 0.5, 0.0]);
        assert_eq!(blurred.row(2), [0.0, 0.25, 1.0, 1.5, 1.0, 0.25, 0.0]);
        assert_eq!(gaussian_blur(&tile, 1, 1), tile);
    }

    #[test]
    fn a_constant_image_stays_and_an_outlier_goes() {
        let mut tile = Tile::filled(6, 5, 3, 8.0);
        assert_eq!(gaussian_blur(&tile, 5, 5), tile);
        assert_eq!(median_blur(&tile, 5), tile);
        let constant = tile.clone();
        tile.pixel_mut(0, 0)[1] = 200.0;
        assert_eq!(median_blur(&tile, 5), constant);
        // Repeated at the border, a corner fills four of nine places: not yet the median.
        assert_eq!(median_blur(&tile, 3), constant);
        assert_eq!(median_blur(&tile, 1), tile);
    }
}
