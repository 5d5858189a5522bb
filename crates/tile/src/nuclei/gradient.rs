//! Scaling to 0..1, Sobel gradients and a small Gaussian, as OpenCV computes them.

use crate::vectorised::vectorised;

/// The 3-tap Gaussian that OpenCV takes for size 3 and sigma 0.
pub const SMOOTHING_TAPS: [f64; 3] = [0.25, 0.5, 0.25];

/// The smoothing taps of a Sobel operator of odd size: binomial coefficients.
pub fn smoothing_taps(size: usize) -> Vec<f64> {
    let mut taps = vec![1.0];
    while taps.len() < size {
        taps = convolved(&taps, [1.0, 1.0]);
    }
    taps
}

/// The derivative taps of a Sobel operator of odd size (at least 3).
pub fn derivative_taps(size: usize) -> Vec<f64> {
    convolved(&smoothing_taps(size.saturating_sub(1)), [-1.0, 1.0])
}

/// One step of Pascal's triangle: taps convolved with two values, the first one leading.
fn convolved(taps: &[f64], [first, second]: [f64; 2]) -> Vec<f64> {
    let at = |index: usize| taps.get(index).copied().unwrap_or(0.0);
    (0..=taps.len())
        .map(|index| first * at(index) + if index > 0 { second * at(index - 1) } else { 0.0 })
        .collect()
}

/// The index inside `0..length` of a position outside by reflection without
/// repeating the border (`BORDER_REFLECT_101`, NumPy's `reflect`).
pub(crate) fn reflected(position: isize, length: usize) -> usize {
    if length <= 1 {
        return 0;
    }
    let period = 2 * (length - 1);
    let inside = position.rem_euclid(period as isize) as usize;
    inside.min(period - inside)
}

/// The factor and summand of `cv2.normalize(…, 0, 1, NORM_MINMAX, CV_32F)`, which
/// rounds both to single precision; a constant map becomes 0.
fn scale_to_unit(smallest: f64, largest: f64) -> (f64, f64) {
    let range = largest - smallest;
    let scale = if range > f64::EPSILON { f64::from((1.0 / range) as f32) } else { 0.0 };
    (scale, f64::from(-((smallest * scale) as f32)))
}

/// How a map is scaled to 0..1: the factor and the summand.
pub(super) fn single_scale(map: &[f32]) -> (f32, f32) {
    let (smallest, largest) = vectorised(
        #[inline(always)]
        || range_of(map, f32::INFINITY, f32::NEG_INFINITY),
    );
    let (scale, shift) = scale_to_unit(f64::from(smallest), f64::from(largest));
    (scale as f32, shift as f32)
}

/// A map scaled to 0..1 in single precision.
pub(super) fn unit_of_single(map: &[f32]) -> Vec<f32> {
    let (scale, shift) = single_scale(map);
    map.iter().map(|&value| value.mul_add(scale, shift)).collect()
}

/// A map scaled to 0..1, computed in double and rounded to single precision.
pub(super) fn unit_of_double(map: &[f64]) -> Vec<f32> {
    let (scale, shift) = double_scale(range_of(map, f64::INFINITY, f64::NEG_INFINITY));
    map.iter().map(|&value| value.mul_add(scale, shift) as f32).collect()
}

/// How values of that range are scaled to 0..1: the factor and the summand.
pub(super) fn double_scale((smallest, largest): (f64, f64)) -> (f64, f64) {
    scale_to_unit(smallest, largest)
}

/// The smallest and the largest value, beginning with these; none of them may be NaN.
#[inline(always)]
pub(super) fn range_of<T: Copy + PartialOrd>(values: &[T], smallest: T, largest: T) -> (T, T) {
    /// Values that are compared at once.
    const LANES: usize = 16;
    let smaller = |one: T, other: T| if one < other { one } else { other };
    let larger = |one: T, other: T| if one > other { one } else { other };
    let (mut low, mut high) = ([smallest; LANES], [largest; LANES]);
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            low[lane] = smaller(block[lane], low[lane]);
            high[lane] = larger(block[lane], high[lane]);
        }
    }
    let low = low.iter().chain(rest).fold(smallest, |one, &other| smaller(other, one));
    let high = high.iter().chain(rest).fold(largest, |one, &other| larger(other, one));
    (low, high)
}

/// Which way a derivative points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Horizontal,
    Vertical,
}

/// The Sobel derivative of an odd size, in double precision.
pub(super) fn sobel(map: &[f32], width: usize, height: usize, size: usize, direction: Direction) -> Vec<f64> {
    let (along_x, along_y) = match direction {
        Direction::Horizontal => (derivative_taps(size), smoothing_taps(size)),
        Direction::Vertical => (smoothing_taps(size), derivative_taps(size)),
    };
    let wide: Vec<f64> = map.iter().map(|&value| f64::from(value)).collect();
    separable(&wide, width, height, &along_x, &along_y)
}

/// Correlates with taps along rows, then along columns, with reflected borders.
///
/// Both filters have the same odd length and are symmetric or antisymmetric.
pub(super) fn separable(
    map: &[f64],
    width: usize,
    height: usize,
    along_x: &[f64],
    along_y: &[f64],
) -> Vec<f64> {
    if map.is_empty() {
        return Vec::new();
    }
    let reach = along_x.len() / 2;
    let mut rows = vec![0.0; map.len()];
    let mut padded = vec![0.0; width + 2 * reach];
    for (line, out) in map.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
        for (place, value) in padded.iter_mut().enumerate() {
            *value = line[reflected(place as isize - reach as isize, width)];
        }
        folded(along_x, out, |offset| {
            let start = (reach as isize + offset) as usize;
            &padded[start..start + width]
        });
    }
    let mut columns = vec![0.0; map.len()];
    for (y, out) in columns.chunks_exact_mut(width).enumerate() {
        folded(along_y, out, |offset| {
            let row = reflected(y as isize + offset, height);
            &rows[row * width..(row + 1) * width]
        });
    }
    columns
}

/// The sum over taps of lines at offsets, pairs of equal taps taken together.
fn folded<'a>(taps: &[f64], out: &mut [f64], line: impl Fn(isize) -> &'a [f64]) {
    let reach = taps.len() / 2;
    let centre = taps[reach];
    for (value, &middle) in out.iter_mut().zip(line(0)) {
        *value = centre * middle;
    }
    let antisymmetric = taps[0] == -taps[taps.len() - 1] && centre == 0.0;
    for distance in 1..=reach {
        let tap = taps[reach + distance];
        let (before, after) = (line(-(distance as isize)), line(distance as isize));
        if antisymmetric {
            for ((value, &first), &second) in out.iter_mut().zip(before).zip(after) {
                *value += tap * (second - first);
            }
        } else {
            for ((value, &first), &second) in out.iter_mut().zip(before).zip(after) {
                *value += tap * (second + first);
            }
        }
    }
}
