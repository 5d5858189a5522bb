//! From amounts per pixel to pictures: light through stains, or fluorescence.

use counterstain_tile::Tile;
use counterstain_tile::random::Stream;

use crate::appearance::Appearance;
use crate::render::Densities;

/// Optical density of hematoxylin and DAB (Ruifrok and Johnston 2001).
const IHC_HEMATOXYLIN: [f32; 3] = [0.65, 0.704, 0.286];
const IHC_DAB: [f32; 3] = [0.268, 0.570, 0.776];

/// H&E in the appearance of a centre.
pub(crate) fn hematoxylin_eosin(
    densities: &Densities,
    appearance: &Appearance,
    stream: &mut Stream,
) -> Tile<u8> {
    let light = transmitted(densities.size, appearance.white, |at| {
        let hematoxylin =
            appearance.hematoxylin_strength * (densities.chromatin[at] + densities.basophilia[at]);
        let eosin = 0.62 * appearance.eosin_strength * densities.protein[at];
        [(hematoxylin, appearance.hematoxylin), (eosin, appearance.eosin)]
    });
    digitise(light, densities.size, appearance.blur, appearance.noise, stream)
}

/// A pale hematoxylin counterstain with DAB where the marker is.
pub(crate) fn immunohistochemistry(densities: &Densities, stream: &mut Stream) -> Tile<u8> {
    let light = transmitted(densities.size, [0.95, 0.95, 0.95], |at| {
        let marked = densities.nuclear_marker[at];
        let hematoxylin = 0.75 * densities.chromatin[at] * (1.0 - 0.6 * marked)
            + 0.3 * densities.basophilia[at]
            + 0.06 * densities.protein[at];
        let dab = 1.5 * marked + 0.05 * densities.protein[at];
        [(hematoxylin, IHC_HEMATOXYLIN), (dab, IHC_DAB)]
    });
    digitise(light, densities.size, 0.6, 0.01, stream)
}

/// Blue nuclei, green marker and dim red autofluorescence on black.
pub(crate) fn immunofluorescence(densities: &Densities, stream: &mut Stream) -> Tile<u8> {
    let mut light = Vec::with_capacity(3 * densities.size * densities.size);
    for at in 0..densities.size * densities.size {
        let marker = 0.55 * densities.nuclear_marker[at] + 0.5 * densities.cytoplasmic_marker[at];
        light.extend([
            0.015 + 0.10 * densities.protein[at],
            0.015 + 0.04 * densities.protein[at] + marker,
            0.03 + 0.55 * densities.chromatin[at],
        ]);
    }
    digitise(light, densities.size, 0.6, 0.02, stream)
}

/// Light that passes two stains (Beer-Lambert), interleaved RGB in 0..1.
fn transmitted(size: usize, white: [f32; 3], stains: impl Fn(usize) -> [(f32, [f32; 3]); 2]) -> Vec<f32> {
    let mut light = Vec::with_capacity(3 * size * size);
    for at in 0..size * size {
        let [(first, first_vector), (second, second_vector)] = stains(at);
        for channel in 0..3 {
            let density = first * first_vector[channel] + second * second_vector[channel];
            light.push(white[channel] * libm::expf(-density));
        }
    }
    light
}

/// Blurs, adds sensor noise and rounds to 8 bits.
fn digitise(light: Vec<f32>, size: usize, blur: f32, noise: f32, stream: &mut Stream) -> Tile<u8> {
    let mut light = blurred(&blurred(&light, size, blur, true), size, blur, false);
    for value in &mut light {
        // The sum of four uniform bytes is near enough to a normal number, and fast.
        let sum: u32 = stream.next_u32().to_le_bytes().map(u32::from).iter().sum();
        *value += noise * (sum as f32 - 510.0) * (1.0 / 147.8);
    }
    let tile = Tile { width: size, height: size, channels: 3, data: light };
    tile.to_bytes()
}

/// A five-tap Gaussian along one axis; the border pixels are repeated.
fn blurred(light: &[f32], size: usize, deviation: f32, along_rows: bool) -> Vec<f32> {
    let variance = (deviation * deviation).max(1e-6);
    let [near, far] = [1.0_f32, 4.0].map(|square| libm::expf(-square / (2.0 * variance)));
    let total = 1.0 + 2.0 * near + 2.0 * far;
    let taps = [far / total, near / total, 1.0 / total, near / total, far / total];
    let mut out = Vec::with_capacity(light.len());
    for row in 0..size {
        for column in 0..size {
            for channel in 0..3 {
                let mut sum = 0.0;
                for (tap, weight) in taps.iter().enumerate() {
                    let place = |position: usize| (position + tap).saturating_sub(2).min(size - 1);
                    let at = if along_rows { row * size + place(column) } else { place(row) * size + column };
                    sum += weight * light[3 * at + channel];
                }
                out.push(sum);
            }
        }
    }
    out
}
