//! Mirroring and rotation.

use crate::tile::Tile;
use crate::vectorised::vectorised;

/// Exchanges left and right.
pub fn flip_left_right<T: Copy>(tile: &Tile<T>) -> Tile<T> {
    let mut data = Vec::with_capacity(tile.data.len());
    for y in 0..tile.height {
        for x in (0..tile.width).rev() {
            data.extend_from_slice(tile.pixel(x, y));
        }
    }
    Tile { data, ..*tile }
}

/// Exchanges top and bottom.
pub fn flip_up_down<T: Copy>(tile: &Tile<T>) -> Tile<T> {
    let mut data = Vec::with_capacity(tile.data.len());
    for y in (0..tile.height).rev() {
        data.extend_from_slice(tile.row(y));
    }
    Tile { data, ..*tile }
}

/// Rotates counter-clockwise about the centre, nearest pixel, zeros outside.
///
/// `angle` in radians; as TensorFlow Addons' `tfa.image.rotate`. An angle that is
/// not finite gives zeros everywhere.
pub fn rotate(tile: &Tile<f32>, angle: f32) -> Tile<f32> {
    let mut data = vec![0.0; tile.data.len()];
    if tile.is_empty() {
        return Tile { data, ..*tile };
    }
    // The pure-Rust libm keeps views the same under every C library.
    let (sine, cosine) = (libm::sinf(angle), libm::cosf(angle));
    let (right, bottom) = ((tile.width - 1) as f32, (tile.height - 1) as f32);
    let offset_x = (right - (cosine * right - sine * bottom)) / 2.0;
    let offset_y = (bottom - (sine * right + cosine * bottom)) / 2.0;
    let channels = tile.channels;
    // Places of the source pixels of one row; the number of pixels stands for none.
    let mut places = vec![0_u32; tile.width];
    for (y, row) in data.chunks_exact_mut(tile.width * channels).enumerate() {
        vectorised(
            #[inline(always)]
            || {
                let none = tile.pixels() as u32;
                let width = tile.width as i32;
                for (x, place) in places.iter_mut().enumerate() {
                    let from_x = (cosine * x as f32 - sine * y as f32 + offset_x).round();
                    let from_y = (sine * x as f32 + cosine * y as f32 + offset_y).round();
                    let inside = (from_x >= 0.0) & (from_x <= right) & (from_y >= 0.0) & (from_y <= bottom);
                    let found = (from_y as i32).wrapping_mul(width).wrapping_add(from_x as i32);
                    *place = if inside { found as u32 } else { none };
                }
            },
        );
        for (pixel, &place) in row.chunks_exact_mut(channels).zip(&places) {
            let start = place as usize * channels;
            if let Some(source) = tile.data.get(start..start + channels) {
                pixel.copy_from_slice(source);
            }
        }
    }
    Tile { data, ..*tile }
}
