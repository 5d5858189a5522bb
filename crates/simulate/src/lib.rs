//! A simulated tissue with known nuclei, types and stains.
//!
//! **This is a simulation, not biology.** Its pictures resemble H&E sections at a
//! glance, and nothing that is measured on them says anything about patients,
//! diseases or real stains. It exists for demonstrations that need no data and for
//! controlled experiments, because everything is known exactly: each nucleus, its
//! type, and what distinguishes the classes.
//!
//! - The **class** depends on nuclear morphology alone: class 1 ("neoplastic") holds
//!   large, irregular nuclei with clumped chromatin and nucleoli where class 0
//!   ("normal") holds small, regular ones. The area that nuclei cover, their mean
//!   stain and the arrangement of the tissue are drawn alike for both classes, so
//!   that colour statistics alone do not tell them apart.
//! - **Nuisances** shift between centres: stain vectors and strengths, white
//!   balance, sharpness, noise, fibre texture, magnification. The last centre is the
//!   odd one out, meant for testing.
//!
//! Colours follow the Beer-Lambert law with the stain vectors of Ruifrok and
//! Johnston (2001). Invariant: a sample depends only on the tissue's fields and
//! `(index, centre, patient, class)`; random numbers come from
//! [`counterstain_tile::random::Stream`], and of the platform's mathematical
//! functions only the exact ones (square root, rounding) are used.

mod appearance;
mod architecture;
mod assignment;
mod noise;
mod nucleus;
mod placement;
mod render;
mod stains;

use counterstain_tile::Tile;
use counterstain_tile::random::Stream;

pub use assignment::{Assignment, SplitSizes};
pub use nucleus::NucleusType;

/// The class names, by class number.
pub const CLASSES: [&str; 2] = ["normal", "neoplastic"];

/// Microns per pixel that the sizes stand for.
pub const MICRONS_PER_PIXEL: f64 = 0.7;

/// A family of simulated tiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Tissue {
    /// Pixels per side of a tile; nuclei keep their size, larger tiles show more of them.
    pub size: usize,
    /// Names the family: other seeds have other centres, patients and tiles.
    pub seed: u64,
    /// Number of centres, at least 1; the last one lies outside the others' range.
    pub centres: usize,
    /// Patients per centre, at least 1.
    pub patients_per_centre: usize,
    /// Strength of the differences between centres and patients (0: none, 1: the default).
    pub nuisance: f32,
}

impl Default for Tissue {
    fn default() -> Self {
        Self { size: 64, seed: 0, centres: 4, patients_per_centre: 8, nuisance: 1.0 }
    }
}

/// One simulated tile with all that is known about it; all images have the tissue's size.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// H&E, RGB.
    pub he: Tile<u8>,
    /// Nucleus types, as in the palette `nucleus-types` (0 is background).
    pub types: Tile<u32>,
    /// Nuclei numbered from 1 (0 is background).
    pub instances: Tile<u32>,
    /// Hematoxylin and DAB, RGB: strong DAB on neoplastic nuclei, weak on epithelial ones.
    pub ihc: Tile<u8>,
    /// Dark field, RGB: blue is a DAPI-like nuclear stain, green the marker, red autofluorescence.
    pub fluorescence: Tile<u8>,
    /// The class's name.
    pub label: String,
    /// The patient: tiles of one group share their appearance.
    pub group: String,
}

impl Tissue {
    /// Simulates a tile of a centre and class; the patient follows from the index.
    ///
    /// `centre` and `class` are taken modulo their number.
    pub fn sample(&self, index: u64, centre: usize, class: usize) -> Sample {
        let patient = Stream::new(self.seed, "simulate.patient-of", &[index]).below(self.patients() as u64);
        self.sample_of(&Assignment::new(index, centre, patient as usize, class))
    }

    /// Simulates the tile of an assignment (see [`Tissue::assignments`]).
    pub fn sample_of(&self, assignment: &Assignment) -> Sample {
        let centre = assignment.centre % self.centres.max(1);
        let patient = assignment.patient % self.patients();
        let class = assignment.class % CLASSES.len();
        let position = [assignment.index, centre as u64, patient as u64, class as u64];
        let stream = |purpose: &str| Stream::new(self.seed, purpose, &position);

        let appearance =
            appearance::Appearance::of(self, centre, patient, &mut stream("simulate.appearance"));
        let architecture =
            architecture::Architecture::draw(self.size, &appearance, &mut stream("simulate.architecture"));
        let nuclei =
            placement::place_nuclei(class, &architecture, &appearance, &mut stream("simulate.nuclei"));
        let densities = render::densities(&architecture, &nuclei, &appearance);
        Sample {
            he: stains::hematoxylin_eosin(&densities, &appearance, &mut stream("simulate.he")),
            ihc: stains::immunohistochemistry(&densities, &mut stream("simulate.ihc")),
            fluorescence: stains::immunofluorescence(&densities, &mut stream("simulate.fluorescence")),
            types: densities.types,
            instances: densities.instances,
            label: CLASSES[class].to_owned(),
            group: format!("centre-{centre}-patient-{patient}"),
        }
    }

    fn patients(&self) -> usize {
        self.patients_per_centre.max(1)
    }
}

#[cfg(test)]
mod tests;
