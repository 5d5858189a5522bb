//! Overlapping windows for networks whose output is smaller than their input.
//!
//! As the authors' `infer/tile.py::_prepare_patching`: the image is padded by
//! reflection so that the windows' outputs cover it without overlap.

use super::gradient::reflected;
use crate::error::Error;
use crate::tile::Tile;

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// First row in the padded image.
    pub y: usize,
    /// First column in the padded image.
    pub x: usize,
    /// Its row among the windows.
    pub row: usize,
    /// Its column among the windows.
    pub column: usize,
}

/// Padding and windows for one image size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patching {
    /// Rows added above; also the place of the image's first row in the padded one.
    pub top: usize,
    /// Columns added on the left.
    pub left: usize,
    /// Height of the padded image.
    pub padded_height: usize,
    /// Width of the padded image.
    pub padded_width: usize,
    /// The windows, columns of windows after one another (y varies fastest).
    pub patches: Vec<Patch>,
}

impl Patching {
    /// Plans windows of `window` px whose outputs are the central `mask` px.
    ///
    /// Fails for an empty image, a mask of 0 and a mask larger than the window.
    pub fn plan(width: usize, height: usize, window: usize, mask: usize) -> Result<Self, Error> {
        if width == 0 || height == 0 {
            return Err(Error::Empty { what: "patching", width, height });
        }
        if mask == 0 || mask > window {
            return Err(Error::WrongSize { what: "a window's output", value: mask, width, height });
        }
        let rows = height.saturating_sub(mask).div_ceil(mask) + 1;
        let columns = width.saturating_sub(mask).div_ceil(mask) + 1;
        let before = (window - mask) / 2;
        let patches = (0..columns)
            .flat_map(|column| {
                (0..rows).map(move |row| Patch { y: row * mask, x: column * mask, row, column })
            })
            .collect();
        Ok(Self {
            top: before,
            left: before,
            // The original adds a whole window after the last output.
            padded_height: before + rows * mask + window,
            padded_width: before + columns * mask + window,
            patches,
        })
    }

    /// The image with its reflected borders.
    ///
    /// The image must have the size that was planned for; another size is reflected
    /// into the same padded size.
    pub fn pad<T: Copy>(&self, image: &Tile<T>) -> Result<Tile<T>, Error> {
        if image.width == 0 || image.height == 0 {
            return Err(Error::Empty { what: "padding", width: image.width, height: image.height });
        }
        let mut data = Vec::with_capacity(self.padded_width * self.padded_height * image.channels);
        for y in 0..self.padded_height {
            let from_y = reflected(y as isize - self.top as isize, image.height);
            for x in 0..self.padded_width {
                let from_x = reflected(x as isize - self.left as isize, image.width);
                data.extend_from_slice(image.pixel(from_x, from_y));
            }
        }
        Tile::new(self.padded_width, self.padded_height, image.channels, data)
    }
}
