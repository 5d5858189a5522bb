//! How a centre's and a patient's tiles look: the nuisances.

use counterstain_tile::random::Stream;

use crate::Tissue;

/// Everything about colour, optics and background that says nothing about the class.
#[derive(Debug, Clone)]
pub(crate) struct Appearance {
    /// Optical density per channel (unit length).
    pub(crate) hematoxylin: [f32; 3],
    /// Optical density per channel (unit length).
    pub(crate) eosin: [f32; 3],
    /// Factor on the amount of hematoxylin.
    pub(crate) hematoxylin_strength: f32,
    /// Factor on the amount of eosin.
    pub(crate) eosin_strength: f32,
    /// Light that passes the empty slide, 0..1.
    pub(crate) white: [f32; 3],
    /// Standard deviation of the point spread in pixels.
    pub(crate) blur: f32,
    /// Standard deviation of the sensor noise, 0..1.
    pub(crate) noise: f32,
    /// Factor on all sizes in pixels.
    pub(crate) magnification: f32,
    /// Width of a fibre in pixels.
    pub(crate) fibre_width: f32,
    /// How loosely the fibres lie: share of clefts.
    pub(crate) looseness: f32,
}

/// Draws offsets in -1..1 for a training centre and beyond that for the odd one.
struct Offsets {
    stream: Stream,
    odd: bool,
    strength: f32,
}

impl Offsets {
    fn next(&mut self) -> f32 {
        let offset = self.stream.uniform(-1.0, 1.0);
        let offset = if self.odd { offset.signum() * (1.0 + 0.6 * offset.abs()) } else { offset };
        offset * self.strength
    }
}

impl Appearance {
    /// The appearance of a tile: its centre's, moved a little by the patient and less by the tile.
    pub(crate) fn of(tissue: &Tissue, centre: usize, patient: usize, tile: &mut Stream) -> Self {
        let odd = tissue.centres > 1 && centre + 1 == tissue.centres;
        let strength = tissue.nuisance.max(0.0);
        let of_centre = Stream::new(tissue.seed, "simulate.centre", &[centre as u64]);
        let of_patient = Stream::new(tissue.seed, "simulate.patient", &[centre as u64, patient as u64]);
        let mut levels = [
            Offsets { stream: of_centre, odd, strength },
            Offsets { stream: of_patient, odd: false, strength: 0.35 * strength },
            Offsets { stream: tile.clone(), odd: false, strength: 0.25 * strength },
        ];
        let mut offset = || levels.iter_mut().map(Offsets::next).sum::<f32>();
        let mut stain = |base: [f32; 3], spread: [f32; 3]| {
            let moved: [f32; 3] =
                std::array::from_fn(|channel| (base[channel] + spread[channel] * offset()).max(0.01));
            let length = moved.iter().map(|value| value * value).sum::<f32>().sqrt();
            moved.map(|value| value / length)
        };
        let hematoxylin = stain([0.644, 0.717, 0.267], [0.09, 0.05, 0.08]);
        let eosin = stain([0.093, 0.954, 0.283], [0.05, 0.05, 0.10]);
        let factor = |offset: f32, spread: f32| libm::expf(spread * offset);
        Self {
            hematoxylin,
            eosin,
            hematoxylin_strength: factor(offset(), 0.24),
            eosin_strength: factor(offset(), 0.30),
            white: std::array::from_fn(|_| (0.945 + 0.035 * offset()).clamp(0.8, 1.0)),
            blur: 0.65 * factor(offset(), 0.35),
            noise: 0.012 * factor(offset(), 0.4),
            magnification: factor(offset(), 0.05),
            fibre_width: 3.6 * factor(offset(), 0.3),
            looseness: (0.22 + 0.12 * offset()).clamp(0.02, 0.6),
        }
    }
}
