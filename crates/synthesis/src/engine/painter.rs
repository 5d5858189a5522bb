//! A trained generator in use.
//!
//! Inference is in evaluation mode: batch normalisation with the running statistics,
//! no dropout. So an image's result depends on its batch only by rounding; callers keep
//! batch boundaries fixed where the last bit matters.

use super::error::Error;
use super::generator::{Generator, GeneratorConfig};
use super::images::{ImageBatch, to_tiles};
use super::loss;
use super::range::Range;
use super::state::load_weights;
use counterstain_tile::Tile;
use counterstain_torch::autocast;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Checks that a generator of this shape takes this image.
///
/// # Errors
/// When a side is not divisible by what the network needs, or the channels are others than it learned from.
pub fn check_image(config: &GeneratorConfig, image: &Tile<u8>) -> Result<(), Error> {
    if image.channels as i64 != config.in_channels() {
        return Err(Error::Unfit(format!(
            "the generator takes images of {} channel(s), this one has {}",
            config.in_channels(),
            image.channels
        )));
    }
    config.check_image(image.width, image.height)
}

/// A generator with loaded weights.
#[derive(Debug)]
pub struct Painter {
    config: GeneratorConfig,
    range: Option<Range>,
    device: Device,
    dtype: Option<Kind>,
    generator: Generator,
    // Owns the variables that `generator` shares.
    _store: VarStore,
}

impl Painter {
    /// Builds the network and loads safetensors weights with the published checkpoints' names. Painted images
    /// are mapped back from `range`, where there is one.
    ///
    /// # Errors
    /// When the weights do not fit the shape: every missing, surplus or misshaped name is given.
    pub fn new(
        config: GeneratorConfig,
        range: Option<Range>,
        weights: &[u8],
        device: Device,
        dtype: Option<Kind>,
    ) -> Result<Self, Error> {
        let mut store = VarStore::new(device);
        let generator = config.build(&store.root())?;
        load_weights(&store, weights)?;
        store.freeze();
        Ok(Self { config, range, device, dtype, generator, _store: store })
    }

    /// What it takes, for threads that prepare images.
    pub fn config(&self) -> GeneratorConfig {
        self.config
    }

    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Paints a batch, in order.
    ///
    /// # Errors
    /// When the painted values are not finite; libtorch's errors are panics: see
    /// [`counterstain_torch::guard`].
    pub fn paint(&self, batch: &ImageBatch) -> Result<Vec<Tile<u8>>, Error> {
        to_tiles(&self.paint_tensor(&batch.to_tensor(self.device)?))
    }

    /// Paints `[N, C, H, W]` images in -1 (stored 0) to 1 (stored 255).
    pub fn paint_tensor(&self, images: &Tensor) -> Tensor {
        tch::no_grad(|| {
            let painted = autocast(self.device, self.dtype, || {
                loss::at_least_f32(&self.generator.forward_t(images, false))
            });
            match &self.range {
                None => painted,
                Some(range) => range.widen(&painted),
            }
        })
    }
}
