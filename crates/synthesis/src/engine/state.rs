//! Networks, optimisers and pools of a training run as one safetensors file, and back.
//!
//! Each part's tensors stand under a prefix such as `generator/`. Order, flips and
//! dropout follow from (seed, step), so no random state is saved; step, spec and schema
//! are in the checkpoint's manifest.

use super::error::Error;
use counterstain_model::weights;
use counterstain_torch::named::{self, NamedTensors};
use counterstain_torch::optim::Adam;
use std::fmt::Display;
use tch::nn::VarStore;

/// Version of the layout of checkpoints. A change that older programs cannot read raises it.
pub const CHECKPOINT_SCHEMA: u32 = 1;

/// The file's bytes.
///
/// # Errors
/// [`Error::NonFiniteTensor`] when anything in it is NaN or infinite, so that the last
/// good checkpoint stays the last.
pub fn save<const N: usize>(parts: [(&str, NamedTensors); N], step: u64) -> Result<Vec<u8>, Error> {
    let mut tensors = NamedTensors::new();
    for (prefix, part) in parts {
        tensors.extend(part.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
    }
    to_bytes(&tensors, step)
}

/// A network's weights alone, under the published checkpoints' names.
///
/// # Errors
/// As [`save`].
pub fn save_weights(store: &VarStore, step: u64) -> Result<Vec<u8>, Error> {
    to_bytes(&weights::export(store), step)
}

fn to_bytes(tensors: &NamedTensors, step: u64) -> Result<Vec<u8>, Error> {
    for (name, tensor) in tensors {
        if tensor.is_floating_point() && !bool::try_from(tensor.isfinite().all())? {
            return Err(Error::NonFiniteTensor { tensor: name.clone(), step });
        }
    }
    Ok(named::to_safetensors(tensors)?)
}

/// A file that [`save`] wrote.
#[derive(Debug)]
pub struct Saved(NamedTensors);

impl Saved {
    /// Reads it.
    ///
    /// # Errors
    /// When the bytes are no safetensors file.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        Ok(Self(named::from_safetensors(bytes)?))
    }

    /// The tensors under a prefix, without it.
    pub fn part(&self, prefix: &str) -> NamedTensors {
        let strip = |(name, tensor): &(String, tch::Tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
        };
        self.0.iter().filter_map(strip).collect()
    }

    /// Fills a network.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] that lists the names or shapes that differ.
    pub fn network(&self, prefix: &str, store: &VarStore) -> Result<(), Error> {
        weights::load(store, &self.part(prefix)).map_err(|error| unfit(prefix, &error))
    }

    /// Fills an optimiser.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] that lists what differs.
    pub fn optimiser(&self, prefix: &str, adam: &mut Adam) -> Result<(), Error> {
        adam.load_state(&self.part(prefix)).map_err(|error| unfit(prefix, &error))
    }
}

fn unfit(prefix: &str, error: &dyn Display) -> Error {
    Error::Checkpoint(format!("{}: {error}", prefix.trim_end_matches('/')))
}

/// Fills a network from [`save_weights`]' bytes.
///
/// # Errors
/// [`Error::Weights`] that lists the names or shapes that differ.
pub fn load_weights(store: &VarStore, bytes: &[u8]) -> Result<(), Error> {
    let tensors = named::from_safetensors(bytes)?;
    weights::load(store, &tensors).map_err(|error| Error::Weights(error.to_string()))
}
