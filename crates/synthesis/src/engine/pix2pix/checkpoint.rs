//! Saving a training run and going on from it, bit for bit.
//!
//! One safetensors file holds both networks with their running statistics and both
//! optimisers' states under the prefixes `generator/`, `discriminator/`,
//! `generator_adam/` and `discriminator_adam/`. Order, flips and dropout follow from
//! (seed, step), so no generator state is saved; step, spec and schema are in the
//! checkpoint's manifest.

use super::Pix2Pix;
use crate::engine::error::Error;
use counterstain_model::weights;
use counterstain_torch::named::{self, NamedTensors};

/// Version of the layout above. A change that older programs cannot read raises it.
pub const CHECKPOINT_SCHEMA: u32 = 1;

const GENERATOR: &str = "generator/";
const DISCRIMINATOR: &str = "discriminator/";
const GENERATOR_ADAM: &str = "generator_adam/";
const DISCRIMINATOR_ADAM: &str = "discriminator_adam/";

impl Pix2Pix {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`Error::NonFiniteTensor`] when anything in it is NaN or infinite, so that the last
    /// good checkpoint stays the last.
    pub fn save(&self) -> Result<Vec<u8>, Error> {
        let parts: [(&str, NamedTensors); 4] = [
            (GENERATOR, weights::export(&self.generator_store)),
            (DISCRIMINATOR, weights::export(&self.discriminator_store)),
            (GENERATOR_ADAM, self.generator_adam.state()),
            (DISCRIMINATOR_ADAM, self.discriminator_adam.state()),
        ];
        let mut tensors = NamedTensors::new();
        for (prefix, part) in parts {
            tensors.extend(part.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        }
        for (name, tensor) in &tensors {
            if tensor.is_floating_point() && !bool::try_from(tensor.isfinite().all())? {
                return Err(Error::NonFiniteTensor { tensor: name.clone(), step: self.step });
            }
        }
        Ok(named::to_safetensors(&tensors)?)
    }

    /// Goes back to a state from [`Pix2Pix::save`]; `step` counts its updates.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when names or shapes differ.
    pub fn restore(&mut self, bytes: &[u8], step: u64) -> Result<(), Error> {
        let tensors = named::from_safetensors(bytes)?;
        let part = |prefix: &str| -> NamedTensors {
            let named = tensors.iter();
            named
                .filter_map(|(name, tensor)| {
                    Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
                })
                .collect()
        };
        let unfit = |what: &str, error: &dyn std::fmt::Display| Error::Checkpoint(format!("{what}: {error}"));
        weights::load(&self.generator_store, &part(GENERATOR)).map_err(|e| unfit("generator", &e))?;
        weights::load(&self.discriminator_store, &part(DISCRIMINATOR))
            .map_err(|e| unfit("discriminator", &e))?;
        self.generator_adam.load_state(&part(GENERATOR_ADAM)).map_err(|e| unfit("generator's adam", &e))?;
        self.discriminator_adam
            .load_state(&part(DISCRIMINATOR_ADAM))
            .map_err(|e| unfit("discriminator's adam", &e))?;
        self.step = step;
        Ok(())
    }

    /// The generator alone, as safetensors bytes under the published checkpoints' names.
    ///
    /// # Errors
    /// [`Error::NonFiniteTensor`] as for [`Pix2Pix::save`].
    pub fn generator_weights(&self) -> Result<Vec<u8>, Error> {
        let tensors = weights::export(&self.generator_store);
        for (name, tensor) in &tensors {
            if tensor.is_floating_point() && !bool::try_from(tensor.isfinite().all())? {
                return Err(Error::NonFiniteTensor { tensor: name.clone(), step: self.step });
            }
        }
        Ok(named::to_safetensors(&tensors)?)
    }
}
