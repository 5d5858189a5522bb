//! Connected components of masks (4-neighbours), as `scipy.ndimage` numbers them.
//!
//! Masks are worked on as runs: the stretches of set pixels in a row.

/// A stretch of set pixels in one row; `end` is exclusive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) row: u32,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The component's number, from 1.
    pub(super) number: u32,
}

impl Run {
    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Its places in a map of that width.
    pub(super) fn places(&self, width: usize) -> std::ops::Range<usize> {
        let row = self.row as usize * width;
        row + self.start as usize..row + self.end as usize
    }
}

/// The runs of a mask in row order, numbered by component, and the number of components.
///
/// Components are numbered from 1 in the order of their first pixel.
pub(super) fn label_runs(mask: &[bool], width: usize) -> (Vec<Run>, usize) {
    let mut runs: Vec<Run> = Vec::new();
    if width == 0 {
        return (runs, 0);
    }
    // Parents of provisional numbers; a root is the smallest of its component.
    let mut parents: Vec<u32> = vec![0];
    let mut above = 0..0;
    for (row, line) in mask.chunks_exact(width).enumerate() {
        let line_start = runs.len();
        let mut column = 0;
        while let Some(offset) = line[column..].iter().position(|&set| set) {
            let start = column + offset;
            let end = line[start..].iter().position(|&set| !set).map_or(width, |length| start + length);
            column = end;
            // Runs of the row above that end before this one begins are done with.
            while above.start < above.end && runs[above.start].end as usize <= start {
                above.start += 1;
            }
            let mut number = 0;
            for touching in above.clone() {
                let other = runs[touching];
                if other.start as usize >= end {
                    break;
                }
                number = if number == 0 { other.number } else { join(&mut parents, number, other.number) };
            }
            if number == 0 {
                number = parents.len() as u32;
                parents.push(number);
            }
            runs.push(Run { row: row as u32, start: start as u32, end: end as u32, number });
        }
        above = line_start..runs.len();
    }
    // Roots come before their members, so one pass gives the final numbers.
    let mut count = 0;
    for number in 1..parents.len() {
        let parent = parents[number] as usize;
        parents[number] = if parent == number {
            count += 1;
            count
        } else {
            parents[parent]
        };
    }
    for run in &mut runs {
        run.number = parents[run.number as usize];
    }
    (runs, count as usize)
}

fn root(parents: &mut [u32], mut number: u32) -> u32 {
    while parents[number as usize] != number {
        parents[number as usize] = parents[parents[number as usize] as usize];
        number = parents[number as usize];
    }
    number
}

fn join(parents: &mut [u32], first: u32, second: u32) -> u32 {
    let (first, second) = (root(parents, first), root(parents, second));
    let (low, high) = (first.min(second), first.max(second));
    parents[high as usize] = low;
    low
}

/// Numbers the components of a mask from 1 in the order of their first pixel, row by row.
///
/// `mask` has `width` values per row; a last row that is incomplete is ignored.
pub fn label_components(mask: &[bool], width: usize) -> Vec<u32> {
    let (runs, _) = label_runs(mask, width);
    paint(&runs, mask.len(), width, |run| run.number)
}

/// As [`label_components`], without the components of fewer than `smallest` pixels;
/// the others keep their numbers.
pub(super) fn label_large_components(mask: &[bool], width: usize, smallest: usize) -> Vec<u32> {
    let (runs, count) = label_runs(mask, width);
    let mut sizes = vec![0; count + 1];
    for run in &runs {
        sizes[run.number as usize] += run.len();
    }
    paint(&runs, mask.len(), width, |run| if sizes[run.number as usize] < smallest { 0 } else { run.number })
}

fn paint(runs: &[Run], length: usize, width: usize, value: impl Fn(&Run) -> u32) -> Vec<u32> {
    let mut labels = vec![0; length];
    for run in runs {
        labels[run.places(width)].fill(value(run));
    }
    labels
}

/// Sets what the mask encloses: the parts of its complement that do not reach the border.
pub fn fill_holes(mask: &mut [bool], width: usize) {
    let outside: Vec<bool> = mask.iter().map(|&set| !set).collect();
    let (runs, count) = label_runs(&outside, width);
    let height = mask.len().checked_div(width).unwrap_or(0);
    let mut reaches_border = vec![false; count + 1];
    for run in &runs {
        let at_border =
            run.row == 0 || run.row as usize + 1 == height || run.start == 0 || run.end as usize == width;
        reaches_border[run.number as usize] |= at_border;
    }
    for run in runs.iter().filter(|run| !reaches_border[run.number as usize]) {
        mask[run.places(width)].fill(true);
    }
}
