//! LARS as in facebookresearch/vicreg (`main_vicreg.LARS`).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::ffi::add_scaled;
use super::slots::{Form, Slots};
use super::{Optimizer, inherent_methods};
use crate::error::Error;
use crate::named::NamedTensors;

/// The numbers of [`Lars`]; the defaults are the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LarsConfig {
    /// Decay of the momentum buffer.
    pub momentum: f64,
    /// The trust coefficient η.
    pub eta: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Whether vectors (biases, normalisation weights) take neither weight decay
    /// nor the trust ratio.
    pub exclude_vectors: bool,
}

impl Default for LarsConfig {
    fn default() -> Self {
        Self { momentum: 0.9, eta: 0.001, weight_decay: 1e-6, exclude_vectors: true }
    }
}

/// Layer-wise adaptive rate scaling (You, Gitman and Ginsburg 2017): each matrix'
/// update is scaled by η |p| / |update| before momentum.
#[derive(Debug)]
pub struct Lars {
    slots: Slots,
    config: LarsConfig,
}

impl Lars {
    /// LARS over `parameters`, which it updates in place.
    #[must_use]
    pub fn new(parameters: NamedTensors, config: LarsConfig) -> Self {
        Self { slots: Slots::new(parameters, &[("momentum", Form::LikeParameter)]), config }
    }

    fn direction(&self, parameter: &Tensor, gradient: &Tensor) -> Result<Tensor, Error> {
        let LarsConfig { eta, weight_decay, exclude_vectors, .. } = self.config;
        if exclude_vectors && parameter.dim() == 1 {
            return Ok(gradient.shallow_clone());
        }
        let decayed = gradient.f_add(&parameter.f_mul_scalar(weight_decay)?)?;
        let (of_parameter, of_update) = (parameter.norm(), decayed.norm());
        // Where a norm is zero, the ratio is one; no value leaves the device.
        let both = of_parameter.gt(0.0).logical_and(&of_update.gt(0.0));
        let ratio =
            (of_parameter * eta / of_update).f_where_self(&both, &Tensor::ones_like(&decayed.norm()))?;
        Ok(decayed.f_mul(&ratio)?)
    }
}

impl Optimizer for Lars {
    fn try_step(&mut self, lr: f64) -> Result<(), Error> {
        let (positions, gradients) = self.slots.with_gradient();
        tch::no_grad(|| {
            for (&position, gradient) in positions.iter().zip(&gradients) {
                let direction = self.direction(self.slots.parameter(position), gradient)?;
                let momentum = self.config.momentum;
                let buffer = self.slots.of_mut(0, position);
                let _ = buffer.f_mul_scalar_(momentum)?.f_add_(&direction)?;
            }
            add_scaled(&self.slots.parameters_at(&positions), &self.slots.of(0, &positions), -lr)
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

inherent_methods!(Lars);
