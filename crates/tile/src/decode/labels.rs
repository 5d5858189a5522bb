//! Reading label maps exactly: no colour conversion, no palette, no rescaling.

use std::io::Cursor;

use tiff::decoder::DecodingResult;

use super::{Format, Limits, truncation};
use crate::error::Error;
use crate::tile::Tile;

/// Decodes an integer label map: 1 to 16-bit grey or indexed PNG, 8 to 32-bit grey TIFF.
///
/// Gives one channel with the stored integers; for an indexed PNG these are the
/// indices, not the palette's colours. Colour images, alpha channels, JPEG
/// (lossy), fractions and negative numbers are refused.
pub fn decode_labels(bytes: &[u8], limits: &Limits) -> Result<Tile<u32>, Error> {
    limits.check_bytes(bytes)?;
    let format = Format::of(bytes)?;
    truncation::check(bytes, format)?;
    match format {
        Format::Png => png_labels(bytes, limits),
        Format::Tiff => tiff_labels(bytes, limits),
        Format::Jpeg => Err(Error::NotLabels { reason: "the file is a JPEG, which is lossy".to_owned() }),
    }
}

fn png_labels(bytes: &[u8], limits: &Limits) -> Result<Tile<u32>, Error> {
    let undecodable = |error: png::DecodingError| Error::Undecodable {
        format: "PNG",
        reason: error.to_string().to_lowercase(),
    };
    let mut decoder =
        png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: limits.max_allocation() });
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(undecodable)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    limits.check_size(width, height)?;
    let (color, depth) = reader.output_color_type();
    if !matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed) {
        return Err(Error::NotLabels {
            reason: format!("the PNG has {} channels per pixel", color.samples()),
        });
    }
    let size = reader.output_buffer_size().ok_or(Error::TooManyPixels {
        width,
        height,
        limit: limits.max_pixels,
    })?;
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(undecodable)?;
    let mut data = Vec::with_capacity(width * height);
    for line in buffer.chunks_exact(frame.line_size).take(height) {
        unpack_line(line, depth as usize, width, &mut data);
    }
    Tile::new(width, height, 1, data)
}

/// Appends `width` samples of 1, 2, 4, 8 or 16 bits (most significant first).
fn unpack_line(line: &[u8], bits: usize, width: usize, data: &mut Vec<u32>) {
    if bits == 16 {
        data.extend(
            line.chunks_exact(2).take(width).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))),
        );
        return;
    }
    let per_byte = 8 / bits;
    let mask = (1_u32 << bits) - 1;
    for x in 0..width {
        let shift = 8 - bits * (x % per_byte + 1);
        data.push((u32::from(line[x / per_byte]) >> shift) & mask);
    }
}

fn tiff_labels(bytes: &[u8], limits: &Limits) -> Result<Tile<u32>, Error> {
    let undecodable = |error: tiff::TiffError| Error::Undecodable {
        format: "TIFF",
        reason: error.to_string().to_lowercase(),
    };
    let mut tiff_limits = tiff::decoder::Limits::default();
    tiff_limits.decoding_buffer_size = limits.max_allocation();
    tiff_limits.intermediate_buffer_size = limits.max_allocation();
    let mut decoder =
        tiff::decoder::Decoder::new(Cursor::new(bytes)).map_err(undecodable)?.with_limits(tiff_limits);
    let (width, height) = decoder.dimensions().map_err(undecodable)?;
    let (width, height) = (width as usize, height as usize);
    limits.check_size(width, height)?;
    let color = decoder.colortype().map_err(undecodable)?;
    if !matches!(color, tiff::ColorType::Gray(8 | 16 | 32)) {
        return Err(Error::NotLabels { reason: format!("the TIFF's pixels are {color:?}").to_lowercase() });
    }
    let signed = |value: i64| {
        u32::try_from(value).map_err(|_| Error::NotLabels { reason: format!("it holds the value {value}") })
    };
    let data = match decoder.read_image().map_err(undecodable)? {
        DecodingResult::U8(values) => values.into_iter().map(u32::from).collect(),
        DecodingResult::U16(values) => values.into_iter().map(u32::from).collect(),
        DecodingResult::U32(values) => values,
        DecodingResult::I8(values) => {
            values.into_iter().map(|value| signed(value.into())).collect::<Result<_, _>>()?
        }
        DecodingResult::I16(values) => {
            values.into_iter().map(|value| signed(value.into())).collect::<Result<_, _>>()?
        }
        DecodingResult::I32(values) => {
            values.into_iter().map(|value| signed(value.into())).collect::<Result<_, _>>()?
        }
        _ => return Err(Error::NotLabels { reason: "the TIFF's values are not integers".to_owned() }),
    };
    Tile::new(width, height, 1, data)
}
