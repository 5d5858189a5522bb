//! Opening with the 5×5 ellipse of `cv2.getStructuringElement(MORPH_ELLIPSE, (5, 5))`.

/// The structuring element, row by row.
pub const ELLIPSE_5: [[u8; 5]; 5] =
    [[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]];

/// Erosion, then dilation: removes what the ellipse does not fit into.
///
/// What lies outside the mask counts as set for the erosion and as unset for the
/// dilation, so the border alone neither removes nor adds anything.
pub fn open_ellipse_5(mask: &[bool], width: usize) -> Vec<bool> {
    let eroded = combined(mask, width, |all, other| all & other);
    combined(&eroded, width, |any, other| any | other)
}

/// Combines each pixel with those under the ellipse that lie inside the mask.
fn combined(mask: &[bool], width: usize, combine: impl Fn(bool, bool) -> bool) -> Vec<bool> {
    if width == 0 {
        return mask.to_vec();
    }
    let height = mask.len() / width;
    // Rows of five, needed for the three middle rows of the ellipse.
    let mut rows_of_five = mask.to_vec();
    for (line, out) in mask.chunks_exact(width).zip(rows_of_five.chunks_exact_mut(width)) {
        for distance in 1..=2.min(width - 1) {
            let shifted = width - distance;
            for (value, &right) in out[..shifted].iter_mut().zip(&line[distance..]) {
                *value = combine(*value, right);
            }
            for (value, &left) in out[distance..].iter_mut().zip(&line[..shifted]) {
                *value = combine(*value, left);
            }
        }
    }
    let mut result = rows_of_five.clone();
    for (y, out) in result.chunks_exact_mut(width).enumerate() {
        for (offset, source) in [(-2, mask), (-1, &rows_of_five[..]), (1, &rows_of_five[..]), (2, mask)] {
            let Some(row) = y.checked_add_signed(offset).filter(|&row| row < height) else { continue };
            for (value, &other) in out.iter_mut().zip(&source[row * width..(row + 1) * width]) {
                *value = combine(*value, other);
            }
        }
    }
    result
}
