//! The instances of [`super::watershed`], flooding only where markers compete.
//!
//! A connected part of the foreground is flooded independently of all others, and
//! one with a single marker belongs to it entirely. Only parts with several
//! markers need the landscape, and only the marker pixels at the rim of the
//! unlabelled area are ever flooded from. Where two such pixels of one part have exactly
//! the same level, the order of scikit-image's heap would matter: then the whole
//! image is flooded by the exact procedure instead.

use super::queue::{Pixel, Queue};
use super::watershed::watershed;

/// What a part of the foreground holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Nothing,
    One(u32),
    Several,
}

/// Stands for a label in a part with several markers that is still to be flooded; no component has this number.
const FREE: u32 = u32::MAX;

/// A marker pixel beside unlabelled ones of a part with several markers.
#[derive(Clone, Copy)]
struct Seed {
    pixel: Pixel,
    part: u32,
}

/// Floods the parts (connected, numbered from 1, 0 is background) from the markers.
///
/// `levels` is best between -1 and 0; `width` is that of all rows.
pub(super) fn flood_parts(parts: &[u32], markers: &[u32], width: usize, levels: &[f64]) -> Vec<u32> {
    let holds = what_parts_hold(parts, markers);
    let mut labels: Vec<u32> = parts
        .iter()
        .zip(markers)
        .map(|(&part, &marker)| match holds[part as usize] {
            Holds::Nothing => 0,
            Holds::One(only) => only,
            Holds::Several if marker == 0 => FREE,
            Holds::Several => marker,
        })
        .collect();
    let mut seeds = seeds(parts, &labels, width, &holds);
    // By part and, to find equal ones, by level.
    let level = |seed: &Seed| levels[seed.pixel.place as usize];
    seeds.sort_unstable_by(|one, other| one.part.cmp(&other.part).then(level(one).total_cmp(&level(other))));
    if seeds.windows(2).any(|pair| pair[0].part == pair[1].part && level(&pair[0]) == level(&pair[1])) {
        let mask: Vec<bool> = parts.iter().map(|&part| part > 0).collect();
        return watershed(levels, markers, &mask, width);
    }
    let mut waiting = Queue::new();
    for part in seeds.chunk_by(|one, other| one.part == other.part) {
        for seed in part {
            waiting.push(level(seed), seed.pixel);
        }
        while let Some(pixel) = waiting.pop() {
            let label = labels[pixel.place as usize];
            for neighbour in neighbours(pixel, width, labels.len()).into_iter().flatten() {
                let place = neighbour.place as usize;
                if labels[place] == FREE {
                    labels[place] = label;
                    waiting.push(levels[place], neighbour);
                }
            }
        }
    }
    labels
}

fn what_parts_hold(parts: &[u32], markers: &[u32]) -> Vec<Holds> {
    let count = parts.iter().copied().max().unwrap_or(0) as usize + 1;
    let mut holds = vec![Holds::Nothing; count];
    for (&part, &marker) in parts.iter().zip(markers) {
        if part > 0 && marker > 0 {
            let held = &mut holds[part as usize];
            *held = match *held {
                Holds::Nothing => Holds::One(marker),
                Holds::One(other) if other == marker => Holds::One(marker),
                _ => Holds::Several,
            };
        }
    }
    holds
}

fn seeds(parts: &[u32], labels: &[u32], width: usize, holds: &[Holds]) -> Vec<Seed> {
    let mut seeds = Vec::new();
    if width == 0 {
        return seeds;
    }
    let rows = parts.chunks(width).zip(labels.chunks(width));
    for (row, (parts_in_row, labels_in_row)) in rows.enumerate() {
        for (column, (&part, &label)) in parts_in_row.iter().zip(labels_in_row).enumerate() {
            if label == 0 || label == FREE || holds[part as usize] != Holds::Several {
                continue;
            }
            let pixel = Pixel { place: (row * width + column) as u32, column: column as u32 };
            let mut around = neighbours(pixel, width, labels.len()).into_iter().flatten();
            if around.any(|neighbour| labels[neighbour.place as usize] == FREE) {
                seeds.push(Seed { pixel, part });
            }
        }
    }
    seeds
}

/// The pixels above, left, right and below, where they exist.
#[inline]
fn neighbours(pixel: Pixel, width: usize, count: usize) -> [Option<Pixel>; 4] {
    let Pixel { place, column } = pixel;
    let (width, count) = (width as u32, count as u32);
    [
        (place >= width).then(|| Pixel { place: place - width, column }),
        (column > 0).then(|| Pixel { place: place - 1, column: column - 1 }),
        (column + 1 < width).then(|| Pixel { place: place + 1, column: column + 1 }),
        (place < count - width).then(|| Pixel { place: place + width, column }),
    ]
}
