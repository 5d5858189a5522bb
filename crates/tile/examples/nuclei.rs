//! Times HoVer-Net post-processing on a 1,000 × 1,000 px map, beside SciPy,
//! scikit-image and OpenCV on the same map where Python has them.
//!
//! `cargo run --release -p counterstain-tile --example nuclei`
//!
//! The Python is `$COUNTERSTAIN_BENCH_PYTHON`, else `python3`; it needs numpy, scipy,
//! scikit-image and opencv-python-headless. Both sides use one thread, the time is the
//! median of several, and the instance maps are compared.

use std::process::Command;
use std::time::Instant;

use counterstain_tile::Tile;
use counterstain_tile::nuclei::{Maps, Settings, describe, segment, targets::targets};
use counterstain_tile::random::Stream;

const SIZE: usize = 1000;
const REPEATS: usize = 9;
const REFERENCE: &str = include_str!("nuclei_reference.py");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prediction = Prediction::simulated()?;
    let maps = Maps {
        foreground: &prediction.foreground,
        horizontal: &prediction.horizontal,
        vertical: &prediction.vertical,
    };
    let mut times = Vec::new();
    let mut found = (Tile::filled(0, 0, 1, 0), 0);
    for _ in 0..REPEATS {
        let started = Instant::now();
        let instances = segment(&maps, &Settings::default())?;
        let nuclei = describe(&instances, Some(&prediction.types))?;
        times.push(started.elapsed().as_secs_f64());
        found = (instances, nuclei.len());
    }
    times.sort_by(f64::total_cmp);
    let median = times[REPEATS / 2];
    println!("counterstain   {:8.1} ms   ({} nuclei, {SIZE}x{SIZE} px, 1 thread)", 1e3 * median, found.1);

    let folder = std::env::temp_dir().join(format!("counterstain-nuclei-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = compare(&folder, &prediction, &found.0, median);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

/// Runs the reference on the same maps and prints its time and the agreement.
fn compare(
    folder: &std::path::Path,
    prediction: &Prediction,
    instances: &Tile<u32>,
    own_seconds: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let types = prediction.types.map(|kind| kind as f32);
    let maps = [
        ("foreground", &prediction.foreground),
        ("horizontal", &prediction.horizontal),
        ("vertical", &prediction.vertical),
        ("types", &types),
    ];
    for (name, map) in maps {
        let bytes: Vec<u8> = map.data.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(folder.join(name), bytes)?;
    }
    let python = std::env::var("COUNTERSTAIN_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(&python)
        .args(["-c", REFERENCE])
        .arg(folder)
        .args([SIZE.to_string(), REPEATS.to_string()])
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            println!("reference      skipped: {}", text.lines().last().unwrap_or("it failed"));
            return Ok(());
        }
        Err(error) => {
            println!("reference      skipped: {python}: {error}");
            return Ok(());
        }
    };
    let seconds: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    let reference: Vec<u32> = std::fs::read(folder.join("instances"))?
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect();
    let differing = reference.iter().zip(&instances.data).filter(|(first, second)| first != second).count();
    println!("scipy, skimage {:8.1} ms   ({:.1} times as long)", 1e3 * seconds, seconds / own_seconds);
    println!("differing pixels: {differing} of {}", instances.data.len());
    Ok(())
}

/// What a network would predict for a field of nuclei, with noise.
struct Prediction {
    foreground: Tile<f32>,
    horizontal: Tile<f32>,
    vertical: Tile<f32>,
    types: Tile<u32>,
}

impl Prediction {
    fn simulated() -> Result<Self, counterstain_tile::Error> {
        let instances = ellipses();
        let made = targets(&instances, SIZE, SIZE)?;
        let mut stream = Stream::new(1, "bench noise", &[]);
        let mut noisy = |value: f32, amount: f32| value + amount * stream.normal();
        let mut map = |values: Vec<f32>| {
            let data = values.into_iter().map(|value| noisy(value, 0.08)).collect();
            Tile::new(SIZE, SIZE, 1, data)
        };
        let channel = |number: usize| {
            made.distances.data.chunks_exact(2).map(|pixel| pixel[number]).collect::<Vec<_>>()
        };
        let foreground = map(made.foreground.data.iter().map(|&set| set as f32).collect())?;
        let (horizontal, vertical) = (map(channel(0))?, map(channel(1))?);
        let types = instances.map(|number| if number == 0 { 0 } else { 1 + number % 4 });
        Ok(Self { foreground: foreground.map(|value| value.clamp(0.0, 1.0)), horizontal, vertical, types })
    }
}

/// About 2,000 ellipses that partly touch.
fn ellipses() -> Tile<u32> {
    let mut instances = Tile::filled(SIZE, SIZE, 1, 0_u32);
    let mut stream = Stream::new(1, "bench nuclei", &[]);
    for number in 1..=2600 {
        let (x, y) = (stream.uniform(12.0, SIZE as f32 - 12.0), stream.uniform(12.0, SIZE as f32 - 12.0));
        let (long, short) = (stream.uniform(6.0, 10.0), stream.uniform(5.0, 7.0));
        let (sine, cosine) = stream.uniform(0.0, std::f32::consts::PI).sin_cos();
        let (left, top) = (x as usize - 11, y as usize - 11);
        for row in top..top + 23 {
            for column in left..left + 23 {
                let (dx, dy) = (column as f32 - x, row as f32 - y);
                let (u, v) = ((dx * cosine + dy * sine) / long, (dy * cosine - dx * sine) / short);
                let pixel = instances.pixel_mut(column, row);
                if u * u + v * v < 1.0 && pixel[0] == 0 {
                    pixel[0] = number;
                }
            }
        }
    }
    instances
}
