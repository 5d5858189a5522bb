//! A trained generator in use.
//!
//! Inference is in evaluation mode: batch normalisation with the running statistics,
//! no dropout. So an image's result depends on its batch only by rounding; callers keep
//! batch boundaries fixed where the last bit matters.

use super::error::Error;
use super::images::{ImageBatch, to_tiles};
use super::loss;
use counterstain_model::{UNetConfig, UNetGenerator, weights};
use counterstain_tile::Tile;
use counterstain_torch::{autocast, named};
use tch::nn::VarStore;
use tch::{Device, Kind};

/// Checks that a generator of this shape takes this image.
///
/// # Errors
/// When a side is not divisible by 2^depth, or the channels are others than it learned from.
pub fn check_image(config: &UNetConfig, image: &Tile<u8>) -> Result<(), Error> {
    if image.channels as i64 != config.in_channels {
        return Err(Error::Unfit(format!(
            "the generator takes images of {} channel(s), this one has {}",
            config.in_channels, image.channels
        )));
    }
    Ok(config.check_image(image.width as i64, image.height as i64)?)
}

/// A generator with loaded weights.
#[derive(Debug)]
pub struct Painter {
    config: UNetConfig,
    device: Device,
    dtype: Option<Kind>,
    generator: UNetGenerator,
    // Owns the variables that `generator` shares.
    _store: VarStore,
}

impl Painter {
    /// Builds the U-Net and loads safetensors weights with the published checkpoints' names.
    ///
    /// # Errors
    /// When the weights do not fit the shape: every missing, surplus or misshaped name is given.
    pub fn new(
        config: UNetConfig,
        weights: &[u8],
        device: Device,
        dtype: Option<Kind>,
    ) -> Result<Self, Error> {
        let mut store = VarStore::new(device);
        let generator = UNetGenerator::new(&store.root(), config)?;
        let tensors = named::from_safetensors(weights)?;
        weights::load(&store, &tensors).map_err(|error| Error::Weights(error.to_string()))?;
        store.freeze();
        Ok(Self { config, device, dtype, generator, _store: store })
    }

    /// What it takes, for threads that prepare images.
    pub fn config(&self) -> UNetConfig {
        self.config
    }

    /// Paints a batch, in order.
    ///
    /// # Errors
    /// When the painted values are not finite; libtorch's errors are panics: see
    /// [`counterstain_torch::guard`].
    pub fn paint(&self, batch: &ImageBatch) -> Result<Vec<Tile<u8>>, Error> {
        tch::no_grad(|| {
            let condition = batch.to_tensor(self.device)?;
            let painted = autocast(self.device, self.dtype, || {
                loss::at_least_f32(&self.generator.forward_t(&condition, false))
            });
            to_tiles(&painted)
        })
    }
}
