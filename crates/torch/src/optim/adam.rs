//! Adam and AdamW as in `torch.optim` 2.13 (without amsgrad).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::ffi::{AdamNumbers, AdamTensors, fused_adam};
use super::slots::{Form, Slots};
use super::{Optimizer, inherent_methods};
use crate::error::Error;
use crate::named::NamedTensors;

const SLOTS: &[(&str, Form)] =
    &[("exp_avg", Form::LikeParameter), ("exp_avg_sq", Form::LikeParameter), ("step", Form::Count)];

/// The numbers of [`Adam`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
    /// Decay of the gradient's mean, in [0, 1).
    pub beta1: f64,
    /// Decay of the squared gradient's mean, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the bias-corrected second moment.
    pub epsilon: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The numbers of [`AdamW`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the gradient's mean, in [0, 1).
    pub beta1: f64,
    /// Decay of the squared gradient's mean, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the bias-corrected second moment.
    pub epsilon: f64,
    /// Share of a parameter that is taken off per unit of learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// `torch.optim.Adam`: m̂ / (√v̂ + ε), bias-corrected moments (Kingma and Ba 2015).
#[derive(Debug)]
pub struct Adam {
    slots: Slots,
    config: AdamConfig,
}

impl Adam {
    /// Adam over `parameters`, which it updates in place.
    #[must_use]
    pub fn new(parameters: NamedTensors, config: AdamConfig) -> Self {
        Self { slots: Slots::new(parameters, SLOTS), config }
    }
}

impl Optimizer for Adam {
    fn try_step(&mut self, lr: f64) -> Result<(), Error> {
        let AdamConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let numbers =
            AdamNumbers { learning_rate: lr, beta1, beta2, weight_decay, epsilon, decoupled: false };
        update(&self.slots, numbers)
    }

    fn zero_grad(&mut self) {
        self.slots.zero_grad();
    }

    fn state(&self) -> NamedTensors {
        self.slots.state()
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), Error> {
        self.slots.load_state(state)
    }
}

inherent_methods!(Adam);

/// `torch.optim.AdamW`: Adam with weight decay apart from the gradient
/// (Loshchilov and Hutter 2019).
#[derive(Debug)]
pub struct AdamW {
    slots: Slots,
    config: AdamWConfig,
}

impl AdamW {
    /// AdamW over `parameters`, which it updates in place.
    #[must_use]
    pub fn new(parameters: NamedTensors, config: AdamWConfig) -> Self {
        Self { slots: Slots::new(parameters, SLOTS), config }
    }
}

impl Optimizer for AdamW {
    fn try_step(&mut self, lr: f64) -> Result<(), Error> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let numbers = AdamNumbers { learning_rate: lr, beta1, beta2, weight_decay, epsilon, decoupled: true };
        update(&self.slots, numbers)
    }

    fn zero_grad(&mut self) {
        self.slots.zero_grad();
    }

    fn state(&self) -> NamedTensors {
        self.slots.state()
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), Error> {
        self.slots.load_state(state)
    }
}

inherent_methods!(AdamW);

fn update(slots: &Slots, numbers: AdamNumbers) -> Result<(), Error> {
    let (positions, gradients) = slots.with_gradient();
    let tensors = AdamTensors {
        parameters: slots.parameters_at(&positions),
        gradients: gradients.iter().collect(),
        means: slots.of(0, &positions),
        squares: slots.of(1, &positions),
        steps: slots.of(2, &positions),
    };
    tch::no_grad(|| fused_adam(&tensors, numbers))
}
