//! Prints how many augmented views one core makes in a second.
//!
//! `cargo run --release -p counterstain-tile --example augment`
//!
//! A view is a decoded tile taken through a preset to a float tile of the same size.

use std::time::{Duration, Instant};

use counterstain_tile::Tile;
use counterstain_tile::augment::Augmentation;
use counterstain_tile::random::Stream;

/// Repeats per figure; the best one is printed, as other work on the machine only slows down.
const REPEATS: usize = 5;
const REPEAT_TIME: Duration = Duration::from_millis(400);

fn main() -> Result<(), counterstain_tile::Error> {
    println!("{:<10} {:>6} {:>16}", "preset", "px", "views/s per core");
    for name in Augmentation::NAMES {
        let Some(preset) = Augmentation::named(name) else { continue };
        for size in [64, 96, 224] {
            let mut stream = Stream::new(1, "bench tile", &[size as u64]);
            let data = (0..size * size * 3).map(|_| stream.below(256) as u8).collect();
            let tile = Tile::new(size, size, 3, data)?;
            let mut best = 0.0_f64;
            for repeat in 0..REPEATS {
                let started = Instant::now();
                let mut views = 0;
                while started.elapsed() < REPEAT_TIME {
                    std::hint::black_box(preset.apply(&tile, size, 1, repeat as u64, views, 0)?);
                    views += 1;
                }
                best = best.max(views as f64 / started.elapsed().as_secs_f64());
            }
            println!("{name:<10} {size:>6} {best:>16.0}");
        }
    }
    Ok(())
}
