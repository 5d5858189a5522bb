//! Which tiles a simulated dataset holds: splits, centres, patients and classes.

use counterstain_tile::random::Stream;

use crate::{CLASSES, Tissue};

/// What decides one tile, apart from the tissue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Number of the tile in the dataset.
    pub index: u64,
    /// Centre, below [`Tissue::centres`].
    pub centre: usize,
    /// Patient of that centre, below [`Tissue::patients_per_centre`].
    pub patient: usize,
    /// Class, an index of [`CLASSES`].
    pub class: usize,
    /// `"train"`, `"valid"` or `"test"`.
    pub split: &'static str,
}

impl Assignment {
    /// A training tile.
    pub fn new(index: u64, centre: usize, patient: usize, class: usize) -> Self {
        Self { index, centre, patient, class, split: "train" }
    }
}

/// How many tiles each split has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SplitSizes {
    /// From all centres but the last.
    pub train: usize,
    /// From the same centres, other patients.
    pub valid: usize,
    /// From the last centre.
    pub test: usize,
}

impl Tissue {
    /// Spreads the splits over centres, patients and classes; classes are balanced.
    ///
    /// With several centres the last one is held back for the test split. With
    /// several patients per centre the last quarter of them (at least one) is held
    /// back for validation. With one centre or one patient these overlap.
    pub fn assignments(&self, sizes: SplitSizes) -> Vec<Assignment> {
        let centres = self.centres.max(1);
        let patients = self.patients_per_centre.max(1);
        let training_centres = centres.saturating_sub(1).max(1);
        let held_back = if patients > 1 { (patients / 4).max(1) } else { 0 };
        let mut assignments = Vec::with_capacity(sizes.train + sizes.valid + sizes.test);
        let mut assign =
            |split: &'static str, count: usize, centres: (usize, usize), patients: (usize, usize)| {
                for position in 0..count {
                    let index = assignments.len() as u64;
                    let mut stream = Stream::new(self.seed, "simulate.assignment", &[index]);
                    assignments.push(Assignment {
                        index,
                        centre: centres.0 + stream.below((centres.1 - centres.0) as u64) as usize,
                        patient: patients.0 + stream.below((patients.1 - patients.0) as u64) as usize,
                        class: position % CLASSES.len(),
                        split,
                    });
                }
            };
        assign("train", sizes.train, (0, training_centres), (0, patients - held_back));
        let valid_patients = if held_back > 0 { (patients - held_back, patients) } else { (0, patients) };
        assign("valid", sizes.valid, (0, training_centres), valid_patients);
        assign("test", sizes.test, (centres - 1, centres), (0, patients));
        assignments
    }
}
