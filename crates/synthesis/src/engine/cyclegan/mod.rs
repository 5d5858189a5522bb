//! cycleGAN (Zhu et al., ICCV 2017): two generators and two discriminators on images
//! that are not paired.
//!
//! One step is that of `CycleGANModel.optimize_parameters` in
//! junyanz/pytorch-CycleGAN-and-pix2pix: both generators together (adversarial, cycle
//! and identity terms), then both discriminators on pooled paintings.

mod checkpoint;
mod pool;

pub use pool::ImagePool;

use super::error::Error;
use super::generator::{Generator, GeneratorConfig};
use super::loss::{self, GanMode};
use super::pix2pix::{adam, trainable};
use counterstain_model::PatchGan;
use counterstain_model::init::{Scheme, initialise};
use counterstain_tile::random::Stream;
use counterstain_torch::optim::Adam;
use counterstain_torch::{autocast, channels_last, manual_seed};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// The networks and how they learn.
#[derive(Debug, Clone, PartialEq)]
pub struct CycleGanConfig {
    /// Kind and shape of the generator from domain A to B. The one back is its mirror image; its norm is the
    /// discriminators' too. Identity terms need domains of equal channels.
    pub generator: GeneratorConfig,
    /// Filters of the PatchGANs' first layer.
    pub discriminator_filters: u32,
    /// Strided layers of the PatchGANs.
    pub discriminator_layers: u32,
    /// Adversarial objective.
    pub gan_mode: GanMode,
    /// Weight of the cycle A, B, A.
    pub lambda_a: f64,
    /// Weight of the cycle B, A, B.
    pub lambda_b: f64,
    /// Weight of the identity terms, relative to the cycles'; 0 leaves them out.
    pub lambda_identity: f64,
    /// Images in each pool.
    pub pool_size: usize,
    /// Adam's first moment decay (the second is 0.999).
    pub beta1: f64,
    /// Dtype of the networks' products and convolutions; `None` computes in f32.
    pub dtype: Option<Kind>,
    /// Seed of the initial weights and of the pools.
    pub seed: u64,
}

/// A step's loss terms, weighted as the published code reports them. In pairs: (A, B).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CycleLosses {
    /// Discriminator A judges images of domain B, and B those of A.
    pub discriminator: [f64; 2],
    /// The generators' adversarial terms.
    pub gan: [f64; 2],
    /// The cycles.
    pub cycle: [f64; 2],
    /// The identity terms, 0 when left out.
    pub identity: [f64; 2],
}

impl CycleLosses {
    /// The terms with their names in metrics, in the published code's order.
    pub fn named(&self) -> [(&'static str, f64); 8] {
        [
            ("loss_d_a", self.discriminator[0]),
            ("loss_g_a", self.gan[0]),
            ("loss_cycle_a", self.cycle[0]),
            ("loss_identity_a", self.identity[0]),
            ("loss_d_b", self.discriminator[1]),
            ("loss_g_b", self.gan[1]),
            ("loss_cycle_b", self.cycle[1]),
            ("loss_identity_b", self.identity[1]),
        ]
    }
}

/// The images of a step, detached, before its updates.
#[derive(Debug)]
pub struct CycleImages {
    /// A painted as B, B painted as A.
    pub fake_b: Tensor,
    /// B painted as A.
    pub fake_a: Tensor,
    /// A painted as B and back.
    pub reconstructed_a: Tensor,
    /// B painted as A and back.
    pub reconstructed_b: Tensor,
    /// B through the generator to B; `None` without identity terms.
    pub identity_a: Option<Tensor>,
    /// A through the generator to A; `None` without identity terms.
    pub identity_b: Option<Tensor>,
}

/// A network with its variables.
#[derive(Debug)]
struct Net<N> {
    store: VarStore,
    net: N,
}

/// The four networks with their two optimisers.
#[derive(Debug)]
pub struct CycleGan {
    config: CycleGanConfig,
    device: Device,
    /// A to B, B to A.
    generators: [Net<Generator>; 2],
    /// Of B's images, of A's images.
    discriminators: [Net<PatchGan>; 2],
    generator_adam: Adam,
    discriminator_adam: Adam,
    /// Of painted B, of painted A.
    pools: [ImagePool; 2],
    step: u64,
}

impl CycleGan {
    /// Networks with initial weights from (seed, name), in f32 or f64.
    ///
    /// # Errors
    /// When the networks cannot be built with these numbers.
    pub fn new(config: CycleGanConfig, device: Device, kind: Kind) -> Result<Self, Error> {
        let (to_b, to_a) = (config.generator, config.generator.reversed());
        if config.lambda_identity > 0.0 && to_b.in_channels() != to_b.out_channels() {
            return Err(Error::Unfit(format!(
                "identity terms need domains of equal channels, these have {} and {}: set lambda_identity to 0",
                to_b.in_channels(),
                to_b.out_channels()
            )));
        }
        let generator = |name: &str, shape: GeneratorConfig| -> Result<Net<Generator>, Error> {
            let store = VarStore::new(device);
            let net = shape.build(&store.root())?;
            Ok(Net { store: ready(store, config.seed, name, kind), net })
        };
        let discriminator = |name: &str, channels: i64| -> Result<Net<PatchGan>, Error> {
            let store = VarStore::new(device);
            let filters = i64::from(config.discriminator_filters);
            let layers = config.discriminator_layers as usize;
            let net = PatchGan::new(&store.root(), channels, filters, layers, to_b.norm())?;
            Ok(Net { store: ready(store, config.seed, name, kind), net })
        };
        let generators = [generator("generator_a", to_b)?, generator("generator_b", to_a)?];
        let discriminators = [
            discriminator("discriminator_a", to_b.out_channels())?,
            discriminator("discriminator_b", to_b.in_channels())?,
        ];
        let both = |stores: [&VarStore; 2]| {
            let named = stores.into_iter().zip(["a/", "b/"]);
            let prefixed = named.flat_map(|(store, prefix)| {
                trainable(store).into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
            });
            adam(prefixed.collect(), config.beta1)
        };
        let generator_adam = both([&generators[0].store, &generators[1].store]);
        let discriminator_adam = both([&discriminators[0].store, &discriminators[1].store]);
        let pools = ["pool_b", "pool_a"].map(|name| ImagePool::new(config.pool_size, config.seed, name));
        Ok(Self {
            config,
            device,
            generators,
            discriminators,
            generator_adam,
            discriminator_adam,
            pools,
            step: 0,
        })
    }

    /// The variables of the generators (A to B, B to A) and discriminators (of B, of A).
    pub fn variables(&self) -> [(&'static str, &VarStore); 4] {
        [
            ("G_A", &self.generators[0].store),
            ("G_B", &self.generators[1].store),
            ("D_A", &self.discriminators[0].store),
            ("D_B", &self.discriminators[1].store),
        ]
    }

    /// One update of all networks from `[N, C, H, W]` images of both domains in -1 to 1.
    ///
    /// # Errors
    /// [`Error::NonFiniteLoss`] when a term is NaN or infinite. libtorch's errors are
    /// panics: see [`counterstain_torch::guard`].
    pub fn optimise(
        &mut self,
        real_a: &Tensor,
        real_b: &Tensor,
        learning_rate: f64,
        dropout_seed: u64,
    ) -> Result<(CycleLosses, CycleImages), Error> {
        manual_seed(dropout_seed);
        let real = [channels_last(real_a), channels_last(real_b)];
        let [real_a, real_b] = &real;
        let fake_b = self.paint(0, real_a);
        let reconstructed_a = self.paint(1, &fake_b);
        let fake_a = self.paint(1, real_b);
        let reconstructed_b = self.paint(0, &fake_a);

        self.discriminators.iter_mut().for_each(|one| one.store.freeze());
        self.generator_adam.zero_grad();
        let [lambda_a, lambda_b] = [self.config.lambda_a, self.config.lambda_b];
        let share = self.config.lambda_identity;
        let identities = (share > 0.0).then(|| [self.paint(0, real_b), self.paint(1, real_a)]);
        let identity = identities.as_ref().map(|[a, b]| {
            [loss::l1(a, real_b) * (lambda_b * share), loss::l1(b, real_a) * (lambda_a * share)]
        });
        let gan = [self.judge(0, &fake_b, true), self.judge(1, &fake_a, true)];
        let cycle =
            [loss::l1(&reconstructed_a, real_a) * lambda_a, loss::l1(&reconstructed_b, real_b) * lambda_b];
        let mut total = &gan[0] + &gan[1] + &cycle[0] + &cycle[1];
        if let Some([a, b]) = &identity {
            total = total + a + b;
        }
        total.backward();
        self.generator_adam.step(learning_rate);

        self.discriminators.iter_mut().for_each(|one| one.store.unfreeze());
        self.discriminator_adam.zero_grad();
        let shown = [self.pools[0].exchange(&fake_b, self.step), self.pools[1].exchange(&fake_a, self.step)];
        let discriminator = [
            (self.judge(0, real_b, true) + self.judge(0, &shown[0], false)) * 0.5,
            (self.judge(1, real_a, true) + self.judge(1, &shown[1], false)) * 0.5,
        ];
        discriminator.iter().for_each(Tensor::backward);
        self.discriminator_adam.step(learning_rate);

        let losses = read(&discriminator, &gan, &cycle, identity.as_ref())?;
        for (term, value) in losses.named() {
            if !value.is_finite() {
                return Err(Error::NonFiniteLoss { term, value, step: self.step });
            }
        }
        self.step += 1;
        let [identity_a, identity_b] =
            identities.map_or([None, None], |pair| pair.map(|one| Some(one.detach())));
        let images = CycleImages {
            fake_b: fake_b.detach(),
            fake_a: fake_a.detach(),
            reconstructed_a: reconstructed_a.detach(),
            reconstructed_b: reconstructed_b.detach(),
            identity_a,
            identity_b,
        };
        Ok((losses, images))
    }

    fn paint(&self, generator: usize, image: &Tensor) -> Tensor {
        autocast(self.device, self.config.dtype, || {
            loss::at_least_f32(&self.generators[generator].net.forward_t(image, true))
        })
    }

    fn judge(&self, discriminator: usize, image: &Tensor, is_real: bool) -> Tensor {
        let net = &self.discriminators[discriminator].net;
        let logits = autocast(self.device, self.config.dtype, || net.forward_t(image, true));
        self.config.gan_mode.loss(&logits, is_real)
    }
}

/// Fills a network. Both generators have the same names, so that each network has a
/// seed of its own.
fn ready(mut store: VarStore, seed: u64, network: &str, kind: Kind) -> VarStore {
    initialise(&store, Stream::new(seed, network, &[]).next_u64(), Scheme::Gan);
    if kind == Kind::Double {
        store.double();
    }
    store
}

fn read(
    discriminator: &[Tensor; 2],
    gan: &[Tensor; 2],
    cycle: &[Tensor; 2],
    identity: Option<&[Tensor; 2]>,
) -> Result<CycleLosses, Error> {
    let mut scalars: Vec<&Tensor> = discriminator.iter().chain(gan).chain(cycle).collect();
    scalars.extend(identity.into_iter().flatten());
    let values = loss::read_scalars(&scalars)?;
    let pair =
        |first: usize| [values.get(first), values.get(first + 1)].map(|value| value.copied().unwrap_or(0.0));
    Ok(CycleLosses { discriminator: pair(0), gan: pair(2), cycle: pair(4), identity: pair(6) })
}

#[cfg(test)]
mod tests;
