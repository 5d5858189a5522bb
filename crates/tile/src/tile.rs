//! The tile: an image in memory.
//!
//! Invariant: `data.len() == width * height * channels`, in rows from top to
//! bottom, each pixel's channels together (HWC). [`Tile::new`] checks it.

use crate::error::Error;

/// An image with `channels` values of type `T` per pixel.
///
/// `u8` holds colours in 0..=255, `f32` colours on a scale that each function
/// names (0..1 unless it says otherwise), `u32` labels (0 is background).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile<T = u8> {
    /// Pixels per row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// Values per pixel.
    pub channels: usize,
    /// The values, row by row, interleaved.
    pub data: Vec<T>,
}

impl<T: Copy> Tile<T> {
    /// Wraps `data`; fails unless its length is `width * height * channels`.
    pub fn new(width: usize, height: usize, channels: usize, data: Vec<T>) -> Result<Self, Error> {
        let expected = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(channels));
        if expected != Some(data.len()) {
            return Err(Error::WrongLength {
                width,
                height,
                channels,
                expected: expected.unwrap_or(usize::MAX),
                found: data.len(),
            });
        }
        Ok(Self { width, height, channels, data })
    }

    /// A tile with one value everywhere.
    pub fn filled(width: usize, height: usize, channels: usize, value: T) -> Self {
        Self { width, height, channels, data: vec![value; width * height * channels] }
    }

    /// Number of pixels.
    pub fn pixels(&self) -> usize {
        self.width * self.height
    }

    /// True when there is no pixel or no channel.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The channels of one pixel; the caller keeps `x < width` and `y < height`.
    #[inline]
    pub fn pixel(&self, x: usize, y: usize) -> &[T] {
        let start = (y * self.width + x) * self.channels;
        &self.data[start..start + self.channels]
    }

    /// As [`Tile::pixel`], to write to.
    #[inline]
    pub fn pixel_mut(&mut self, x: usize, y: usize) -> &mut [T] {
        let start = (y * self.width + x) * self.channels;
        &mut self.data[start..start + self.channels]
    }

    /// The values of one row.
    #[inline]
    pub fn row(&self, y: usize) -> &[T] {
        let length = self.width * self.channels;
        &self.data[y * length..(y + 1) * length]
    }

    /// Copies a window; fails when it reaches outside the tile.
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Result<Self, Error> {
        let inside = left.checked_add(width).is_some_and(|right| right <= self.width)
            && top.checked_add(height).is_some_and(|bottom| bottom <= self.height);
        if !inside {
            return Err(Error::OutsideImage {
                left,
                top,
                width,
                height,
                image_width: self.width,
                image_height: self.height,
            });
        }
        let mut data = Vec::with_capacity(width * height * self.channels);
        for y in top..top + height {
            let row = self.row(y);
            data.extend_from_slice(&row[left * self.channels..(left + width) * self.channels]);
        }
        Ok(Self { width, height, channels: self.channels, data })
    }

    /// A tile of the same shape with every value mapped.
    pub fn map<U: Copy>(&self, convert: impl Fn(T) -> U) -> Tile<U> {
        Tile {
            width: self.width,
            height: self.height,
            channels: self.channels,
            data: self.data.iter().map(|&value| convert(value)).collect(),
        }
    }
}

impl Tile<u8> {
    /// The values as 0..1.
    pub fn to_unit(&self) -> Tile<f32> {
        self.map(|value| f32::from(value) * (1.0 / 255.0))
    }

    /// The values as 0..255, unscaled.
    pub fn to_float(&self) -> Tile<f32> {
        self.map(f32::from)
    }

    /// Three channels: grey is repeated, an alpha channel is left out.
    pub fn as_rgb(&self) -> Result<Tile<u8>, Error> {
        let data = match self.channels {
            3 => return Ok(self.clone()),
            1 | 2 => self.data.chunks_exact(self.channels).flat_map(|pixel| [pixel[0]; 3]).collect(),
            4 => self.data.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
            found => {
                return Err(Error::WrongChannels { what: "conversion to RGB", expected: "1 to 4", found });
            }
        };
        Ok(Tile { width: self.width, height: self.height, channels: 3, data })
    }

    /// One channel: grey stays, RGB becomes its luma (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, rounded), an alpha
    /// channel is left out.
    ///
    /// # Errors
    /// `WrongChannels` for more than four channels, or none.
    pub fn as_luminance(&self) -> Result<Tile<u8>, Error> {
        let luma = |pixel: &[u8]| {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
        };
        let data = match self.channels {
            1 => return Ok(self.clone()),
            2 => self.data.iter().copied().step_by(2).collect(),
            3 | 4 => self.data.chunks_exact(self.channels).map(luma).collect(),
            found => {
                return Err(Error::WrongChannels { what: "conversion to grey", expected: "1 to 4", found });
            }
        };
        Ok(Tile { width: self.width, height: self.height, channels: 1, data })
    }
}

impl Tile<f32> {
    /// 0..1 to 0..=255, rounded; what lies outside is clipped and NaN becomes 0.
    pub fn to_bytes(&self) -> Tile<u8> {
        // A float-to-integer cast saturates and takes NaN to 0.
        self.map(|value| (value * 255.0).round() as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_length_is_refused_with_the_numbers() {
        let error = Tile::new(2, 3, 3, vec![0_u8; 17]).unwrap_err();
        assert_eq!(error.to_string(), "2x3 px with 3 channels need 18 values, 17 were given");
        assert!(Tile::new(usize::MAX, usize::MAX, 3, vec![0_u8; 1]).is_err());
    }

    #[test]
    fn a_crop_outside_is_refused_and_a_zero_sized_one_is_empty() {
        let tile = Tile::new(3, 2, 1, vec![0_u8, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!(tile.crop(1, 0, 2, 2).unwrap().data, [1, 2, 4, 5]);
        assert!(tile.crop(2, 0, 2, 2).is_err());
        assert!(tile.crop(usize::MAX, 0, 2, 2).is_err());
        assert!(tile.crop(3, 2, 0, 0).unwrap().is_empty());
    }

    #[test]
    fn bytes_survive_the_unit_scale_and_strange_floats_are_clipped() {
        let tile = Tile::new(256, 1, 1, (0..=255).collect()).unwrap();
        assert_eq!(tile.to_unit().to_bytes(), tile);
        let odd = Tile::new(4, 1, 1, vec![f32::NAN, -3.0, f32::INFINITY, 2.0]).unwrap();
        assert_eq!(odd.to_bytes().data, [0, 0, 255, 255]);
    }

    #[test]
    fn luminance_weighs_the_colours_and_leaves_grey_alone() {
        let colours = Tile::new(4, 1, 3, vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]).unwrap();
        assert_eq!(colours.as_luminance().unwrap().data, [76, 150, 29, 9]);
        let alpha = Tile::new(2, 1, 2, vec![5, 255, 6, 0]).unwrap();
        assert_eq!(alpha.as_luminance().unwrap().data, [5, 6]);
        assert!(Tile::filled(1, 1, 5, 0).as_luminance().is_err());
    }
}
