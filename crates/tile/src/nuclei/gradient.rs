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
        || {
            map.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
                (if value < low { value } else { low }, if value > high { value } else { high })
            })
        },
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
    let (scale, shift) = double_scale(range_of(map));
    map.iter().map(|&value| value.mul_add(scale, shift) as f32).collect()
}

/// How values of that range are scaled to 0..1: the factor and the summand.
pub(super) fn double_scale((smallest, largest): (f64, f64)) -> (f64, f64) {
    scale_to_unit(smallest, largest)
}

#[inline(always)]
fn range_of(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
        (if value < low { value } else { low }, if value > high { value } else { high })
    })
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

/// Columns that are filtered together; their lines stay in the fastest cache.
const STRIP: usize = 128;
/// Values that are summed in registers.
const BLOCK: usize = 8;

/// [`sobel`] of a map after scaling it (see [`single_scale`]), and the result's range.
///
/// The same bits, strip by strip and without the scaled map in memory.
pub(super) fn scaled_sobel(
    map: &[f32],
    width: usize,
    height: usize,
    size: usize,
    direction: Direction,
) -> (Vec<f64>, (f64, f64)) {
    let (scale, shift) = single_scale(map);
    let reach = size / 2;
    let (derivative, smoothing) = (derivative_taps(size), smoothing_taps(size));
    // Taps of the centre and to the right of it (below it): the others mirror them.
    let (derivative, smoothing) = (&derivative[reach..], &smoothing[reach..]);
    let mut result = vec![0.0; map.len()];
    let mut range = (f64::INFINITY, f64::NEG_INFINITY);
    let mut padded = vec![0.0; STRIP + 2 * reach];
    let mut lines = vec![0.0; height * STRIP];
    let mut starts = Vec::with_capacity(size);
    for left in (0..width).step_by(STRIP) {
        let columns = STRIP.min(width - left);
        vectorised(
            #[inline(always)]
            || {
                for (row, line) in map.chunks_exact(width).zip(lines.chunks_exact_mut(STRIP)) {
                    let source = |place: usize| reflected((left + place) as isize - reach as isize, width);
                    let inner_start = reach.saturating_sub(left);
                    let inner_end = (width + reach - left).min(columns + 2 * reach);
                    for place in (0..inner_start).chain(inner_end..columns + 2 * reach) {
                        padded[place] = f64::from(row[source(place)].mul_add(scale, shift));
                    }
                    let inner = &row[left + inner_start - reach..left + inner_end - reach];
                    for (value, &raw) in padded[inner_start..inner_end].iter_mut().zip(inner) {
                        *value = f64::from(raw.mul_add(scale, shift));
                    }
                    starts.clear();
                    starts.extend(0..=2 * reach);
                    match direction {
                        Direction::Horizontal => filter::<true>(derivative, &padded, &starts, line),
                        Direction::Vertical => filter::<false>(smoothing, &padded, &starts, line),
                    }
                }
                let mut filtered = [0.0; STRIP];
                for (y, row) in result.chunks_exact_mut(width).enumerate() {
                    starts.clear();
                    starts.extend(
                        (0..=2 * reach)
                            .map(|tap| STRIP * reflected((y + tap) as isize - reach as isize, height)),
                    );
                    match direction {
                        Direction::Horizontal => filter::<false>(smoothing, &lines, &starts, &mut filtered),
                        Direction::Vertical => filter::<true>(derivative, &lines, &starts, &mut filtered),
                    }
                    let (low, high) = range_of(&filtered[..columns]);
                    range = (
                        if low < range.0 { low } else { range.0 },
                        if high > range.1 { high } else { range.1 },
                    );
                    row[left..left + columns].copy_from_slice(&filtered[..columns]);
                }
            },
        );
    }
    (result, range)
}

/// One line: the sum over taps of the lines that begin at `starts` in `source`.
#[inline(always)]
fn filter<const ANTISYMMETRIC: bool>(taps: &[f64], source: &[f64], starts: &[usize], line: &mut [f64]) {
    let reach = taps.len() - 1;
    let block = |tap: usize, at: usize| -> &[f64] { &source[starts[tap] + at..starts[tap] + at + BLOCK] };
    for (number, out) in line.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let at = number * BLOCK;
        let mut sums = [0.0; BLOCK];
        if !ANTISYMMETRIC {
            let middle = block(reach, at);
            for lane in 0..BLOCK {
                sums[lane] = taps[0] * middle[lane];
            }
        }
        for (distance, tap) in taps.iter().enumerate().skip(1) {
            let (before, after) = (block(reach - distance, at), block(reach + distance, at));
            for lane in 0..BLOCK {
                let pair =
                    if ANTISYMMETRIC { after[lane] - before[lane] } else { after[lane] + before[lane] };
                sums[lane] += tap * pair;
            }
        }
        *out = sums;
    }
}
