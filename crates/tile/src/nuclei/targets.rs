//! The maps that HoVer-Net is trained on, from an instance map.
//!
//! As the authors' `models/hovernet/targets.py`, including that the zero of a
//! distance map lies one pixel left of (above) the rounded centre of mass.

use std::collections::BTreeMap;

use super::components::label_components;
use crate::error::Error;
use crate::tile::Tile;

/// Objects with fewer pixels than this inside the crop have no distances.
const SMALLEST: usize = 30;

/// The training targets of one crop.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// Two channels, horizontal and vertical distance to the centre, -1..1; 0 outside nuclei.
    pub distances: Tile<f32>,
    /// 1 in nuclei, else 0.
    pub foreground: Tile<u32>,
}

/// The targets of the centre `width` × `height` of an instance map.
///
/// Parts of one number that do not touch (mirrored borders) count as nuclei of
/// their own. Fails when the map has several channels or is smaller than the crop.
pub fn targets(instances: &Tile<u32>, width: usize, height: usize) -> Result<Targets, Error> {
    if instances.channels != 1 {
        return Err(Error::WrongChannels {
            what: "the instance map",
            expected: "1",
            found: instances.channels,
        });
    }
    if width > instances.width || height > instances.height {
        return Err(Error::OutsideImage {
            left: 0,
            top: 0,
            width,
            height,
            image_width: instances.width,
            image_height: instances.height,
        });
    }
    let (left, top) = ((instances.width - width) / 2, (instances.height - height) / 2);
    let foreground = instances.crop(left, top, width, height)?.map(|number| u32::from(number > 0));
    let mut distances = Tile::filled(width, height, 2, 0.0);
    for part in parts(instances) {
        let inside = |&&(x, y): &&(usize, usize)| {
            (left..left + width).contains(&x) && (top..top + height).contains(&y)
        };
        if part.iter().filter(inside).count() < SMALLEST {
            continue;
        }
        // Distances are those of the whole part, also where the crop cuts it.
        let horizontal = distances_along(&part.iter().map(|&(x, _)| x).collect::<Vec<_>>());
        let vertical = distances_along(&part.iter().map(|&(_, y)| y).collect::<Vec<_>>());
        for ((place, &x_distance), &y_distance) in part.iter().zip(&horizontal).zip(&vertical) {
            if inside(&place) {
                let pixel = distances.pixel_mut(place.0 - left, place.1 - top);
                pixel.copy_from_slice(&[x_distance, y_distance]);
            }
        }
    }
    Ok(Targets { distances, foreground })
}

/// The pixels (x, y) of each connected part of equal numbers.
fn parts(instances: &Tile<u32>) -> Vec<Vec<(usize, usize)>> {
    let width = instances.width;
    let mut by_number = BTreeMap::<u32, Vec<usize>>::new();
    for (place, &number) in instances.data.iter().enumerate().filter(|(_, number)| **number > 0) {
        by_number.entry(number).or_default().push(place);
    }
    let mut parts = Vec::new();
    for places in by_number.into_values() {
        // Components are searched inside the number's box only.
        let columns = || places.iter().map(|place| place % width);
        let (Some(left), Some(right)) = (columns().min(), columns().max()) else { continue };
        let top = places[0] / width;
        let bottom = places[places.len() - 1] / width;
        let box_width = right - left + 1;
        let mut mask = vec![false; box_width * (bottom - top + 1)];
        let inside = |place: usize| (place / width - top) * box_width + (place % width - left);
        places.iter().for_each(|&place| mask[inside(place)] = true);
        let labels = label_components(&mask, box_width);
        let count = labels.iter().copied().max().unwrap_or(0) as usize;
        let mut found = vec![Vec::new(); count];
        for &place in &places {
            found[labels[inside(place)] as usize - 1].push((place % width, place / width));
        }
        parts.append(&mut found);
    }
    parts
}

/// Distances along one axis, scaled to -1..1 on either side of the zero.
fn distances_along(positions: &[usize]) -> Vec<f32> {
    let Some(&first) = positions.iter().min() else { return Vec::new() };
    // The original counts from two pixels before the box, and its axis from 1.
    let local = |position: usize| (position - first + 2) as f64;
    let mean = positions.iter().map(|&position| local(position)).sum::<f64>() / positions.len() as f64;
    let centre = (mean + 0.5).floor();
    let raw: Vec<f32> = positions.iter().map(|&position| (local(position) + 1.0 - centre) as f32).collect();
    let (lowest, highest) = raw.iter().fold((0.0_f32, 0.0_f32), |(low, high), &v| (low.min(v), high.max(v)));
    raw.into_iter()
        .map(|value| {
            if value < 0.0 {
                value / -lowest
            } else if value > 0.0 {
                value / highest
            } else {
                0.0
            }
        })
        .collect()
}
