//! Mirroring and rotation.

use crate::tile::Tile;

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
    let mut out = data.chunks_exact_mut(channels);
    for y in 0..tile.height {
        for x in 0..tile.width {
            let from_x = (cosine * x as f32 - sine * y as f32 + offset_x).round();
            let from_y = (sine * x as f32 + cosine * y as f32 + offset_y).round();
            let Some(pixel) = out.next() else { break };
            if from_x >= 0.0 && from_x <= right && from_y >= 0.0 && from_y <= bottom {
                pixel.copy_from_slice(tile.pixel(from_x as usize, from_y as usize));
            }
        }
    }
    Tile { data, ..*tile }
}
