//! What is known about each nucleus of an instance map.

use std::collections::HashMap;

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

/// What one pass over the map collects about a nucleus.
struct Gathered {
    id: u32,
    bounding_box: BoundingBox,
    area: usize,
    sums: (u64, u64),
    /// Types with the number of their pixels.
    types: Vec<(u32, usize)>,
    /// Row, first column and column after the last of each stretch, row by row.
    runs: Vec<(usize, usize, usize)>,
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
    for gathered in gather(instances, types) {
        let contour = contour_of(instances, &gathered);
        if contour.len() < 3 {
            continue;
        }
        let area = gathered.area as f64;
        nuclei.push(Nucleus {
            id: gathered.id,
            area: gathered.area,
            bounding_box: gathered.bounding_box,
            centroid: (gathered.sums.0 as f64 / area, gathered.sums.1 as f64 / area),
            contour,
            kind: types.is_some().then(|| kind_of(&gathered)),
        });
    }
    Ok(nuclei)
}

/// One pass over the map; in ascending order of the numbers.
fn gather(instances: &Tile<u32>, types: Option<&Tile<u32>>) -> Vec<Gathered> {
    let mut gathered: Vec<Gathered> = Vec::new();
    let mut index_of = HashMap::<u32, usize>::new();
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
            let index = *index_of.entry(id).or_insert_with(|| {
                let bounding_box = BoundingBox { top: y, left: start, bottom: y + 1, right: end };
                let (types, runs) = (Vec::new(), Vec::new());
                gathered.push(Gathered { id, bounding_box, area: 0, sums: (0, 0), types, runs });
                gathered.len() - 1
            });
            let entry = &mut gathered[index];
            entry.bounding_box.bottom = y + 1;
            entry.bounding_box.left = entry.bounding_box.left.min(start);
            entry.bounding_box.right = entry.bounding_box.right.max(end);
            entry.area += run.len();
            entry.sums.0 += (start as u64..end as u64).sum::<u64>();
            entry.sums.1 += y as u64 * run.len() as u64;
            entry.runs.push((y, start, end));
            let Some(types) = types else { continue };
            for same in types.row(y)[start..end].chunk_by(|first, second| first == second) {
                match entry.types.iter_mut().find(|(kind, _)| *kind == same[0]) {
                    Some((_, count)) => *count += same.len(),
                    None => entry.types.push((same[0], same.len())),
                }
            }
        }
    }
    gathered.sort_unstable_by_key(|nucleus| nucleus.id);
    gathered
}

fn kind_of(gathered: &Gathered) -> NucleusKind {
    let mut frequent = gathered.types.clone();
    // Of equally frequent types the smallest comes first.
    frequent.sort_unstable_by_key(|&(kind, count)| (std::cmp::Reverse(count), kind));
    let chosen = match frequent[..] {
        [(0, _), second, ..] => second,
        [first, ..] => first,
        [] => (0, 0),
    };
    // The summand is the original's guard against an empty nucleus.
    NucleusKind { kind: chosen.0, probability: chosen.1 as f64 / (gathered.area as f64 + 1e-6) }
}

/// The outline of the nucleus' last part row by row (of several, OpenCV lists it first).
fn contour_of(instances: &Tile<u32>, nucleus: &Gathered) -> Vec<(i32, i32)> {
    let bounds = nucleus.bounding_box;
    let (left, top) = (bounds.left as i32, bounds.top as i32);
    let (right, bottom) = (bounds.right as i32, bounds.bottom as i32);
    let is_set = |x: i32, y: i32| {
        (left..right).contains(&x)
            && (top..bottom).contains(&y)
            && instances.data[y as usize * instances.width + x as usize] == nucleus.id
    };
    last_part_start(&nucleus.runs).map_or_else(Vec::new, |start| outer_contour(start, is_set))
}

/// The first pixel, row by row, of the 8-connected part that begins last.
fn last_part_start(runs: &[(usize, usize, usize)]) -> Option<(i32, i32)> {
    // Each run points to an earlier run of its part; the first one to itself.
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    fn root(parents: &[usize], mut run: usize) -> usize {
        while parents[run] != run {
            run = parents[run];
        }
        run
    }
    let mut above = 0;
    for (number, &(row, start, end)) in runs.iter().enumerate() {
        while runs[above].0 + 1 < row {
            above += 1;
        }
        for (other, &(other_row, other_start, other_end)) in runs.iter().enumerate().skip(above) {
            if other_row >= row {
                break;
            }
            // Diagonal neighbours touch.
            if other_start <= end && other_end >= start {
                let (first, second) = (root(&parents, number), root(&parents, other));
                parents[first.max(second)] = first.min(second);
            }
        }
    }
    let last = (0..runs.len()).rev().find(|&run| parents[run] == run)?;
    Some((runs[last].1 as i32, runs[last].0 as i32))
}
