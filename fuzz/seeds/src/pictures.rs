//! Small images and label maps in the formats, depths and compressions that tools write.

use std::io::Cursor;

use anyhow::Result;
use counterstain_tile::Tile;
use counterstain_tile::encode::{encode_labels_png, encode_png};
use image::{ColorType, ImageFormat};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, colortype};

use crate::Seed;

const WIDTH: usize = 19;
const HEIGHT: usize = 11;

/// Colour and grey images.
pub fn images() -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for channels in 1..=4 {
        seeds.push((format!("png-{channels}"), encode_png(&tile(channels)?)?));
    }
    for (name, color) in [("grey", ColorType::L8), ("rgb", ColorType::Rgb8)] {
        let channels = usize::from(color.channel_count());
        for format in [ImageFormat::Jpeg, ImageFormat::Tiff] {
            let mut bytes = Cursor::new(Vec::new());
            let data = tile(channels)?.data;
            image::write_buffer_with_format(&mut bytes, &data, WIDTH as u32, HEIGHT as u32, color, format)?;
            let extension = format.extensions_str()[0];
            seeds.push((format!("{extension}-{name}"), bytes.into_inner()));
        }
    }
    seeds.extend(paletted()?);
    seeds.extend(compressed_tiffs()?);
    Ok(seeds)
}

/// Label maps of every depth.
pub fn labels() -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for largest in [2_u32, 1_000] {
        let data = (0..WIDTH * HEIGHT).map(|place| place as u32 % (largest + 1)).collect::<Vec<_>>();
        let mut labels = Tile::new(WIDTH, HEIGHT, 1, data)?;
        labels.data[0] = largest;
        seeds.push((format!("png-{largest}"), encode_labels_png(&labels)?));
    }
    let values: Vec<u32> = (0..(WIDTH * HEIGHT) as u32).map(|place| place * 70_000).collect();
    let mut wide = Cursor::new(Vec::new());
    TiffEncoder::new(&mut wide)?.write_image::<colortype::Gray32>(WIDTH as u32, HEIGHT as u32, &values)?;
    seeds.push(("tiff-32".to_owned(), wide.into_inner()));
    let signed: Vec<i16> = (0..(WIDTH * HEIGHT) as i16).collect();
    let mut narrow = Cursor::new(Vec::new());
    TiffEncoder::new(&mut narrow)?.write_image::<colortype::GrayI16>(WIDTH as u32, HEIGHT as u32, &signed)?;
    seeds.push(("tiff-i16".to_owned(), narrow.into_inner()));
    seeds.extend(paletted()?);
    seeds.extend(compressed_tiffs()?);
    Ok(seeds)
}

fn tile(channels: usize) -> Result<Tile<u8>> {
    let data = (0..WIDTH * HEIGHT * channels).map(|place| (place * 37 % 251) as u8).collect();
    Ok(Tile::new(WIDTH, HEIGHT, channels, data)?)
}

/// Indexed PNGs of 1 to 8 bits.
fn paletted() -> Result<Vec<Seed>> {
    let depths = [png::BitDepth::One, png::BitDepth::Two, png::BitDepth::Four, png::BitDepth::Eight];
    let mut seeds = Vec::new();
    for depth in depths {
        let line = (WIDTH * depth as usize).div_ceil(8);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, WIDTH as u32, HEIGHT as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(depth);
        encoder.set_palette(
            (0..2_usize.pow(depth as u32).min(4) * 3).map(|value| value as u8).collect::<Vec<_>>(),
        );
        encoder.write_header()?.write_image_data(&vec![0x11 & 3; line * HEIGHT])?;
        seeds.push((format!("png-indexed-{}", depth as u8), bytes));
    }
    Ok(seeds)
}

fn compressed_tiffs() -> Result<Vec<Seed>> {
    let compressions = [
        ("lzw", Compression::Lzw),
        ("deflate", Compression::Deflate(DeflateLevel::Fast)),
        ("packbits", Compression::Packbits),
    ];
    let mut seeds = Vec::new();
    for (name, compression) in compressions {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes)?.with_compression(compression);
        encoder.write_image::<colortype::Gray8>(WIDTH as u32, HEIGHT as u32, &tile(1)?.data)?;
        seeds.push((format!("tiff-{name}"), bytes.into_inner()));
    }
    Ok(seeds)
}
