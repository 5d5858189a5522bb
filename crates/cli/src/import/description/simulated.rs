//! What simulated tissue holds.

use serde::{Deserialize, Serialize};

/// Simulated tissue with its exact nuclei.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SimulatedImport {
    /// Samples of all splits together.
    pub samples: usize,
    /// Side of a tile in pixels.
    pub size: usize,
    /// Seed of everything.
    pub seed: u64,
    /// Centres that differ in stain and background.
    pub centres: usize,
    /// Patients of each centre.
    pub patients: usize,
    /// Strength of the differences between centres and patients; 1 is the default, 0 is none.
    pub nuisance: f32,
    /// Layers to write beside the primary image: `types`, `instances`, `ihc`, `if`.
    pub layers: Vec<String>,
}

impl Default for SimulatedImport {
    fn default() -> Self {
        Self {
            samples: 1000,
            size: 64,
            seed: 0,
            centres: 4,
            patients: 8,
            nuisance: 1.0,
            layers: vec!["types".to_owned()],
        }
    }
}

impl SimulatedImport {
    /// Every fault of the values, as `(key, what is wrong)`.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if !(10..=10_000_000).contains(&self.samples) {
            faults.push(("samples", "must be 10 to 10000000".to_owned()));
        }
        if !(32..=1024).contains(&self.size) {
            faults.push(("size", "must be 32 to 1024 px".to_owned()));
        }
        if !(1..=64).contains(&self.centres) {
            faults.push(("centres", "must be 1 to 64".to_owned()));
        }
        if !(1..=10_000).contains(&self.patients) {
            faults.push(("patients", "must be 1 to 10000".to_owned()));
        }
        if !(0.0..=10.0).contains(&self.nuisance) {
            faults.push(("nuisance", "must be 0 to 10".to_owned()));
        }
        faults
    }
}
