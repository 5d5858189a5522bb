//! Images: an error, or a tile of the size that the header states and the limits allow.
#![no_main]

use counterstain_tile::decode::{Limits, decode, dimensions};
use libfuzzer_sys::fuzz_target;

/// Far below the memory that the fuzzer allows, so that a decoder that disregards them is found.
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 };

fuzz_target!(|file: &[u8]| {
    let size = dimensions(file, &LIMITS);
    let Ok(tile) = decode(file, &LIMITS) else { return };
    assert_eq!(size.ok(), Some((tile.width, tile.height)));
    assert!(tile.width * tile.height <= LIMITS.max_pixels);
    assert!(matches!(tile.channels, 1 | 3));
    assert_eq!(tile.data.len(), tile.width * tile.height * tile.channels);
});
