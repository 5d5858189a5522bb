//! What the training loop needs of an adversarial method, so that pix2pix and cycleGAN share one loop.

use super::error::Error;
use tch::{Device, Tensor};

/// What an update gives.
#[derive(Debug)]
pub struct Update {
    /// The loss terms with their names in metrics.
    pub terms: Vec<(&'static str, f64)>,
    /// The loss of the surest discriminator, its terms on real and painted images together.
    pub discriminator: f64,
    /// The target images painted in this step, before its updates: `[N, C, H, W]`, detached.
    pub painted: Tensor,
}

/// Networks and optimisers that learn step by step.
pub trait Adversarial {
    /// The updates so far.
    fn step(&self) -> u64;

    /// The device that holds the weights.
    fn device(&self) -> Device;

    /// One update of all networks from `[N, C, H, W]` images in -1 to 1; of pairs, where the method needs pairs.
    /// `dropout_seed` seeds libtorch's generator first, so that a resumed run drops the same units.
    ///
    /// # Errors
    /// [`Error::NonFiniteLoss`] when a term is NaN or infinite: the weights are then no longer good.
    fn update(
        &mut self,
        input: &Tensor,
        target: &Tensor,
        learning_rate: f64,
        dropout_seed: u64,
    ) -> Result<Update, Error>;

    /// All that [`Adversarial::restore`] needs.
    ///
    /// # Errors
    /// [`Error::NonFiniteTensor`] when anything in it is NaN or infinite.
    fn save(&self) -> Result<Vec<u8>, Error>;

    /// Goes back to a saved state; `step` counts its updates.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when names or shapes differ.
    fn restore(&mut self, bytes: &[u8], step: u64) -> Result<(), Error>;

    /// The generator from input to target, and the other direction's where there is one, as safetensors bytes.
    ///
    /// # Errors
    /// As [`Adversarial::save`].
    fn weights(&self) -> Result<(Vec<u8>, Option<Vec<u8>>), Error>;

    /// Starts from such weights; a missing other direction keeps its random start.
    ///
    /// # Errors
    /// [`Error::Weights`] that lists the names or shapes that differ.
    fn start_from(&mut self, weights: &[u8], reverse: Option<&[u8]>) -> Result<(), Error>;
}
