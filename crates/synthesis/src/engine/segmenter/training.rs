//! HoVer-Net learning step by step, and going on bit for bit from a saved state.
//!
//! Reference: `models/hovernet/opt.py` and `run_desc.py` of vqdang/hover_net. Each phase begins with a fresh
//! Adam; in the first the encoder gets no gradient, though its batch norms still follow the images.

use super::batch::PatchBatch;
use super::loss::{HoverNetOutputs, HoverNetWeights, hovernet_loss};
use super::phases::Phase;
use crate::engine::error::Error;
use crate::engine::loss::read_scalars;
use crate::engine::pix2pix::trainable;
use crate::engine::state::{self, Saved};
use counterstain_model::init::{Scheme, initialise};
use counterstain_model::{HoVerNet, HoVerNetConfig, weights};
use counterstain_torch::named;
use counterstain_torch::optim::{Adam, AdamConfig};
use counterstain_torch::{autocast, channels_last};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

const NETWORK: &str = "network/";
const DECODERS_ADAM: &str = "decoders_adam/";
const ALL_ADAM: &str = "all_adam/";
/// Names of the branch whose shape depends on the number of types.
const TYPE_BRANCH: &str = "decoder.tp.";

/// The network and how it learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SegmenterConfig {
    /// Shape of the network.
    pub network: HoVerNetConfig,
    /// Dtype of products and convolutions; `None` computes in f32.
    pub dtype: Option<Kind>,
    /// Weights of the loss terms.
    pub weights: HoverNetWeights,
    /// Seed of the initial weights.
    pub seed: u64,
}

/// What an update gives.
#[derive(Debug)]
pub struct SegmenterUpdate {
    /// The loss terms with their names in metrics.
    pub terms: Vec<(&'static str, f64)>,
    /// Foreground logits of this step, before its update: `[N, h, w, 2]`, detached.
    pub foreground: Tensor,
    /// Distances of this step, `[N, h, w, 2]`, detached.
    pub distances: Tensor,
}

impl SegmenterUpdate {
    /// Whether any pixel was taken for one of a nucleus.
    ///
    /// # Errors
    /// libtorch's.
    pub fn found_nuclei(&self) -> Result<bool, Error> {
        Ok(bool::try_from(self.foreground.argmax(-1, false).any())?)
    }
}

/// The network with its optimiser.
///
/// Invariant: `step` counts the updates that the weights have had.
#[derive(Debug)]
pub struct Segmenter {
    config: SegmenterConfig,
    store: VarStore,
    network: HoVerNet,
    adam: Adam,
    phase: Phase,
    step: u64,
}

impl Segmenter {
    /// A network with initial weights from (seed, name), in the first phase.
    ///
    /// # Errors
    /// When the network cannot be built with these numbers.
    pub fn new(config: SegmenterConfig, device: Device) -> Result<Self, Error> {
        let store = VarStore::new(device);
        let mut network = HoVerNet::new(&store.root(), config.network)?;
        initialise(&store, config.seed, Scheme::Torch);
        network.freeze_encoder(true);
        let adam = fresh_adam(&store);
        Ok(Self { config, store, network, adam, phase: Phase::Decoders, step: 0 })
    }

    /// The updates so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// One update. A phase other than the last update's begins with a fresh optimiser.
    ///
    /// # Errors
    /// [`Error::NonFiniteLoss`] when a term is NaN or infinite: the weights are then no longer good.
    pub fn update(
        &mut self,
        batch: &PatchBatch,
        phase: Phase,
        learning_rate: f64,
    ) -> Result<SegmenterUpdate, Error> {
        if phase != self.phase {
            self.enter(phase);
        }
        let device = self.store.device();
        let images = channels_last(&batch.images(device)?);
        let targets = batch.targets(device)?;
        self.adam.zero_grad();
        let maps = autocast(device, self.config.dtype, || self.network.forward_t(&images, true));
        let last = |map: &Tensor| map.permute([0, 2, 3, 1]);
        let outputs = HoverNetOutputs {
            foreground: last(&maps.nuclei),
            distances: last(&maps.distances),
            types: maps.types.as_ref().map(last),
        };
        let loss = hovernet_loss(&outputs, &targets);
        loss.total(&self.config.weights).backward();
        self.adam.step(learning_rate);

        let mut named = vec![
            ("loss_np_cross_entropy", &loss.foreground_cross_entropy),
            ("loss_np_dice", &loss.foreground_dice),
            ("loss_hv_mse", &loss.distance_error),
            ("loss_hv_gradient_mse", &loss.gradient_error),
        ];
        if let Some((cross_entropy, dice)) = &loss.types {
            named.extend([("loss_tp_cross_entropy", cross_entropy), ("loss_tp_dice", dice)]);
        }
        let scalars: Vec<&Tensor> = named.iter().map(|(_, term)| *term).collect();
        let values = read_scalars(&scalars)?;
        let terms: Vec<_> = named.iter().map(|(name, _)| *name).zip(values).collect();
        if let Some(&(term, value)) = terms.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NonFiniteLoss { term, value, step: self.step });
        }
        self.step += 1;
        let [foreground, distances] = [outputs.foreground, outputs.distances].map(|map| map.detach());
        Ok(SegmenterUpdate { terms, foreground, distances })
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.network.freeze_encoder(phase == Phase::Decoders);
        self.adam = fresh_adam(&self.store);
    }

    /// All that [`Segmenter::restore`] needs.
    ///
    /// # Errors
    /// [`Error::NonFiniteTensor`] when anything in it is NaN or infinite.
    pub fn save(&self) -> Result<Vec<u8>, Error> {
        let adam = adam_prefix(self.phase);
        state::save([(NETWORK, weights::export(&self.store)), (adam, self.adam.state())], self.step)
    }

    /// Goes back to a saved state; `step` counts its updates.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when names or shapes differ.
    pub fn restore(&mut self, bytes: &[u8], step: u64) -> Result<(), Error> {
        let saved = Saved::read(bytes)?;
        saved.network(NETWORK, &self.store)?;
        let decoders = !saved.part(DECODERS_ADAM).is_empty();
        self.enter(if decoders { Phase::Decoders } else { Phase::All });
        saved.optimiser(adam_prefix(self.phase), &mut self.adam)?;
        self.step = step;
        Ok(())
    }

    /// The weights as safetensors bytes.
    ///
    /// # Errors
    /// As [`Segmenter::save`].
    pub fn weights(&self) -> Result<Vec<u8>, Error> {
        state::save_weights(&self.store, self.step)
    }

    /// Starts from such weights of a network with `types` types. Where it has another number of types, the type
    /// branch keeps its random start.
    ///
    /// # Errors
    /// [`Error::Weights`] that lists the names or shapes that differ.
    pub fn start_from(&mut self, bytes: &[u8], types: Option<i64>) -> Result<(), Error> {
        let mut tensors = named::from_safetensors(bytes)?;
        if types != self.config.network.types {
            tensors.retain(|(name, _)| !name.starts_with(TYPE_BRANCH));
            let own = weights::export(&self.store).into_iter();
            let own = own.filter(|(name, _)| name.starts_with(TYPE_BRANCH));
            tensors.extend(own.map(|(name, tensor)| (name, no_grad(|| tensor.copy()))));
        }
        weights::load(&self.store, &tensors).map_err(|error| Error::Weights(error.to_string()))
    }
}

fn adam_prefix(phase: Phase) -> &'static str {
    match phase {
        Phase::Decoders => DECODERS_ADAM,
        Phase::All => ALL_ADAM,
    }
}

fn fresh_adam(store: &VarStore) -> Adam {
    Adam::new(trainable(store), AdamConfig { beta1: 0.9, beta2: 0.999, ..AdamConfig::default() })
}
