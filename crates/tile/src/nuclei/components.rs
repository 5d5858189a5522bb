//! Connected components of masks (4-neighbours), as `scipy.ndimage` numbers them.

/// Numbers the components of a mask from 1 in the order of their first pixel, row by row.
///
/// `mask` has `width` values per row; a last row that is incomplete is ignored.
pub fn label_components(mask: &[bool], width: usize) -> Vec<u32> {
    let mut labels = vec![0_u32; mask.len()];
    if width == 0 {
        return labels;
    }
    // Parents of provisional numbers; a root is the smallest of its component.
    let mut parents: Vec<u32> = vec![0];
    for (row, line) in mask.chunks_exact(width).enumerate() {
        let start = row * width;
        let mut left = 0;
        for (column, &set) in line.iter().enumerate() {
            if !set {
                left = 0;
                continue;
            }
            let above = if row > 0 { labels[start + column - width] } else { 0 };
            left = match (left, above) {
                (0, 0) => {
                    let new = parents.len() as u32;
                    parents.push(new);
                    new
                }
                (label, 0) | (0, label) => label,
                (label, other) if label == other => label,
                (first, second) => join(&mut parents, first, second),
            };
            labels[start + column] = left;
        }
    }
    // Roots come before their members, so one pass gives the final numbers.
    let mut next = 0;
    for number in 1..parents.len() {
        let parent = parents[number] as usize;
        parents[number] = if parent == number {
            next += 1;
            next
        } else {
            parents[parent]
        };
    }
    for label in &mut labels {
        *label = parents[*label as usize];
    }
    labels
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

/// Sets the components of fewer than `smallest` pixels to 0; the others keep their numbers.
pub fn remove_small(labels: &mut [u32], smallest: usize) {
    let largest = labels.iter().copied().max().unwrap_or(0) as usize;
    // Numbers that are no running numbers would need too large a table.
    if largest <= 2 * labels.len() {
        let mut sizes = vec![0_usize; largest + 1];
        for &label in labels.iter() {
            sizes[label as usize] += 1;
        }
        for label in labels.iter_mut().filter(|label| sizes[**label as usize] < smallest) {
            *label = 0;
        }
    } else {
        let mut sizes = std::collections::HashMap::<u32, usize>::new();
        for &label in labels.iter() {
            *sizes.entry(label).or_default() += 1;
        }
        for label in labels.iter_mut().filter(|label| sizes.get(label).is_some_and(|&size| size < smallest)) {
            *label = 0;
        }
    }
}

/// Sets what the mask encloses: the parts of its complement that do not reach the border.
pub fn fill_holes(mask: &mut [bool], width: usize) {
    if width == 0 || mask.is_empty() {
        return;
    }
    let outside: Vec<bool> = mask.iter().map(|&set| !set).collect();
    let labels = label_components(&outside, width);
    let largest = labels.iter().copied().max().unwrap_or(0) as usize;
    let mut reaches_border = vec![false; largest + 1];
    let rows = labels.chunks_exact(width);
    let height = rows.len();
    for (row, line) in rows.enumerate() {
        if row == 0 || row + 1 == height {
            line.iter().for_each(|&label| reaches_border[label as usize] = true);
        } else {
            reaches_border[line[0] as usize] = true;
            reaches_border[line[width - 1] as usize] = true;
        }
    }
    for (set, &label) in mask.iter_mut().zip(&labels) {
        *set |= label > 0 && !reaches_border[label as usize];
    }
}
