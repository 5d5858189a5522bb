//! Reducing, enlarging and cutting tiles.
//!
//! Invariant: label maps are only ever resampled by [`nearest`] or [`majority`],
//! whose outputs hold no label that the input does not hold.

use crate::error::Error;
use crate::tile::Tile;
use crate::vectorised::vectorised;

fn check_factor<T>(tile: &Tile<T>, factor: usize) -> Result<(usize, usize), Error> {
    let (width, height) = (tile.width, tile.height);
    if factor == 0 || width < factor || height < factor {
        return Err(Error::WrongSize { what: "a reduction factor", value: factor, width, height });
    }
    Ok((width / factor, height / factor))
}

/// Reduces each side `factor` times; each output pixel is the rounded mean of its block.
///
/// What is left over at the right and bottom is dropped. Fails for a factor of 0
/// or one larger than the tile.
pub fn downsample_area(tile: &Tile<u8>, factor: usize) -> Result<Tile<u8>, Error> {
    let (width, height) = check_factor(tile, factor)?;
    let channels = tile.channels;
    let area = (factor * factor) as u64;
    let mut data = Vec::with_capacity(width * height * channels);
    let mut sums = vec![0_u64; width * channels];
    for y in 0..height {
        sums.fill(0);
        for row in y * factor..(y + 1) * factor {
            for (block, sum) in
                tile.row(row).chunks_exact(factor * channels).zip(sums.chunks_exact_mut(channels))
            {
                for pixel in block.chunks_exact(channels) {
                    for (total, &value) in sum.iter_mut().zip(pixel) {
                        *total += u64::from(value);
                    }
                }
            }
        }
        data.extend(sums.iter().map(|sum| ((sum + area / 2) / area) as u8));
    }
    Tile::new(width, height, channels, data)
}

/// Reduces a label map `factor` times; each output pixel is its block's most frequent label.
///
/// Of equally frequent labels the smallest wins. Leftovers and errors as
/// [`downsample_area`].
pub fn majority(labels: &Tile<u32>, factor: usize) -> Result<Tile<u32>, Error> {
    let (width, height) = check_factor(labels, factor)?;
    let channels = labels.channels;
    let mut data = Vec::with_capacity(width * height * channels);
    let mut block = Vec::with_capacity(factor * factor);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..channels {
                block.clear();
                for row in y * factor..(y + 1) * factor {
                    for column in x * factor..(x + 1) * factor {
                        block.push(labels.pixel(column, row)[channel]);
                    }
                }
                data.push(most_frequent(&mut block));
            }
        }
    }
    Tile::new(width, height, channels, data)
}

/// The most frequent value, the smallest of equally frequent ones; 0 for none.
fn most_frequent(values: &mut [u32]) -> u32 {
    values.sort_unstable();
    let mut best = (0, 0);
    for run in values.chunk_by(|first, second| first == second) {
        if run.len() > best.0 {
            best = (run.len(), run[0]);
        }
    }
    best.1
}

/// Resizes by taking, for each output pixel, the input pixel under its centre.
pub fn nearest<T: Copy>(tile: &Tile<T>, width: usize, height: usize) -> Result<Tile<T>, Error> {
    check_not_empty(tile, width, height)?;
    let mut data = Vec::with_capacity(width * height * tile.channels);
    for y in 0..height {
        let from_y = (2 * y + 1) * tile.height / (2 * height);
        for x in 0..width {
            data.extend_from_slice(tile.pixel((2 * x + 1) * tile.width / (2 * width), from_y));
        }
    }
    Tile::new(width, height, tile.channels, data)
}

fn check_not_empty<T>(tile: &Tile<T>, width: usize, height: usize) -> Result<(), Error> {
    if (tile.width == 0 || tile.height == 0) && width != 0 && height != 0 {
        return Err(Error::Empty { what: "resizing", width: tile.width, height: tile.height });
    }
    Ok(())
}

/// Resizes bilinearly with half-pixel centres and no antialiasing.
///
/// As TensorFlow's `tf.image.resize(…, "bilinear", antialias=False)`, also when shrinking.
pub fn bilinear(tile: &Tile<f32>, width: usize, height: usize) -> Result<Tile<f32>, Error> {
    let window = Window { left: 0, top: 0, width: tile.width, height: tile.height };
    crop_resize(tile, &window, Flips::default(), width, height, 1.0)
}

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Mirroring along either axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flips {
    /// Left and right change places.
    pub left_right: bool,
    /// Top and bottom change places.
    pub up_down: bool,
}

/// For one output coordinate: the two input coordinates and the second's weight.
#[derive(Clone, Copy)]
struct Tap {
    lower: usize,
    upper: usize,
    weight: f32,
}

/// The taps along one axis, for a window `[start, start + length)` of the (flipped) axis.
fn taps(start: usize, length: usize, full: usize, flipped: bool, out: usize) -> Vec<Tap> {
    let scale = length as f32 / out as f32;
    (0..out)
        .map(|position| {
            let centre = (position as f32 + 0.5) * scale - 0.5;
            let floor = centre.floor();
            let lower = (floor.max(0.0) as usize).min(length - 1);
            let upper = (centre.ceil().max(0.0) as usize).min(length - 1);
            let place = |inside: usize| {
                let place = start + inside;
                if flipped { full - 1 - place } else { place }
            };
            Tap { lower: place(lower), upper: place(upper), weight: centre - floor }
        })
        .collect()
}

/// Flips, crops the window of the flipped image, multiplies by `scale` and resizes bilinearly.
///
/// One pass over the source with the same result as the separate steps; the
/// interpolation is that of [`bilinear`].
pub fn crop_resize<T: Copy + Into<f32>>(
    tile: &Tile<T>,
    window: &Window,
    flips: Flips,
    width: usize,
    height: usize,
    scale: f32,
) -> Result<Tile<f32>, Error> {
    let inside = window.left.checked_add(window.width).is_some_and(|right| right <= tile.width)
        && window.top.checked_add(window.height).is_some_and(|bottom| bottom <= tile.height);
    if !inside {
        return Err(Error::OutsideImage {
            left: window.left,
            top: window.top,
            width: window.width,
            height: window.height,
            image_width: tile.width,
            image_height: tile.height,
        });
    }
    if width == 0 || height == 0 {
        return Tile::new(width, height, tile.channels, Vec::new());
    }
    if window.width == 0 || window.height == 0 {
        return Err(Error::Empty { what: "resizing", width: window.width, height: window.height });
    }
    let columns = taps(window.left, window.width, tile.width, flips.left_right, width);
    let rows = taps(window.top, window.height, tile.height, flips.up_down, height);
    let mut data = vec![0.0; width * height * tile.channels];
    let stride = width * tile.channels;
    let mut cache = LineCache::new(tile, &columns, scale, stride);
    vectorised(
        #[inline(always)]
        || {
            for (row, out) in rows.iter().zip(data.chunks_exact_mut(stride.max(1))) {
                let (upper, lower) = cache.pair(row.lower, row.upper);
                for ((value, &above), &below) in out.iter_mut().zip(upper).zip(lower) {
                    *value = above + (below - above) * row.weight;
                }
            }
        },
    );
    Tile::new(width, height, tile.channels, data)
}

/// Source rows already resized along x; neighbouring output rows share them.
struct LineCache<'a, T> {
    tile: &'a Tile<T>,
    columns: &'a [Tap],
    scale: f32,
    lines: [(usize, Vec<f32>); 2],
}

impl<'a, T: Copy + Into<f32>> LineCache<'a, T> {
    fn new(tile: &'a Tile<T>, columns: &'a [Tap], scale: f32, stride: usize) -> Self {
        let line = || (usize::MAX, vec![0.0; stride]);
        Self { tile, columns, scale, lines: [line(), line()] }
    }

    /// The resized lines of source rows `first` and `second`.
    #[inline(always)]
    fn pair(&mut self, first: usize, second: usize) -> (&[f32], &[f32]) {
        let first_slot = self.slot(first, None);
        let second_slot = if first == second { first_slot } else { self.slot(second, Some(first_slot)) };
        (&self.lines[first_slot].1, &self.lines[second_slot].1)
    }

    /// Where row `y` is held; computed into a slot other than `keep` when it is not.
    #[inline(always)]
    fn slot(&mut self, y: usize, keep: Option<usize>) -> usize {
        if let Some(held) = self.lines.iter().position(|(row, _)| *row == y) {
            return held;
        }
        // Without a slot to keep, the one with the older row goes.
        let slot = match keep {
            Some(kept) => 1 - kept,
            None => usize::from(self.lines[0].0 != usize::MAX && self.lines[1].0 == usize::MAX),
        };
        self.lines[slot].0 = y;
        let row = self.tile.row(y);
        match self.tile.channels {
            1 => resize_line::<T, 1>(row, self.columns, self.scale, &mut self.lines[slot].1),
            3 => resize_line::<T, 3>(row, self.columns, self.scale, &mut self.lines[slot].1),
            channels => {
                let line = &mut self.lines[slot].1;
                for (tap, out) in self.columns.iter().zip(line.chunks_exact_mut(channels.max(1))) {
                    for (channel, value) in out.iter_mut().enumerate() {
                        let left = row[tap.lower * channels + channel].into() * self.scale;
                        let right = row[tap.upper * channels + channel].into() * self.scale;
                        *value = left + (right - left) * tap.weight;
                    }
                }
            }
        }
        slot
    }
}

#[inline(always)]
fn resize_line<T: Copy + Into<f32>, const CHANNELS: usize>(
    row: &[T],
    columns: &[Tap],
    scale: f32,
    line: &mut [f32],
) {
    let (pixels, _) = row.as_chunks::<CHANNELS>();
    let (outs, _) = line.as_chunks_mut::<CHANNELS>();
    for (tap, out) in columns.iter().zip(outs) {
        let (left, right) = (&pixels[tap.lower], &pixels[tap.upper]);
        for channel in 0..CHANNELS {
            let first = left[channel].into() * scale;
            let second = right[channel].into() * scale;
            out[channel] = first + (second - first) * tap.weight;
        }
    }
}

/// Left-top corners of the whole squares of `size` that fit, row by row.
pub fn cut_positions(width: usize, height: usize, size: usize) -> Vec<(usize, usize)> {
    if size == 0 {
        return Vec::new();
    }
    let (columns, rows) = (width / size, height / size);
    (0..rows).flat_map(|row| (0..columns).map(move |column| (column * size, row * size))).collect()
}

/// Cuts a tile into squares of `size`, row by row; what does not fill a square is dropped.
///
/// Fails when not even one square fits. Positions: [`cut_positions`].
pub fn cut<T: Copy>(tile: &Tile<T>, size: usize) -> Result<Vec<Tile<T>>, Error> {
    let positions = cut_positions(tile.width, tile.height, size);
    if positions.is_empty() {
        let (width, height) = (tile.width, tile.height);
        return Err(Error::WrongSize { what: "a tile size", value: size, width, height });
    }
    positions.into_iter().map(|(left, top)| tile.crop(left, top, size, size)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_area_mean_rounds_half_up_and_drops_the_rest() {
        let tile = Tile::new(5, 2, 1, vec![0, 1, 10, 20, 99, 0, 1, 30, 40, 99]).unwrap();
        let small = downsample_area(&tile, 2).unwrap();
        assert_eq!((small.width, small.height, small.data), (2, 1, vec![1, 25]));
        assert!(downsample_area(&tile, 0).is_err());
        assert!(downsample_area(&tile, 3).is_err());
    }

    #[test]
    fn the_most_frequent_label_wins_and_ties_go_to_the_smallest() {
        let labels = Tile::new(4, 2, 1, vec![7, 7, 0, 9, 0, 7, 9, 0]).unwrap();
        assert_eq!(majority(&labels, 2).unwrap().data, [7, 0]);
    }

    #[test]
    fn nearest_repeats_and_picks_whole_pixels() {
        let tile = Tile::new(2, 1, 1, vec![1_u32, 2]).unwrap();
        assert_eq!(nearest(&tile, 4, 2).unwrap().data, [1, 1, 2, 2, 1, 1, 2, 2]);
        assert_eq!(nearest(&tile, 1, 1).unwrap().data, [2]);
        assert!(nearest(&Tile::<u32>::filled(0, 0, 1, 0), 2, 2).is_err());
    }

    #[test]
    fn cutting_gives_whole_squares_row_by_row() {
        let tile = Tile::new(5, 4, 1, (0..20_u8).collect()).unwrap();
        let squares = cut(&tile, 2).unwrap();
        assert_eq!(squares.len(), 4);
        assert_eq!(squares[1].data, [2, 3, 7, 8]);
        assert_eq!(squares[2].data, [10, 11, 15, 16]);
        assert!(cut(&tile, 0).is_err());
        assert!(cut(&tile, 6).is_err());
    }

    #[test]
    fn an_empty_image_cannot_be_enlarged_but_an_empty_result_can_be_asked_for() {
        let empty = Tile::<f32>::filled(0, 0, 3, 0.0);
        assert!(bilinear(&empty, 4, 4).is_err());
        assert!(bilinear(&empty, 0, 0).unwrap().is_empty());
        assert_eq!(bilinear(&Tile::filled(1, 1, 3, 0.5), 3, 2).unwrap().data, vec![0.5; 18]);
    }

    proptest! {
        #[test]
        fn the_fused_crop_equals_flip_then_crop_then_resize(
            width in 1_usize..9, height in 1_usize..9, out_width in 1_usize..12, out_height in 1_usize..12,
            left_right: bool, up_down: bool, values in proptest::collection::vec(0_u8..=255, 9 * 9 * 3),
            cut_left in 0_usize..8, cut_top in 0_usize..8,
        ) {
            let tile = Tile::new(width, height, 3, values[..width * height * 3].to_vec()).unwrap();
            let (left, top) = (cut_left.min(width - 1), cut_top.min(height - 1));
            let window = Window { left, top, width: width - left, height: height - top };
            let flips = Flips { left_right, up_down };
            let fused = crop_resize(&tile, &window, flips, out_width, out_height, 1.0).unwrap();
            let mut flipped = tile.to_float();
            if left_right { flipped = crate::augment::flip_left_right(&flipped); }
            if up_down { flipped = crate::augment::flip_up_down(&flipped); }
            let cropped = flipped.crop(left, top, window.width, window.height).unwrap();
            prop_assert_eq!(fused, bilinear(&cropped, out_width, out_height).unwrap());
        }

        #[test]
        fn resampled_labels_hold_no_new_label(
            values in proptest::collection::vec(0_u32..5, 36), width in 1_usize..9, factor in 1_usize..4,
        ) {
            let labels = Tile::new(6, 6, 1, values.clone()).unwrap();
            for result in [nearest(&labels, width, 3).unwrap(), majority(&labels, factor).unwrap()] {
                prop_assert!(result.data.iter().all(|label| values.contains(label)));
            }
        }
    }
}
