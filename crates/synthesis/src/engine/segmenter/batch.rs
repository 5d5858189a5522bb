//! Patches with their targets, collected on any thread and turned into tensors at once.

use super::loss::HoverNetTargets;
use crate::engine::error::Error;
use crate::engine::images::ImageBatch;
use counterstain_tile::augment::Annotated;
use counterstain_tile::nuclei::targets::targets;
use tch::{Device, Tensor};

/// The patches of one step.
#[derive(Debug)]
pub struct PatchBatch {
    images: ImageBatch,
    output: usize,
    foreground: Vec<i64>,
    distances: Vec<f32>,
    types: Option<Vec<i64>>,
}

/// A patch whose targets are known.
#[derive(Debug)]
pub struct Prepared {
    patch: Annotated,
    foreground: Vec<i64>,
    distances: Vec<f32>,
    types: Option<Vec<i64>>,
}

impl Prepared {
    /// Computes the targets of a patch for maps of `output` px.
    ///
    /// # Errors
    /// When the patch is smaller than its maps.
    pub fn new(patch: Annotated, output: usize) -> Result<Self, counterstain_tile::Error> {
        let found = targets(&patch.instances, output, output)?;
        let types = match &patch.types {
            None => None,
            Some(types) => {
                let (left, top) = ((types.width - output) / 2, (types.height - output) / 2);
                let centre = types.crop(left, top, output, output)?;
                Some(centre.data.into_iter().map(i64::from).collect())
            }
        };
        let foreground = found.foreground.data.into_iter().map(i64::from).collect();
        Ok(Self { foreground, distances: found.distances.data, types, patch })
    }
}

impl PatchBatch {
    /// Joins patches of one size.
    ///
    /// # Errors
    /// When they differ in size, or some have types and others none.
    pub fn of(side: usize, output: usize, patches: Vec<Prepared>) -> Result<Self, Error> {
        let typed = patches.first().is_some_and(|patch| patch.types.is_some());
        let mut batch = Self {
            images: ImageBatch::new(side, side, 3),
            output,
            foreground: Vec::new(),
            distances: Vec::new(),
            types: typed.then(Vec::new),
        };
        for Prepared { patch, foreground, distances, types } in patches {
            batch.images.push(&patch.image, false, false)?;
            batch.foreground.extend(foreground);
            batch.distances.extend(distances);
            match (&mut batch.types, types) {
                (Some(all), Some(types)) => all.extend(types),
                (None, None) => {}
                _ => return Err(Error::Unfit("some patches have types and others none".to_owned())),
            }
        }
        Ok(batch)
    }

    /// Number of patches.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// True without patches.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Whether a pixel of the targets belongs to a nucleus.
    pub fn has_nuclei(&self) -> bool {
        self.foreground.contains(&1)
    }

    /// Images `[N, 3, H, W]` in 0..255, f32.
    ///
    /// # Errors
    /// libtorch's, when memory is short.
    pub fn images(&self, device: Device) -> Result<Tensor, Error> {
        self.images.to_bytes_tensor(device)
    }

    /// Targets for the loss.
    ///
    /// # Errors
    /// libtorch's, when memory is short.
    pub fn targets(&self, device: Device) -> Result<HoverNetTargets, Error> {
        let (count, side) = (self.len() as i64, self.output as i64);
        let numbers = |values: &[i64]| -> Result<Tensor, Error> {
            Ok(Tensor::from_slice(values).view([count, side, side]).f_to_device(device)?)
        };
        let distances = Tensor::from_slice(&self.distances).view([count, side, side, 2]);
        Ok(HoverNetTargets {
            foreground: numbers(&self.foreground)?,
            distances: distances.f_to_device(device)?,
            types: self.types.as_deref().map(numbers).transpose()?,
        })
    }
}
