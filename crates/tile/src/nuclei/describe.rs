//! What is known about each nucleus of an instance map.

use std::collections::BTreeMap;

use super::contour::outer_contour;
use crate::error::Error;
use crate::tile::Tile;

/// A box in pixels; bottom and right are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundingBox {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Row after the last.
    pub bottom: usize,
    /// Column after the last.
    pub right: usize,
}

/// The type of a nucleus and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NucleusKind {
    /// The type; 0 (background) only where no pixel has another.
    pub kind: u32,
    /// Share of the nucleus' pixels of that type.
    pub probability: f64,
}

/// One nucleus.
#[derive(Debug, Clone, PartialEq)]
pub struct Nucleus {
    /// Its number in the instance map.
    pub id: u32,
    /// Number of its pixels.
    pub area: usize,
    /// Its box.
    pub bounding_box: BoundingBox,
    /// Mean x and y of its pixels.
    pub centroid: (f64, f64),
    /// Corners of its outline (x, y), counter-clockwise.
    pub contour: Vec<(i32, i32)>,
    /// Its type, where types were given.
    pub kind: Option<NucleusKind>,
}

#[derive(Clone)]
struct Gathered {
    bounding_box: BoundingBox,
    area: usize,
    sums: (u64, u64),
    types: BTreeMap<u32, usize>,
}

/// Describes the nuclei of an instance map in ascending order of their numbers.
///
/// The type is the most frequent one of the nucleus' pixels (the smallest of
/// equally frequent ones); where that is background, the second most frequent.
/// Nuclei whose outline has fewer than three corners are left out, as in the
/// original. Fails when the maps have several channels or differ in size.
pub fn describe(instances: &Tile<u32>, types: Option<&Tile<u32>>) -> Result<Vec<Nucleus>, Error> {
    for (what, map) in [("the instance map", Some(instances)), ("the type map", types)] {
        let Some(map) = map else { continue };
        if map.channels != 1 {
            return Err(Error::WrongChannels { what, expected: "1", found: map.channels });
        }
        if (map.width, map.height) != (instances.width, instances.height) {
            return Err(Error::SizesDiffer {
                what,
                first_width: map.width,
                first_height: map.height,
                second_width: instances.width,
                second_height: instances.height,
            });
        }
    }
    let mut nuclei = Vec::new();
    for (id, gathered) in gather(instances, types) {
        let contour = contour_of(instances, id, gathered.bounding_box);
        if contour.len() < 3 {
            continue;
        }
        let area = gathered.area as f64;
        nuclei.push(Nucleus {
            id,
            area: gathered.area,
            bounding_box: gathered.bounding_box,
            centroid: (gathered.sums.0 as f64 / area, gathered.sums.1 as f64 / area),
            contour,
            kind: types.is_some().then(|| kind_of(&gathered)),
        });
    }
    Ok(nuclei)
}

/// One pass over the map.
fn gather(instances: &Tile<u32>, types: Option<&Tile<u32>>) -> BTreeMap<u32, Gathered> {
    let mut gathered = BTreeMap::<u32, Gathered>::new();
    for y in 0..instances.height {
        let mut x = 0;
        let row = instances.row(y);
        // Runs of one nucleus are looked up once.
        for run in row.chunk_by(|first, second| first == second) {
            let (start, end) = (x, x + run.len());
            x = end;
            let id = run[0];
            if id == 0 {
                continue;
            }
            let entry = gathered.entry(id).or_insert_with(|| Gathered {
                bounding_box: BoundingBox { top: y, left: start, bottom: y + 1, right: end },
                area: 0,
                sums: (0, 0),
                types: BTreeMap::new(),
            });
            entry.bounding_box.bottom = y + 1;
            entry.bounding_box.left = entry.bounding_box.left.min(start);
            entry.bounding_box.right = entry.bounding_box.right.max(end);
            entry.area += run.len();
            entry.sums.0 += (start as u64..end as u64).sum::<u64>();
            entry.sums.1 += y as u64 * run.len() as u64;
            if let Some(types) = types {
                for same in types.row(y)[start..end].chunk_by(|first, second| first == second) {
                    *entry.types.entry(same[0]).or_default() += same.len();
                }
            }
        }
    }
    gathered
}

fn kind_of(gathered: &Gathered) -> NucleusKind {
    let mut frequent: Vec<(u32, usize)> =
        gathered.types.iter().map(|(&kind, &count)| (kind, count)).collect();
    // Stable, so that of equally frequent types the smallest comes first.
    frequent.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let chosen = match frequent[..] {
        [(0, _), second, ..] => second,
        [first, ..] => first,
        [] => (0, 0),
    };
    // The summand is the original's guard against an empty nucleus.
    NucleusKind { kind: chosen.0, probability: chosen.1 as f64 / (gathered.area as f64 + 1e-6) }
}

/// The outline of the nucleus' last part row by row (of several, OpenCV lists it first).
fn contour_of(instances: &Tile<u32>, id: u32, bounds: BoundingBox) -> Vec<(i32, i32)> {
    let (left, top) = (bounds.left as i32, bounds.top as i32);
    let (right, bottom) = (bounds.right as i32, bounds.bottom as i32);
    let is_set = |x: i32, y: i32| {
        (left..right).contains(&x)
            && (top..bottom).contains(&y)
            && instances.data[y as usize * instances.width + x as usize] == id
    };
    let start = last_part_start(bounds, &is_set);
    start.map_or_else(Vec::new, |start| outer_contour(start, is_set))
}

/// The first pixel, row by row, of the 8-connected part that begins last.
fn last_part_start(bounds: BoundingBox, is_set: &impl Fn(i32, i32) -> bool) -> Option<(i32, i32)> {
    let (width, height) = (bounds.right - bounds.left, bounds.bottom - bounds.top);
    let mut seen = vec![false; width * height];
    let mut start = None;
    let mut stack = Vec::new();
    for y in bounds.top..bounds.bottom {
        for x in bounds.left..bounds.right {
            let place = (y - bounds.top) * width + (x - bounds.left);
            if seen[place] || !is_set(x as i32, y as i32) {
                continue;
            }
            start = Some((x as i32, y as i32));
            seen[place] = true;
            stack.push((x as i32, y as i32));
            while let Some((from_x, from_y)) = stack.pop() {
                for (dx, dy) in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)] {
                    let (x, y) = (from_x + dx, from_y + dy);
                    if !is_set(x, y) {
                        continue;
                    }
                    let place = (y as usize - bounds.top) * width + (x as usize - bounds.left);
                    if !seen[place] {
                        seen[place] = true;
                        stack.push((x, y));
                    }
                }
            }
        }
    }
    start
}
