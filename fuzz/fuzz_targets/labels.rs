//! Label maps: an error, or integers that survive being encoded and decoded again.
#![no_main]

use counterstain_tile::decode::{Limits, decode_labels, dimensions};
use counterstain_tile::encode::encode_labels_png;
use libfuzzer_sys::fuzz_target;

/// Far below the memory that the fuzzer allows, so that a decoder that disregards them is found.
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 };

fuzz_target!(|file: &[u8]| {
    let Ok(labels) = decode_labels(file, &LIMITS) else { return };
    assert_eq!(labels.channels, 1);
    assert_eq!(labels.data.len(), labels.width * labels.height);
    assert_eq!(dimensions(file, &LIMITS).ok(), Some((labels.width, labels.height)));
    if let Ok(encoded) = encode_labels_png(&labels) {
        let wide = Limits { max_bytes: usize::MAX, ..LIMITS };
        assert_eq!(decode_labels(&encoded, &wide).as_ref(), Ok(&labels));
    }
});
