use super::*;
use crate::encode::{encode_labels_png, encode_png};
use proptest::prelude::*;

fn picture(width: usize, height: usize, channels: usize) -> Tile<u8> {
    let data = (0..width * height * channels).map(|index| (index * 37 % 251) as u8).collect();
    Tile::new(width, height, channels, data).unwrap()
}

fn encoded(tile: &Tile<u8>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let color = if tile.channels == 3 { image::ColorType::Rgb8 } else { image::ColorType::L8 };
    image::write_buffer_with_format(
        &mut bytes,
        &tile.data,
        tile.width as u32,
        tile.height as u32,
        color,
        format,
    )
    .unwrap();
    bytes.into_inner()
}

#[test]
fn a_png_survives_the_round_trip_and_its_bytes_repeat() {
    for channels in [1, 3] {
        let tile = picture(13, 7, channels);
        let bytes = encode_png(&tile).unwrap();
        assert_eq!(bytes, encode_png(&tile).unwrap());
        assert_eq!(decode(&bytes, &Limits::default()).unwrap(), tile);
        assert_eq!(dimensions(&bytes, &Limits::default()).unwrap(), (13, 7));
    }
}

#[test]
fn alpha_is_left_out_and_grey_is_repeated_on_request() {
    let bytes = encode_png(&picture(5, 4, 4)).unwrap();
    assert_eq!(decode(&bytes, &Limits::default()).unwrap().channels, 3);
    let grey = decode_rgb(&encode_png(&picture(5, 4, 1)).unwrap(), &Limits::default()).unwrap();
    assert_eq!((grey.channels, grey.pixel(1, 0)), (3, [37, 37, 37].as_slice()));
}

#[test]
fn tiff_and_jpeg_are_read() {
    let tile = picture(16, 8, 3);
    assert_eq!(decode(&encoded(&tile, ImageFormat::Tiff), &Limits::default()).unwrap(), tile);
    let flat = Tile::filled(16, 8, 3, 100);
    let lossy = decode(&encoded(&flat, ImageFormat::Jpeg), &Limits::default()).unwrap();
    assert!(lossy.data.iter().all(|value| value.abs_diff(100) <= 2));
}

#[test]
fn label_maps_are_exact_in_8_and_16_bits() {
    for largest in [255_u32, 65_535] {
        let labels = Tile::new(4, 2, 1, vec![0, 1, 2, 3, 250, 7, largest, 0]).unwrap();
        let bytes = encode_labels_png(&labels).unwrap();
        assert_eq!(decode_labels(&bytes, &Limits::default()).unwrap(), labels);
    }
    let too_large = Tile::filled(1, 1, 1, 65_536);
    assert_eq!(encode_labels_png(&too_large), Err(Error::LabelTooLarge { label: 65_536 }));
}

#[test]
fn a_32_bit_tiff_label_map_is_exact() {
    let mut bytes = Cursor::new(Vec::new());
    let values = [0_u32, 70_000, u32::MAX, 5];
    tiff::encoder::TiffEncoder::new(&mut bytes)
        .unwrap()
        .write_image::<tiff::encoder::colortype::Gray32>(2, 2, &values)
        .unwrap();
    assert_eq!(decode_labels(bytes.get_ref(), &Limits::default()).unwrap().data, values);
}

#[test]
fn the_size_of_a_tiff_with_signed_labels_is_known() {
    let mut bytes = Cursor::new(Vec::new());
    tiff::encoder::TiffEncoder::new(&mut bytes)
        .unwrap()
        .write_image::<tiff::encoder::colortype::GrayI16>(2, 1, &[0, 7])
        .unwrap();
    assert_eq!(decode_labels(bytes.get_ref(), &Limits::default()).unwrap().data, [0, 7]);
    assert_eq!(dimensions(bytes.get_ref(), &Limits::default()).unwrap(), (2, 1));
}

#[test]
fn indices_of_an_indexed_png_are_not_expanded() {
    for (depth, line) in
        [(png::BitDepth::Two, vec![0b0001_1011_u8]), (png::BitDepth::Eight, vec![0, 1, 2, 3])]
    {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 4, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(depth);
        encoder.set_palette(vec![9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200]);
        encoder.write_header().unwrap().write_image_data(&line).unwrap();
        assert_eq!(decode_labels(&bytes, &Limits::default()).unwrap().data, [0, 1, 2, 3]);
        assert_eq!(decode(&bytes, &Limits::default()).unwrap().pixel(1, 0), [200, 0, 0]);
    }
}

#[test]
fn colour_images_and_jpegs_are_refused_as_label_maps() {
    let color = encode_png(&picture(4, 4, 3)).unwrap();
    let message = decode_labels(&color, &Limits::default()).unwrap_err().to_string();
    assert!(message.contains("3 channels per pixel"), "{message}");
    let jpeg = encoded(&picture(8, 8, 1), ImageFormat::Jpeg);
    assert!(matches!(decode_labels(&jpeg, &Limits::default()), Err(Error::NotLabels { .. })));
}

#[test]
fn limits_are_kept_and_named() {
    let bytes = encode_png(&picture(20, 10, 3)).unwrap();
    let few_pixels = Limits { max_pixels: 199, ..Limits::default() };
    let expected = Error::TooManyPixels { width: 20, height: 10, limit: 199 };
    assert_eq!(decode(&bytes, &few_pixels), Err(expected.clone()));
    let labels = encode_labels_png(&Tile::filled(20, 10, 1, 1)).unwrap();
    assert_eq!(decode_labels(&labels, &few_pixels), Err(expected));
    let few_bytes = Limits { max_bytes: bytes.len() - 1, ..Limits::default() };
    assert!(matches!(decode(&bytes, &few_bytes), Err(Error::TooManyBytes { .. })));
}

#[test]
fn every_truncation_is_an_error() {
    let tile = picture(24, 16, 3);
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff] {
        let bytes = encoded(&tile, format);
        for length in 0..bytes.len() {
            if decode(&bytes[..length], &Limits::default()).is_ok() {
                // A TIFF whose directory comes before its data may end in bytes that hold nothing.
                assert_eq!(decode(&bytes[..length], &Limits::default()), decode(&bytes, &Limits::default()));
                assert_eq!(format, ImageFormat::Tiff, "{format:?} cut to {length} of {}", bytes.len());
            }
        }
    }
}

#[test]
fn what_is_no_image_is_named_by_its_first_bytes() {
    let message = decode(b"hello", &Limits::default()).unwrap_err().to_string();
    assert!(message.contains("68 65 6c 6c 6f"), "{message}");
    assert!(decode(b"", &Limits::default()).is_err());
}

proptest! {
    #[test]
    fn damaged_files_never_panic(position in 0_usize..2000, value: u8, which in 0..3) {
        let tile = picture(12, 9, 3);
        let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff][which as usize];
        let mut bytes = encoded(&tile, format);
        let position = position % bytes.len();
        bytes[position] = value;
        let limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 16 };
        let _ = decode(&bytes, &limits);
        let _ = decode_labels(&bytes, &limits);
    }
}
