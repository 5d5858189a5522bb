//! Writing PNG files, the same bytes for the same pixels.

use crate::error::Error;
use crate::tile::Tile;

/// Encodes an 8-bit tile of 1 to 4 channels (grey, grey + alpha, RGB, RGBA) as PNG.
///
/// Deterministic: fixed compression and filters, no time stamp or other metadata.
pub fn encode_png(tile: &Tile<u8>) -> Result<Vec<u8>, Error> {
    let color = match tile.channels {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        3 => png::ColorType::Rgb,
        4 => png::ColorType::Rgba,
        found => return Err(Error::WrongChannels { what: "PNG encoding", expected: "1 to 4", found }),
    };
    write_png(tile.width, tile.height, color, png::BitDepth::Eight, &tile.data)
}

/// Encodes a label map (one channel) as grey PNG, 8 bits where they suffice, else 16.
pub fn encode_labels_png(labels: &Tile<u32>) -> Result<Vec<u8>, Error> {
    if labels.channels != 1 {
        return Err(Error::WrongChannels { what: "label encoding", expected: "1", found: labels.channels });
    }
    let largest = labels.data.iter().copied().max().unwrap_or(0);
    if largest <= 0xFF {
        let data: Vec<u8> = labels.data.iter().map(|&label| label as u8).collect();
        write_png(labels.width, labels.height, png::ColorType::Grayscale, png::BitDepth::Eight, &data)
    } else if largest <= 0xFFFF {
        let data: Vec<u8> = labels.data.iter().flat_map(|&label| (label as u16).to_be_bytes()).collect();
        write_png(labels.width, labels.height, png::ColorType::Grayscale, png::BitDepth::Sixteen, &data)
    } else {
        Err(Error::LabelTooLarge { label: largest })
    }
}

fn write_png(
    width: usize,
    height: usize,
    color: png::ColorType,
    depth: png::BitDepth,
    data: &[u8],
) -> Result<Vec<u8>, Error> {
    let refused = |error: png::EncodingError| Error::Unencodable {
        format: "PNG",
        reason: error.to_string().to_lowercase(),
    };
    let (Ok(png_width @ 1..), Ok(png_height @ 1..)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(Error::Empty { what: "PNG encoding", width, height });
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, png_width, png_height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_filter(png::Filter::Adaptive);
    let mut writer = encoder.write_header().map_err(refused)?;
    writer.write_image_data(data).map_err(refused)?;
    writer.finish().map_err(refused)?;
    Ok(bytes)
}
