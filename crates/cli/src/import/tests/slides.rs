//! Whole-slide images; needs OpenSlide (`cargo xtask setup --slides`).

use super::*;

/// Side of a tile inside the TIFF file.
const INNER: u32 = 64;

/// An uncompressed tiled TIFF of 512 x 256 px, as OpenSlide's generic reader takes it: stained left of x = 256,
/// glass right of it; with its resolution in pixels per centimetre, if it is to say one.
fn slide(per_centimetre: Option<u32>) -> Vec<u8> {
    let (width, height) = (512_u32, 256_u32);
    let tiles = (width / INNER) * (height / INNER);
    let tile_bytes = INNER * INNER * 3;
    let entries = 11 + 3 * u32::from(per_centimetre.is_some());
    let extra = 8 + 2 + entries * 12 + 4;
    let (bits, offsets) = (extra, extra + 8);
    let (counts, resolution) = (offsets + tiles * 4, offsets + tiles * 8);
    let data = resolution + 8;
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((entries as u16).to_le_bytes());
    let mut entry = |tag: u16, kind: u16, count: u32, value: u32| {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    };
    entry(256, 4, 1, width);
    entry(257, 4, 1, height);
    entry(258, 3, 3, bits);
    entry(259, 3, 1, 1);
    entry(262, 3, 1, 2);
    entry(277, 3, 1, 3);
    if per_centimetre.is_some() {
        entry(282, 5, 1, resolution);
        entry(283, 5, 1, resolution);
    }
    entry(284, 3, 1, 1);
    if per_centimetre.is_some() {
        entry(296, 3, 1, 3);
    }
    entry(322, 4, 1, INNER);
    entry(323, 4, 1, INNER);
    entry(324, 4, tiles, offsets);
    entry(325, 4, tiles, counts);
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend([8, 0, 8, 0, 8, 0, 0, 0]);
    bytes.extend((0..tiles).flat_map(|tile| (data + tile * tile_bytes).to_le_bytes()));
    bytes.extend((0..tiles).flat_map(|_| tile_bytes.to_le_bytes()));
    bytes.extend(per_centimetre.unwrap_or(0).to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    for tile in 0..tiles {
        let stained = tile % (width / INNER) * INNER < 256;
        let colour: [u8; 3] = if stained { [180, 100, 160] } else { [243, 241, 244] };
        bytes.extend((0..INNER * INNER).flat_map(|_| colour));
    }
    bytes
}

fn slides(bench: &Bench) -> SlideImport {
    bench.write("slides/one.tif", &slide(None));
    bench.write("slides/two.tif", &slide(None));
    SlideImport { path: bench.path().join("slides"), tile: 64, ..SlideImport::default() }
}

#[test]
fn tiles_with_tissue_are_taken_and_a_slide_is_a_group() {
    let bench = Bench::new();
    let change = SlideImport { hold_out: [("test".to_owned(), 0.5)].into(), ..slides(&bench) };
    let imported = bench.import(&Import::Slide(change)).unwrap();
    // Four rows of four stained tiles on each slide.
    assert_eq!(imported.body.splits, [("test".to_owned(), 16), ("train".to_owned(), 16)].into());
    let dataset = bench.dataset(&imported);
    assert_eq!(dataset.samples[1].key, "one/y000000_x000064");
    assert_eq!(dataset.samples[1].group.as_deref(), Some("one.tif"));
    let tile = decode(&member(&bench, &imported, 1, "he"), &Limits::default()).unwrap();
    assert_eq!((tile.width, tile.height), (64, 64));
    assert!(tile.data.chunks_exact(3).all(|pixel| pixel == [180, 100, 160]));
}

#[test]
fn overlap_and_all_of_the_glass_can_be_had() {
    let bench = Bench::new();
    let all = SlideImport { tissue: 0.0, overlap: 32, ..slides(&bench) };
    let imported = bench.import(&Import::Slide(all)).unwrap();
    assert_eq!(imported.body.samples, 2 * 15 * 7);
}

#[test]
fn slides_that_cannot_be_used_say_why() {
    let bench = Bench::new();
    let import = slides(&bench);
    bench.write("slides/bad.svs", b"this is no slide");
    let error = bench.import(&Import::Slide(import.clone())).unwrap_err().to_string();
    assert!(error.contains("bad.svs") && error.contains("OpenSlide refuses it"), "{error}");
    let skipping = SlideImport { skip_bad: true, ..import.clone() };
    assert_eq!(bench.import(&Import::Slide(skipping)).unwrap().body.skipped.len(), 1);

    std::fs::remove_file(bench.path().join("slides/bad.svs")).unwrap();
    let by_size = SlideImport { microns_per_pixel: Some(0.5), ..import.clone() };
    let error = bench.import(&Import::Slide(by_size)).unwrap_err().to_string();
    assert!(error.contains("does not say its microns per pixel"), "{error}");
    let deep = SlideImport { level: Some(9), ..import.clone() };
    let error = bench.import(&Import::Slide(deep)).unwrap_err().to_string();
    assert!(error.contains("has no level 9; it has 1 levels"), "{error}");
    let empty = SlideImport { path: bench.path().to_owned(), ..import };
    let error = bench.import(&Import::Slide(empty)).unwrap_err().to_string();
    assert!(error.contains("there is no slide in"), "{error}");
}

#[test]
fn the_resolution_of_slides_that_say_it_is_recorded() {
    let bench = Bench::new();
    let import = slides(&bench);
    let imported = bench.import(&Import::Slide(import.clone())).unwrap();
    assert_eq!(imported.body.microns_per_pixel, None);

    // 40,000 pixels a centimetre are 0.25 microns each.
    bench.write("slides/one.tif", &slide(Some(40_000)));
    let half_known = bench.import(&Import::Slide(import.clone())).unwrap();
    assert_eq!(half_known.body.microns_per_pixel, None);
    bench.write("slides/two.tif", &slide(Some(40_010)));
    let imported = bench.import(&Import::Slide(import.clone())).unwrap();
    assert_eq!(imported.body.microns_per_pixel, Some(0.25));
    assert_eq!(imported.body.layers[0].microns_per_pixel, Some(0.25));

    bench.write("slides/two.tif", &slide(Some(20_000)));
    let error = bench.import(&Import::Slide(import.clone())).unwrap_err().to_string();
    assert!(error.contains("0.2500 microns per pixel in one.tif, 0.5000 in two.tif"), "{error}");
    let same = SlideImport { microns_per_pixel: Some(0.5), ..import };
    let imported = bench.import(&Import::Slide(same)).unwrap();
    // A row of two stained tiles of one, and four rows of four of the other.
    assert_eq!((imported.body.samples, imported.body.microns_per_pixel), (2 * 2 + 16, Some(0.5)));
}
