//! Foreground and distance maps to instances.

use super::components::{fill_holes, label_large_components};
use super::flood::flood_parts;
use super::gradient::{
    Direction, SMOOTHING_TAPS, double_scale, reflected, separable, sobel, unit_of_double, unit_of_single,
};
use super::morphology::open_ellipse_5;
use super::strips::scaled_sobel;
use super::watershed::watershed;
use crate::error::Error;
use crate::tile::Tile;
use crate::vectorised::vectorised;

/// A network's maps for one image; each has one channel and the same size.
#[derive(Debug, Clone, Copy)]
pub struct Maps<'a> {
    /// Probability that a pixel belongs to a nucleus, 0..1.
    pub foreground: &'a Tile<f32>,
    /// Horizontal distance to the nucleus' centre, -1..1.
    pub horizontal: &'a Tile<f32>,
    /// Vertical distance to the nucleus' centre, -1..1.
    pub vertical: &'a Tile<f32>,
}

/// The constants of the method; the default is the published one, for 40×.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Least probability of foreground.
    pub foreground: f32,
    /// Least edge strength that separates nuclei.
    pub edge: f64,
    /// Smallest foreground part and smallest marker in pixels.
    pub smallest: usize,
    /// Size of the Sobel operator, odd and at least 3.
    pub sobel_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { foreground: 0.5, edge: 0.4, smallest: 10, sobel_size: 21 }
    }
}

/// Every stage on the way, in row-major order.
#[derive(Debug, Clone)]
pub struct Stages {
    /// Foreground parts that are large enough.
    pub foreground: Vec<bool>,
    /// The horizontal map scaled to 0..1.
    pub horizontal: Vec<f32>,
    /// The vertical map scaled to 0..1.
    pub vertical: Vec<f32>,
    /// The horizontal map's derivative along x.
    pub horizontal_gradient: Vec<f64>,
    /// The vertical map's derivative along y.
    pub vertical_gradient: Vec<f64>,
    /// 1 minus the horizontal derivative scaled to 0..1.
    pub horizontal_edge: Vec<f32>,
    /// 1 minus the vertical derivative scaled to 0..1.
    pub vertical_edge: Vec<f32>,
    /// The stronger edge, 0 in the background.
    pub edge: Vec<f64>,
    /// The landscape that is flooded: low in the middle of nuclei.
    pub landscape: Vec<f64>,
    /// The numbered middles of nuclei.
    pub markers: Vec<u32>,
    /// The instances.
    pub instances: Tile<u32>,
}

/// Separates nuclei: instances numbered by their markers (with gaps), 0 for background.
///
/// Foreground parts without a marker vanish. Fails when the maps differ in size,
/// have more than one channel or hold a value that is not finite, and for a Sobel
/// size that is even or below 3.
pub fn segment(maps: &Maps, settings: &Settings) -> Result<Tile<u32>, Error> {
    check(maps, settings)?;
    let (width, height) = (maps.foreground.width, maps.foreground.height);
    let probable: Vec<bool> =
        maps.foreground.data.iter().map(|&probability| probability >= settings.foreground).collect();
    let parts = label_large_components(&probable, width, settings.smallest);

    let size = settings.sobel_size;
    let mut gradient = Vec::new();
    let range =
        scaled_sobel(&maps.horizontal.data, width, height, size, Direction::Horizontal, &mut gradient);
    let (x_scale, x_shift) = double_scale(range);
    let mut edge = vec![0.0_f32; parts.len()];
    vectorised(
        #[inline(always)]
        || {
            for (edge, &x) in edge.iter_mut().zip(&gradient) {
                *edge = 1.0 - x.mul_add(x_scale, x_shift) as f32;
            }
        },
    );
    let range = scaled_sobel(&maps.vertical.data, width, height, size, Direction::Vertical, &mut gradient);
    let (y_scale, y_shift) = double_scale(range);
    // Edges matter inside the foreground only; 1 outside makes a flat landscape there.
    vectorised(
        #[inline(always)]
        || {
            for ((edge, &y), &part) in edge.iter_mut().zip(&gradient).zip(&parts) {
                let (first, second) = (*edge, 1.0 - y.mul_add(y_scale, y_shift) as f32);
                let stronger = if first > second { first } else { second };
                let stronger = if stronger < 0.0 { 0.0 } else { stronger };
                *edge = if part > 0 { stronger } else { 1.0 };
            }
        },
    );
    let mut middles: Vec<bool> = edge
        .iter()
        .zip(&parts)
        .map(|(&edge, &part)| (part > 0) & (f64::from(edge) < settings.edge))
        .collect();
    fill_holes(&mut middles, width);
    let markers = label_large_components(&open_ellipse_5(&middles, width), width, settings.smallest);

    let mut levels = gradient;
    landscape(&edge, width, &mut levels);
    let data = flood_parts(&parts, &markers, width, &levels);
    Ok(Tile { width, height, channels: 1, data })
}

/// The landscape of [`segment_with_stages`], with the same sums, from edges that are 1 in the background.
fn landscape(edge: &[f32], width: usize, levels: &mut [f64]) {
    if width == 0 {
        return;
    }
    let height = edge.len() / width;
    let smoothed =
        |first: f64, middle: f64, last: f64| SMOOTHING_TAPS[1] * middle + SMOOTHING_TAPS[2] * (last + first);
    let mut flat = vec![0.0; width + 2];
    // The last three rows, each smoothed along itself.
    let mut lines = [vec![0.0; width], vec![0.0; width], vec![0.0; width]];
    vectorised(
        #[inline(always)]
        || {
            for y in 0..=height {
                // Below the last row the one before it comes again.
                if y < height {
                    for (value, &edge) in flat[1..].iter_mut().zip(&edge[y * width..(y + 1) * width]) {
                        *value = 1.0 - f64::from(edge);
                    }
                    (flat[0], flat[width + 1]) =
                        (flat[1 + reflected(-1, width)], flat[1 + reflected(width as isize, width)]);
                    let triples = flat.iter().zip(&flat[1..]).zip(&flat[2..]);
                    for (value, ((&first, &middle), &last)) in lines[y % 3].iter_mut().zip(triples) {
                        *value = smoothed(first, middle, last);
                    }
                }
                let Some(row) = y.checked_sub(1) else { continue };
                let line = |offset: isize| &lines[reflected(row as isize + offset, height) % 3];
                let out = levels[row * width..(row + 1) * width].iter_mut();
                for (((level, &above), &middle), &below) in out.zip(line(-1)).zip(line(0)).zip(line(1)) {
                    *level = -smoothed(above, middle, below);
                }
            }
        },
    );
}

/// As [`segment`], step by step as the original, with all intermediate stages.
///
/// The instances are the same; this keeps more in memory and takes several times as long.
pub fn segment_with_stages(maps: &Maps, settings: &Settings) -> Result<Stages, Error> {
    check(maps, settings)?;
    let (width, height) = (maps.foreground.width, maps.foreground.height);
    let probable: Vec<bool> =
        maps.foreground.data.iter().map(|&probability| probability >= settings.foreground).collect();
    let parts = label_large_components(&probable, width, settings.smallest);
    let foreground: Vec<bool> = parts.iter().map(|&part| part > 0).collect();

    let horizontal = unit_of_single(&maps.horizontal.data);
    let vertical = unit_of_single(&maps.vertical.data);
    let size = settings.sobel_size;
    let horizontal_gradient = sobel(&horizontal, width, height, size, Direction::Horizontal);
    let vertical_gradient = sobel(&vertical, width, height, size, Direction::Vertical);
    // Inside a nucleus the distances rise; where two touch they fall steeply.
    let inverted = |map: &[f64]| unit_of_double(map).into_iter().map(|value| 1.0 - value).collect();
    let horizontal_edge: Vec<f32> = inverted(&horizontal_gradient);
    let vertical_edge: Vec<f32> = inverted(&vertical_gradient);
    let edge: Vec<f64> = horizontal_edge
        .iter()
        .zip(&vertical_edge)
        .zip(&foreground)
        .map(|((&first, &second), &inside)| {
            let stronger = f64::from(first.max(second));
            (if inside { stronger } else { stronger - 1.0 }).max(0.0)
        })
        .collect();

    let flat: Vec<f64> =
        edge.iter().zip(&foreground).map(|(&edge, &inside)| if inside { 1.0 - edge } else { 0.0 }).collect();
    let mut landscape = separable(&flat, width, height, &SMOOTHING_TAPS, &SMOOTHING_TAPS);
    landscape.iter_mut().for_each(|level| *level = -*level);

    let mut middles: Vec<bool> =
        edge.iter().zip(&foreground).map(|(&edge, &inside)| inside && edge < settings.edge).collect();
    fill_holes(&mut middles, width);
    let markers = label_large_components(&open_ellipse_5(&middles, width), width, settings.smallest);
    let data = watershed(&landscape, &markers, &foreground, width);
    Ok(Stages {
        foreground,
        horizontal,
        vertical,
        horizontal_gradient,
        vertical_gradient,
        horizontal_edge,
        vertical_edge,
        edge,
        landscape,
        markers,
        instances: Tile { width, height, channels: 1, data },
    })
}

fn check(maps: &Maps, settings: &Settings) -> Result<(), Error> {
    let first = maps.foreground;
    let named = [
        ("the foreground map", maps.foreground),
        ("the horizontal map", maps.horizontal),
        ("the vertical map", maps.vertical),
    ];
    for (what, map) in named {
        if map.channels != 1 {
            return Err(Error::WrongChannels { what, expected: "1", found: map.channels });
        }
        if (map.width, map.height) != (first.width, first.height) {
            return Err(Error::SizesDiffer {
                what,
                first_width: map.width,
                first_height: map.height,
                second_width: first.width,
                second_height: first.height,
            });
        }
        // The largest magnitude as bits: those of infinities and NaN exceed all others.
        let largest = vectorised(
            #[inline(always)]
            || map.data.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() << 1)),
        );
        if largest >= f32::INFINITY.to_bits() << 1 {
            return Err(Error::NotFinite { what });
        }
    }
    if settings.sobel_size < 3 || settings.sobel_size.is_multiple_of(2) {
        return Err(Error::WrongSize {
            what: "a sobel operator (odd, at least 3)",
            value: settings.sobel_size,
            width: first.width,
            height: first.height,
        });
    }
    Ok(())
}
