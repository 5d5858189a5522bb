//! pix2pix (Isola et al., CVPR 2017): a generator paints, a PatchGAN judges the pair.
//!
//! One step is that of `Pix2PixModel.optimize_parameters` in
//! junyanz/pytorch-CycleGAN-and-pix2pix: one painting, the discriminator's update,
//! then the generator's update against the updated discriminator. Both see training
//! statistics of their batch normalisation. Losses are f32 whatever the networks'
//! dtype.

mod checkpoint;

use super::error::Error;
use super::generator::{Generator, GeneratorConfig};
use super::loss::{self, GanMode};
use counterstain_model::PatchGan;
use counterstain_model::init::{Scheme, initialise};
use counterstain_torch::optim::{Adam, AdamConfig};
use counterstain_torch::{autocast, channels_last, manual_seed};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// The networks and how they learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Pix2PixConfig {
    /// Kind and shape of the generator; its norm is the discriminator's too (the published pix2pix has batch norm).
    pub generator: GeneratorConfig,
    /// Filters of the PatchGAN's first layer.
    pub discriminator_filters: u32,
    /// Strided layers of the PatchGAN.
    pub discriminator_layers: u32,
    /// Adversarial objective.
    pub gan_mode: GanMode,
    /// Weight of the L1 term.
    pub lambda_l1: f64,
    /// Adam's first moment decay (the second is 0.999).
    pub beta1: f64,
    /// Dtype of the networks' products and convolutions; `None` computes in f32.
    pub dtype: Option<Kind>,
    /// Seed of the initial weights.
    pub seed: u64,
}

/// A step's loss terms, as the published code reports them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// The generator's adversarial term.
    pub gan: f64,
    /// The generator's L1 term, times its weight.
    pub l1: f64,
    /// The discriminator's term on real pairs.
    pub real: f64,
    /// The discriminator's term on painted pairs.
    pub fake: f64,
}

impl Losses {
    /// The terms with their names in metrics.
    pub fn named(&self) -> [(&'static str, f64); 4] {
        [
            ("loss_g_gan", self.gan),
            ("loss_g_l1", self.l1),
            ("loss_d_real", self.real),
            ("loss_d_fake", self.fake),
        ]
    }
}

/// What a step gives.
#[derive(Debug)]
pub struct Outcome {
    /// The loss terms.
    pub losses: Losses,
    /// The images painted in this step, before its updates: `[N, C, H, W]`, detached.
    pub painted: Tensor,
}

/// The two networks with their optimisers.
///
/// Invariant: `step` counts the updates that the weights have had.
#[derive(Debug)]
pub struct Pix2Pix {
    config: Pix2PixConfig,
    device: Device,
    generator_store: VarStore,
    discriminator_store: VarStore,
    generator: Generator,
    discriminator: PatchGan,
    generator_adam: Adam,
    discriminator_adam: Adam,
    step: u64,
}

impl Pix2Pix {
    /// Networks with initial weights from (seed, name): normal with deviation 0.02.
    ///
    /// # Errors
    /// When the networks cannot be built with these numbers.
    pub fn new(config: Pix2PixConfig, device: Device) -> Result<Self, Error> {
        Self::of_kind(config, device, Kind::Float)
    }

    /// As [`Pix2Pix::new`], with weights in f32 or f64 (for comparisons with references).
    ///
    /// # Errors
    /// When the networks cannot be built with these numbers.
    pub fn of_kind(config: Pix2PixConfig, device: Device, kind: Kind) -> Result<Self, Error> {
        let mut generator_store = VarStore::new(device);
        let generator = config.generator.build(&generator_store.root())?;
        let mut discriminator_store = VarStore::new(device);
        let discriminator = PatchGan::new(
            &discriminator_store.root(),
            config.generator.in_channels() + config.generator.out_channels(),
            i64::from(config.discriminator_filters),
            config.discriminator_layers as usize,
            config.generator.norm(),
        )?;
        for store in [&mut generator_store, &mut discriminator_store] {
            // The two networks have no name in common, so one seed serves both.
            initialise(store, config.seed, Scheme::Gan);
            if kind == Kind::Double {
                store.double();
            }
        }
        let generator_adam = adam(trainable(&generator_store), config.beta1);
        let discriminator_adam = adam(trainable(&discriminator_store), config.beta1);
        Ok(Self {
            config,
            device,
            generator_store,
            discriminator_store,
            generator,
            discriminator,
            generator_adam,
            discriminator_adam,
            step: 0,
        })
    }

    /// The generator's variables.
    pub fn generator_variables(&self) -> &VarStore {
        &self.generator_store
    }

    /// The discriminator's variables.
    pub fn discriminator_variables(&self) -> &VarStore {
        &self.discriminator_store
    }

    /// One update of both networks from `[N, C, H, W]` images in -1 to 1.
    ///
    /// `dropout_seed` seeds libtorch's generator first, so that a resumed run drops the
    /// same units without having saved its state.
    ///
    /// # Errors
    /// [`Error::NonFiniteLoss`] when a term is NaN or infinite: the weights are then no
    /// longer good, go back to a checkpoint. libtorch's errors are panics: see
    /// [`counterstain_torch::guard`].
    pub fn optimise(
        &mut self,
        condition: &Tensor,
        target: &Tensor,
        learning_rate: f64,
        dropout_seed: u64,
    ) -> Result<Outcome, Error> {
        manual_seed(dropout_seed);
        let condition = channels_last(condition);
        let target = channels_last(target);
        let painted = self.paint(&condition);
        let painted_pair = Tensor::cat(&[&condition, &painted], 1);

        self.discriminator_store.unfreeze();
        self.discriminator_adam.zero_grad();
        let fake = self.judge(&painted_pair.detach(), false);
        let real = self.judge(&Tensor::cat(&[&condition, &target], 1), true);
        ((&fake + &real) * 0.5).backward();
        self.discriminator_adam.step(learning_rate);

        // The generator's gradient passes through the discriminator but not into it.
        self.discriminator_store.freeze();
        self.generator_adam.zero_grad();
        let gan = self.judge(&painted_pair, true);
        let l1 = loss::l1(&painted, &target) * self.config.lambda_l1;
        (&gan + &l1).backward();
        self.generator_adam.step(learning_rate);

        let terms = loss::read_scalars(&[&gan, &l1, &real, &fake])?;
        let losses = Losses { gan: terms[0], l1: terms[1], real: terms[2], fake: terms[3] };
        // In the order of the computation, so that the first cause is named.
        for (term, value) in losses.named().into_iter().rev() {
            if !value.is_finite() {
                return Err(Error::NonFiniteLoss { term, value, step: self.step });
            }
        }
        self.step += 1;
        Ok(Outcome { losses, painted: painted.detach() })
    }

    fn paint(&self, condition: &Tensor) -> Tensor {
        autocast(self.device, self.config.dtype, || {
            loss::at_least_f32(&self.generator.forward_t(condition, true))
        })
    }

    fn judge(&self, pair: &Tensor, is_real: bool) -> Tensor {
        let logits = autocast(self.device, self.config.dtype, || self.discriminator.forward_t(pair, true));
        self.config.gan_mode.loss(&logits, is_real)
    }
}

/// The optimiser of the published GANs.
pub(super) fn adam(parameters: Vec<(String, Tensor)>, beta1: f64) -> Adam {
    Adam::new(parameters, AdamConfig { beta1, beta2: 0.999, ..AdamConfig::default() })
}

/// The variables that learn, by name in alphabetical order.
pub(in crate::engine) fn trainable(store: &VarStore) -> Vec<(String, Tensor)> {
    let mut named: Vec<(String, Tensor)> =
        store.variables().into_iter().filter(|(_, tensor)| tensor.requires_grad()).collect();
    // The store hands them out in the order of a hash map.
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}

#[cfg(test)]
mod tests;
