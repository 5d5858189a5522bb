//! Hematoxylin, eosin and DAB by fixed stain vectors.
//!
//! Ruifrok and Johnston, "Quantification of histochemical staining by color
//! deconvolution", Anal Quant Cytol Histol 23:291, 2001; with the scaling of
//! scikit-image's `rgb2hed` and `hed2rgb`.

use super::{Matrix3, inverse, require_rgb, row_times};
use crate::error::Error;
use crate::tile::Tile;

/// Rows: the optical density of hematoxylin, eosin and DAB in red, green and blue.
pub const RGB_FROM_HED: Matrix3 = [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]];

/// Light below this is taken as this.
const DARKEST: f64 = 1e-6;

/// The inverse of [`RGB_FROM_HED`].
pub fn hed_from_rgb() -> Matrix3 {
    inverse(&RGB_FROM_HED)
}

/// Amounts of hematoxylin, eosin and DAB per pixel, clipped at 0 from below (white: 0).
///
/// Fails unless the tile has three channels.
pub fn rgb_to_hed(tile: &Tile<u8>) -> Result<Tile<f64>, Error> {
    require_rgb(tile, "stain separation")?;
    let separate = hed_from_rgb();
    // Eight bits have 256 optical densities.
    let darkest = libm::log(DARKEST);
    let density: Vec<f64> =
        (0..=255).map(|value| libm::log((f64::from(value) / 255.0).max(DARKEST)) / darkest).collect();
    let mut data = Vec::with_capacity(tile.data.len());
    for pixel in tile.data.chunks_exact(3) {
        let densities = std::array::from_fn(|channel| density[usize::from(pixel[channel])]);
        data.extend(row_times(densities, &separate).map(|stain| stain.max(0.0)));
    }
    Tile::new(tile.width, tile.height, 3, data)
}

/// The colours (0..1) of amounts as [`rgb_to_hed`] gives them.
///
/// Fails unless the tile has three channels.
pub fn hed_to_rgb(stains: &Tile<f64>) -> Result<Tile<f64>, Error> {
    require_rgb(stains, "stain combination")?;
    let darkest = libm::log(DARKEST);
    let mut data = Vec::with_capacity(stains.data.len());
    for pixel in stains.data.chunks_exact(3) {
        let scaled = std::array::from_fn(|stain| pixel[stain] * darkest);
        data.extend(row_times(scaled, &RGB_FROM_HED).map(|light| libm::exp(light).clamp(0.0, 1.0)));
    }
    Tile::new(stains.width, stains.height, 3, data)
}
