//! Finds files that end too early, which lenient decoders would fill with grey.

use super::Format;
use crate::error::Error;

/// Fails when the end marker of a PNG or JPEG is missing.
///
/// TIFF has none; its decoder notices missing strips itself.
pub(super) fn check(bytes: &[u8], format: Format) -> Result<(), Error> {
    let complete = match format {
        Format::Png => png_has_end(bytes),
        Format::Jpeg => jpeg_has_end(bytes),
        Format::Tiff => true,
    };
    if complete { Ok(()) } else { Err(Error::Truncated { format: format.name() }) }
}

/// Walks the chunks to IEND and its checksum.
fn png_has_end(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((header, after)) = rest.split_at_checked(8) {
        if &header[4..] == b"IEND" {
            return after.len() >= 4;
        }
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(next) = length.checked_add(4).and_then(|skip| after.get(skip..)) else { return false };
        rest = next;
    }
    false
}

/// Walks the segments to EOI; inside entropy-coded data a marker is an 0xFF that
/// is followed by neither zero (stuffing), nor a restart marker, nor fill bytes.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let mut position = 2;
    while let (Some(&0xFF), Some(&marker)) = (bytes.get(position), bytes.get(position + 1)) {
        match marker {
            0xD9 => return true,
            0xFF => position += 1,
            0x01 | 0xD0..=0xD8 => position += 2,
            _ => {
                let (Some(&high), Some(&low)) = (bytes.get(position + 2), bytes.get(position + 3)) else {
                    return false;
                };
                position += 2 + usize::from(u16::from_be_bytes([high, low]));
                if marker == 0xDA {
                    position = end_of_scan(bytes, position);
                }
            }
        }
    }
    false
}

fn end_of_scan(bytes: &[u8], start: usize) -> usize {
    let mut position = start;
    while let (Some(&byte), Some(&next)) = (bytes.get(position), bytes.get(position + 1)) {
        if byte == 0xFF && next != 0 && !(0xD0..=0xD7).contains(&next) {
            return position;
        }
        position += 1;
    }
    bytes.len()
}
