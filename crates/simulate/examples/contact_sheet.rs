//! Writes a contact sheet of simulated tissue and prints how fast it was made.
//!
//! `cargo run -p counterstain-simulate --example contact_sheet -- OUT.png [SIZE] [ROWS]`
//!
//! Each row is a centre and class; the columns repeat H&E, types, IHC-like and IF-like images.

use std::time::Instant;

use counterstain_simulate::{Sample, Tissue};
use counterstain_tile::encode::encode_png;
use counterstain_tile::palette::{NUCLEUS_TYPES, paint_types};
use counterstain_tile::{Tile, resample};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().map_or_else(
        || std::env::temp_dir().join("counterstain-contact-sheet.png"),
        std::path::PathBuf::from,
    );
    let size = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let samples_per_row: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let tissue = Tissue { size, ..Tissue::default() };

    let started = Instant::now();
    let mut rows: Vec<Vec<Sample>> = Vec::new();
    for row in 0..2 * tissue.centres {
        let sample = |number: usize| tissue.sample((row * samples_per_row + number) as u64, row / 2, row % 2);
        rows.push((0..samples_per_row).map(sample).collect());
    }
    let count = rows.len() * samples_per_row;
    let seconds = started.elapsed().as_secs_f64();

    let zoom = (128 / size.max(1)).max(1);
    let side = size * zoom + 4;
    let mut sheet = Tile::filled(side * 4 * samples_per_row, side * rows.len(), 3, 255_u8);
    for (row, samples) in rows.iter().enumerate() {
        for (number, sample) in samples.iter().enumerate() {
            let types = paint_types(&sample.types, &NUCLEUS_TYPES);
            let images = [&sample.he, &types, &sample.ihc, &sample.fluorescence];
            for (column, image) in images.into_iter().enumerate() {
                let enlarged = resample::nearest(image, size * zoom, size * zoom)?;
                paste(&mut sheet, &enlarged, (4 * number + column) * side, row * side);
            }
        }
    }
    std::fs::write(&path, encode_png(&sheet)?)?;
    println!("{} ({count} tiles of {size} px, {:.0} a second)", path.display(), count as f64 / seconds);
    Ok(())
}

fn paste(sheet: &mut Tile<u8>, image: &Tile<u8>, left: usize, top: usize) {
    for y in 0..image.height {
        for x in 0..image.width {
            sheet.pixel_mut(left + x, top + y).copy_from_slice(image.pixel(x, y));
        }
    }
}
