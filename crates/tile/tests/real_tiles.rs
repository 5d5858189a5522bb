//! Real histology files through decoding, stains, statistics and nuclei.
//!
//! Reads the folder in `COUNTERSTAIN_DATA`; without it the tests say that they are skipped.

use std::path::{Path, PathBuf};

use counterstain_tile::Tile;
use counterstain_tile::decode::{Format, Limits, decode, decode_labels, decode_rgb};
use counterstain_tile::encode::{encode_labels_png, encode_png};
use counterstain_tile::nuclei::{Maps, Settings, describe, segment, targets::targets};
use counterstain_tile::resample::{downsample_area, majority};
use counterstain_tile::stain::{hed, macenko, reinhard};
use counterstain_tile::statistics::colour_statistics;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("COUNTERSTAIN_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: COUNTERSTAIN_DATA is not set");
    }
    folder
}

/// The first files of a folder in the order of their names, with one of the endings.
fn files(folder: &Path, endings: &[&str], count: usize) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| endings.iter().any(|other| ending.eq_ignore_ascii_case(other)))
        })
        .collect();
    found.sort();
    found.truncate(count);
    assert!(!found.is_empty(), "{} holds no {endings:?}", folder.display());
    found
}

#[test]
fn png_jpeg_and_tiff_tiles_are_read_and_their_stains_and_statistics_are_finite() {
    let Some(data) = data() else { return };
    let limits = Limits::default();
    let folders = [
        ("pcam/train/0", Format::Jpeg, 96),
        ("nct_crc/NCT-CRC-HE-100K/TUM", Format::Tiff, 224),
        ("kather2016/Kather_texture_2016_image_tiles_5000/01_TUMOR", Format::Png, 224),
    ];
    for (folder, format, side) in folders {
        let folder = data.join(folder);
        if !folder.is_dir() {
            println!("skipped: {} is not there", folder.display());
            continue;
        }
        let tiles: Vec<Tile<u8>> = files(&folder, &["jpg", "png", "tif"], 8)
            .iter()
            .map(|path| {
                let bytes = std::fs::read(path).unwrap();
                assert_eq!(Format::of(&bytes), Ok(format));
                assert!(decode(&bytes[..bytes.len() / 2], &limits).is_err(), "half of {}", path.display());
                decode_rgb(&bytes, &limits).unwrap()
            })
            .collect();
        for tile in &tiles {
            assert_eq!((tile.width, tile.height, tile.channels), (side, side, 3));
            assert_eq!(&decode(&encode_png(tile).unwrap(), &limits).unwrap(), tile);
            assert!(colour_statistics(tile).unwrap().iter().all(|value| value.is_finite()));
            assert!(hed::rgb_to_hed(tile).unwrap().data.iter().all(|stain| stain.is_finite()));
            let target = reinhard::fit(&tiles[0]).unwrap();
            assert_eq!(reinhard::normalize(tile, &target).unwrap().data.len(), tile.data.len());
            // Tiles without two stains may be refused, with the reason.
            let parameters = macenko::Parameters::default();
            match macenko::normalize(tile, &macenko::Stains::REFERENCE, &parameters) {
                Ok(normalized) => assert_eq!(normalized.image.data.len(), tile.data.len()),
                Err(error) => println!("{}: {error}", folder.display()),
            }
        }
    }
}

#[test]
fn annotated_nuclei_come_back_from_their_own_training_targets() {
    let Some(data) = data() else { return };
    let limits = Limits::default();
    let folder = data.join("consep/Train");
    let (mut annotated, mut recovered) = (0, 0);
    for path in files(&folder.join("Inst"), &["png"], 12) {
        let instances = decode_labels(&std::fs::read(&path).unwrap(), &limits).unwrap();
        let types_path = folder.join("Type").join(path.file_name().unwrap());
        let types = decode_labels(&std::fs::read(types_path).unwrap(), &limits).unwrap();
        assert_eq!((instances.width, types.width), (256, 256));
        assert_eq!(decode_labels(&encode_labels_png(&instances).unwrap(), &limits).unwrap(), instances);
        assert!(types.data.iter().all(|&kind| kind <= 4), "types are exact");
        assert!(majority(&types, 4).unwrap().data.iter().all(|&kind| kind <= 4));

        let made = targets(&instances, 256, 256).unwrap();
        let foreground = made.foreground.map(|set| set as f32);
        let channel = |number: usize| {
            let data = made.distances.data.chunks_exact(2).map(|pixel| pixel[number]).collect();
            Tile::new(256, 256, 1, data).unwrap()
        };
        let (horizontal, vertical) = (channel(0), channel(1));
        let maps = Maps { foreground: &foreground, horizontal: &horizontal, vertical: &vertical };
        let found = segment(&maps, &Settings::default()).unwrap();
        for nucleus in describe(&instances, Some(&types)).unwrap().iter().filter(|one| one.area >= 60) {
            annotated += 1;
            // The instance that covers most of the nucleus.
            let mut counts = std::collections::BTreeMap::<u32, usize>::new();
            for (&own, &other) in instances.data.iter().zip(&found.data) {
                if own == nucleus.id && other > 0 {
                    *counts.entry(other).or_default() += 1;
                }
            }
            let Some((&best, &common)) = counts.iter().max_by_key(|(_, count)| **count) else { continue };
            let area = found.data.iter().filter(|&&other| other == best).count();
            let union = nucleus.area + area - common;
            recovered += usize::from(2 * common > union);
        }
    }
    println!("{recovered} of {annotated} nuclei with an overlap above one half");
    assert!(annotated > 100 && recovered * 100 > annotated * 90, "{recovered} of {annotated}");
}

#[test]
fn large_tiles_are_reduced_by_whole_factors() {
    let Some(data) = data() else { return };
    for path in files(&data.join("consep/Train/Images"), &["jpg"], 3) {
        let tile = decode_rgb(&std::fs::read(path).unwrap(), &Limits::default()).unwrap();
        let small = downsample_area(&tile, 4).unwrap();
        assert_eq!((small.width, small.height), (64, 64));
        let mean = |tile: &Tile<u8>| {
            tile.data.iter().map(|&value| f64::from(value)).sum::<f64>() / tile.data.len() as f64
        };
        assert!((mean(&tile) - mean(&small)).abs() < 0.5);
    }
}
