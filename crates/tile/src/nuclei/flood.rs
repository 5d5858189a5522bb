//! The instances of [`super::watershed`], flooding only where markers compete.
//!
//! A connected part of the foreground is flooded independently of all others, and
//! one with a single marker belongs to it entirely. Only parts with several
//! markers need the landscape, and only the marker pixels at the rim of the
//! unlabelled area are ever flooded from. Where two such pixels of one part have exactly
//! the same level, the order of scikit-image's heap would matter: then the whole
//! image is flooded by the exact procedure instead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::watershed::watershed;

/// What a part of the foreground holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Nothing,
    One(u32),
    Several,
}

/// A pixel's level as an integer of the same order.
fn ordered(level: f64) -> u64 {
    let bits = level.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// Floods the parts (numbered from 1, 0 is background) from the markers.
///
/// `level_at` gives a place's level; `width` is that of all rows.
pub(super) fn flood_parts(
    parts: &[u32],
    markers: &[u32],
    width: usize,
    level_at: impl Fn(usize) -> f64,
) -> Vec<u32> {
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
    let mut contested = vec![Vec::new(); count];
    let mut labels = vec![0; parts.len()];
    for (place, (label, &part)) in labels.iter_mut().zip(parts).enumerate() {
        match holds[part as usize] {
            Holds::Nothing => {}
            Holds::One(marker) => *label = marker,
            Holds::Several => {
                *label = markers[place];
                if markers[place] > 0 && part > 0 {
                    contested[part as usize].push(place as u32);
                }
            }
        }
    }
    for seeds in contested.iter().filter(|seeds| !seeds.is_empty()) {
        if !flood_contested(seeds, parts, &mut labels, width, &level_at) {
            let levels: Vec<f64> = (0..parts.len()).map(&level_at).collect();
            let mask: Vec<bool> = parts.iter().map(|&part| part > 0).collect();
            return watershed(&levels, markers, &mask, width);
        }
    }
    labels
}

/// The places above, left, right and below that exist.
#[inline]
fn neighbours(place: usize, width: usize, count: usize) -> impl Iterator<Item = usize> {
    let column = place % width;
    [
        place.checked_sub(width),
        (column > 0).then(|| place - 1),
        (column + 1 < width).then(|| place + 1),
        (place + width < count).then_some(place + width),
    ]
    .into_iter()
    .flatten()
}

/// Floods one part; false when the order among its seeds is not decided by their levels.
fn flood_contested(
    seeds: &[u32],
    parts: &[u32],
    labels: &mut [u32],
    width: usize,
    level_at: impl Fn(usize) -> f64,
) -> bool {
    // One integer holds level, age and place, in the order of their weight.
    let entry = |place: usize, age: u32| {
        Reverse(u128::from(ordered(level_at(place))) << 64 | u128::from(age) << 32 | place as u128)
    };
    let is_free = |labels: &[u32], place: usize| parts[place] > 0 && labels[place] == 0;
    let at_rim =
        |&&seed: &&u32| neighbours(seed as usize, width, parts.len()).any(|place| is_free(labels, place));
    let mut rim: Vec<_> = seeds.iter().filter(at_rim).map(|&seed| entry(seed as usize, 0)).collect();
    rim.sort_unstable();
    if rim.windows(2).any(|pair| pair[0].0 >> 64 == pair[1].0 >> 64) {
        return false;
    }
    let mut waiting = BinaryHeap::from(rim);
    let mut age = 0;
    while let Some(Reverse(item)) = waiting.pop() {
        let place = item as u32 as usize;
        for neighbour in neighbours(place, width, parts.len()) {
            if is_free(labels, neighbour) {
                age += 1;
                labels[neighbour] = labels[place];
                waiting.push(entry(neighbour, age));
            }
        }
    }
    true
}
