//! Reading images from bytes: PNG, JPEG and TIFF, with limits.
//!
//! Invariants: nothing is allocated for pixels before the header's size has
//! been checked against [`Limits`]; a truncated file is an error, never a tile
//! with a grey rest; orientation tags are ignored, as pixels are what is trained on.

mod labels;
mod truncation;

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use crate::error::Error;
use crate::tile::Tile;
pub use labels::decode_labels;

/// What a file may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the encoded file.
    pub max_bytes: usize,
    /// Pixels (width times height) of the decoded image.
    pub max_pixels: usize,
}

impl Default for Limits {
    /// 512 MiB and 256 megapixels: a large field of view, not a whole slide.
    fn default() -> Self {
        Self { max_bytes: 512 << 20, max_pixels: 256_000_000 }
    }
}

impl Limits {
    fn check_bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.max_bytes {
            return Err(Error::TooManyBytes { found: bytes.len(), limit: self.max_bytes });
        }
        Ok(())
    }

    fn check_size(&self, width: usize, height: usize) -> Result<(), Error> {
        if width == 0 || height == 0 {
            return Err(Error::Empty { what: "decoding", width, height });
        }
        if width.checked_mul(height).is_none_or(|pixels| pixels > self.max_pixels) {
            return Err(Error::TooManyPixels { width, height, limit: self.max_pixels });
        }
        Ok(())
    }

    /// Room for the decoder's buffers: eight bytes for each of four channels and some tables.
    fn max_allocation(&self) -> usize {
        self.max_pixels.saturating_mul(32).saturating_add(64 << 20)
    }
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG (lossy: never for label maps).
    Jpeg,
    /// TIFF; of several pages the first is read.
    Tiff,
}

impl Format {
    /// Recognises a format by the first bytes of a file.
    pub fn of(bytes: &[u8]) -> Result<Self, Error> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [0xFF, 0xD8, ..] => Ok(Self::Jpeg),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Self::Tiff),
            _ => Err(Error::UnknownFormat { begins: describe_beginning(bytes) }),
        }
    }

    /// The usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Tiff => "TIFF",
        }
    }

    /// The media type of such a file.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Tiff => "image/tiff",
        }
    }
}

fn describe_beginning(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing: it is empty".to_owned();
    }
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Decodes a colour or grey image to 8 bits.
///
/// Gives 1 channel for grey and 3 for colour; an alpha channel is left out,
/// palettes are expanded and 16-bit values are reduced to their upper 8 bits
/// (rounded). Fails on anything over `limits`, truncated or damaged.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Tile<u8>, Error> {
    limits.check_bytes(bytes)?;
    let format = Format::of(bytes)?;
    let undecodable = |error: image::ImageError| Error::Undecodable {
        format: format.name(),
        reason: error.to_string().to_lowercase(),
    };
    let image_format = match format {
        Format::Png => ImageFormat::Png,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Tiff => ImageFormat::Tiff,
    };
    truncation::check(bytes, format)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), image_format);
    let mut allocation = image::Limits::no_limits();
    allocation.max_alloc = Some(limits.max_allocation() as u64);
    reader.limits(allocation);
    let decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    limits.check_size(width as usize, height as usize)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    let (channels, data) = if decoded.color().has_color() {
        (3, decoded.into_rgb8().into_raw())
    } else {
        (1, decoded.into_luma8().into_raw())
    };
    Tile::new(width as usize, height as usize, channels, data)
}

/// As [`decode`], always with three channels (grey is repeated).
pub fn decode_rgb(bytes: &[u8], limits: &Limits) -> Result<Tile<u8>, Error> {
    decode(bytes, limits)?.as_rgb()
}

/// Width and height from the header alone, checked against `limits`.
pub fn dimensions(bytes: &[u8], limits: &Limits) -> Result<(usize, usize), Error> {
    limits.check_bytes(bytes)?;
    let format = Format::of(bytes)?;
    let undecodable =
        |reason: String| Error::Undecodable { format: format.name(), reason: reason.to_lowercase() };
    let (width, height) = match format {
        Format::Png | Format::Jpeg => ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(image::ImageError::IoError)
            .and_then(ImageReader::into_dimensions)
            .map_err(|error| undecodable(error.to_string()))?,
        // Of label maps too, whose kinds of numbers the image crate does not know.
        Format::Tiff => tiff::decoder::Decoder::new(Cursor::new(bytes))
            .and_then(|mut decoder| decoder.dimensions())
            .map_err(|error| undecodable(error.to_string()))?,
    };
    limits.check_size(width as usize, height as usize)?;
    Ok((width as usize, height as usize))
}

#[cfg(test)]
mod tests;
