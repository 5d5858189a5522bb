//! The Sobel operator as [`super::gradient`] has it, strip by strip, fast.
//!
//! A strip of columns is filtered along its rows and along its columns in one pass down the map; the rows that are
//! still needed stay in the fastest cache. Each sum has the terms of [`super::gradient::sobel`] in the same order.

use super::gradient::{
    Direction, derivative_taps, range_of, reflected, single_scale, smoothing_taps, sobel, unit_of_single,
};
use crate::vectorised::vectorised;

/// Columns that are filtered together.
const STRIP: usize = 128;
/// Values that are summed in registers.
const BLOCK: usize = 16;
/// The largest operator that is filtered in strips.
const MOST_TAPS: usize = 31;

type Line = [f64; STRIP];
const EMPTY: Line = [0.0; STRIP];

/// Taps of the centre and to the right of it (below it): the others mirror them.
struct Taps {
    derivative: Vec<f64>,
    smoothing: Vec<f64>,
}

/// [`sobel`] of a map after scaling it (see [`single_scale`]), with the same bits, into `result`; its range.
pub(super) fn scaled_sobel(
    map: &[f32],
    width: usize,
    height: usize,
    size: usize,
    direction: Direction,
    result: &mut Vec<f64>,
) -> (f64, f64) {
    let mut range = (f64::INFINITY, f64::NEG_INFINITY);
    if size > MOST_TAPS {
        *result = sobel(&unit_of_single(map), width, height, size, direction);
        return range_of(result, range.0, range.1);
    }
    result.resize(map.len(), 0.0);
    let scale = single_scale(map);
    let reach = size / 2;
    let taps = Taps {
        derivative: derivative_taps(size)[reach..].to_vec(),
        smoothing: smoothing_taps(size)[reach..].to_vec(),
    };
    let mut rows = vec![EMPTY; size];
    for left in (0..width).step_by(STRIP) {
        vectorised(
            #[inline(always)]
            || {
                let strip = Strip { map, width, height, left, scale, reach };
                let found = match direction {
                    Direction::Horizontal => {
                        strip.filter::<true, false>(&taps.derivative, &taps.smoothing, &mut rows, result)
                    }
                    Direction::Vertical => {
                        strip.filter::<false, true>(&taps.smoothing, &taps.derivative, &mut rows, result)
                    }
                };
                range = (range.0.min(found.0), range.1.max(found.1));
            },
        );
    }
    range
}

/// Up to [`STRIP`] columns of a map.
struct Strip<'a> {
    map: &'a [f32],
    width: usize,
    height: usize,
    /// The first column.
    left: usize,
    /// Factor and summand for the map's values.
    scale: (f32, f32),
    /// Taps on either side of the centre.
    reach: usize,
}

impl Strip<'_> {
    /// Filters along the rows, then along the columns; which of the taps are antisymmetric is known to the
    /// compiler. `rows` has room for as many rows as there are taps.
    #[inline(always)]
    fn filter<const ROWS_ANTISYMMETRIC: bool, const COLUMNS_ANTISYMMETRIC: bool>(
        &self,
        along_rows: &[f64],
        along_columns: &[f64],
        rows: &mut [Line],
        result: &mut [f64],
    ) -> (f64, f64) {
        let Self { width, height, left, reach, .. } = *self;
        let columns = STRIP.min(width - left);
        let mut range = (f64::INFINITY, f64::NEG_INFINITY);
        let mut padded = [0.0; STRIP + MOST_TAPS];
        let mut filtered_rows = 0;
        let taps = 2 * reach + 1;
        for y in 0..height {
            while filtered_rows < height.min(y + reach + 1) {
                self.read(filtered_rows, columns, &mut padded);
                let mut lines = [&EMPTY; MOST_TAPS];
                for (tap, line) in lines[..taps].iter_mut().enumerate() {
                    *line = padded[tap..].first_chunk().unwrap_or(&EMPTY);
                }
                let row = &mut rows[filtered_rows % taps];
                sum::<ROWS_ANTISYMMETRIC>(along_rows, &lines[..taps], row);
                filtered_rows += 1;
            }
            let mut lines = [&EMPTY; MOST_TAPS];
            // Positions outside are reflected to rows that lie no further away.
            for (tap, line) in lines[..taps].iter_mut().enumerate() {
                *line = &rows[reflected((y + tap) as isize - reach as isize, height) % taps];
            }
            let out = &mut result[y * width + left..][..columns];
            if let Some(whole) = out.first_chunk_mut() {
                sum::<COLUMNS_ANTISYMMETRIC>(along_columns, &lines[..taps], whole);
            } else {
                let mut wider = EMPTY;
                sum::<COLUMNS_ANTISYMMETRIC>(along_columns, &lines[..taps], &mut wider);
                out.copy_from_slice(&wider[..columns]);
            }
            range = range_of(out, range.0, range.1);
        }
        range
    }

    /// Scales a row's values, with the reflected ones on either side of the strip.
    #[inline(always)]
    fn read(&self, y: usize, columns: usize, padded: &mut [f64; STRIP + MOST_TAPS]) {
        let Self { map, width, left, scale: (scale, shift), reach, .. } = *self;
        let row = &map[y * width..(y + 1) * width];
        let (inner_start, inner_end) =
            (reach.saturating_sub(left), (width + reach - left).min(columns + 2 * reach));
        for place in (0..inner_start).chain(inner_end..columns + 2 * reach) {
            let column = reflected((left + place) as isize - reach as isize, width);
            padded[place] = f64::from(row[column].mul_add(scale, shift));
        }
        let inner = &row[left + inner_start - reach..left + inner_end - reach];
        for (value, &raw) in padded[inner_start..inner_end].iter_mut().zip(inner) {
            *value = f64::from(raw.mul_add(scale, shift));
        }
    }
}

/// The sum over taps of a line each.
#[inline(always)]
fn sum<const ANTISYMMETRIC: bool>(taps: &[f64], lines: &[&Line], out: &mut Line) {
    let reach = taps.len() - 1;
    let (before, after) = lines.split_at(reach);
    for (number, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let block = |line: &Line| line.as_chunks::<BLOCK>().0[number];
        let mut sums = [0.0; BLOCK];
        if !ANTISYMMETRIC {
            let middle = block(after[0]);
            for lane in 0..BLOCK {
                sums[lane] = taps[0] * middle[lane];
            }
        }
        for ((tap, before), after) in taps[1..].iter().zip(before.iter().rev()).zip(&after[1..]) {
            let (before, after) = (block(before), block(after));
            for lane in 0..BLOCK {
                let pair =
                    if ANTISYMMETRIC { after[lane] - before[lane] } else { after[lane] + before[lane] };
                sums[lane] += tap * pair;
            }
        }
        *out = sums;
    }
}
