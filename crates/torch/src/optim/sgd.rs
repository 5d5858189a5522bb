//! Stochastic gradient descent as in `torch.optim.SGD` 2.13 (without dampening).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::ffi::add_scaled;
use super::slots::{Form, Slots};
use super::{Optimizer, inherent_methods};
use crate::error::Error;
use crate::named::NamedTensors;

/// The numbers of [`Sgd`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Decay of the momentum buffer; 0 keeps none.
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Whether to look ahead along the momentum (Nesterov).
    pub nesterov: bool,
}

/// Gradient descent with momentum and weight decay.
#[derive(Debug)]
pub struct Sgd {
    slots: Slots,
    config: SgdConfig,
}

impl Sgd {
    /// SGD over `parameters`, which it updates in place.
    #[must_use]
    pub fn new(parameters: NamedTensors, config: SgdConfig) -> Self {
        let slots: &[(&str, Form)] =
            if config.momentum == 0.0 { &[] } else { &[("momentum_buffer", Form::LikeParameter)] };
        Self { slots: Slots::new(parameters, slots), config }
    }
}

impl Optimizer for Sgd {
    fn try_step(&mut self, lr: f64) -> Result<(), Error> {
        let SgdConfig { momentum, weight_decay, nesterov } = self.config;
        let (positions, gradients) = self.slots.with_gradient();
        tch::no_grad(|| {
            let mut directions = Vec::with_capacity(positions.len());
            for (&position, gradient) in positions.iter().zip(gradients) {
                let mut direction = gradient;
                if weight_decay != 0.0 {
                    let decay = self.slots.parameter(position).f_mul_scalar(weight_decay)?;
                    direction = direction.f_add(&decay)?;
                }
                if momentum != 0.0 {
                    let buffer = self.slots.of_mut(0, position);
                    let buffer = buffer.f_mul_scalar_(momentum)?.f_add_(&direction)?;
                    direction =
                        if nesterov { direction.f_add(&buffer.f_mul_scalar(momentum)?)? } else { buffer };
                }
                directions.push(direction);
            }
            let directions: Vec<&Tensor> = directions.iter().collect();
            add_scaled(&self.slots.parameters_at(&positions), &directions, -lr)
        })
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

inherent_methods!(Sgd);
