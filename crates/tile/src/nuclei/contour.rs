//! The outline of a component as a polygon, as OpenCV's `findContours` gives it.

/// The steps of a chain code in the order east, north-east, north, … (y points down).
const STEPS: [(i32, i32); 8] = [(1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1)];

/// Follows the outer border of the component that `start` (x, y) belongs to.
///
/// `start` must be set and have nothing set on its left, as the first pixel of a
/// component row by row. Corners only (`CHAIN_APPROX_SIMPLE`), counter-clockwise
/// on the screen, 8-connected (Suzuki and Abe, CVGIP 30:32, 1985). A single pixel
/// gives one point.
pub fn outer_contour(start: (i32, i32), is_set: impl Fn(i32, i32) -> bool) -> Vec<(i32, i32)> {
    let neighbour = |(x, y): (i32, i32), code: usize| (x + STEPS[code & 7].0, y + STEPS[code & 7].1);
    let set = |(x, y): (i32, i32)| is_set(x, y);
    // Clockwise from the west for the first neighbour.
    let Some(first_code) = (1..8).map(|turn| (4 + 8 - turn) & 7).find(|&code| set(neighbour(start, code)))
    else {
        return vec![start];
    };
    let last = neighbour(start, first_code);
    let mut contour = Vec::new();
    let mut previous_code = first_code ^ 4;
    let (mut point, mut code) = (start, first_code);
    loop {
        // Counter-clockwise from the neighbour that the walk came from.
        let next_code = (1..=8).map(|turn| (code + turn) & 7).find(|&code| set(neighbour(point, code)));
        let Some(next_code) = next_code else { return contour };
        if next_code != previous_code {
            contour.push(point);
            previous_code = next_code;
        }
        let next = neighbour(point, next_code);
        if next == start && point == last {
            return contour;
        }
        point = next;
        code = (next_code + 4) & 7;
    }
}
