//! Adam as in Keras 2.15 with `clipnorm`, the optimiser of the paper.
//!
//! It differs from PyTorch's in four ways: each variable's gradient is clipped by
//! its own norm first; ε is added before the bias correction, not after it; there
//! is one count of iterations for all variables; learning rate and the β of the
//! bias correction are f32 numbers, whatever the variables are.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::ffi::{AdamNumbers, AdamTensors, clip_each_norm, fused_adam};
use super::slots::{Form, Slots};
use super::{Optimizer, inherent_methods};
use crate::error::Error;
use crate::named::NamedTensors;

/// The numbers of [`KerasAdam`]; the defaults are the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KerasAdamConfig {
    /// Decay of the gradient's mean, in (0, 1).
    pub beta1: f64,
    /// Decay of the squared gradient's mean, in (0, 1).
    pub beta2: f64,
    /// Added to the root of the uncorrected second moment (ε̂ of the Adam paper).
    pub epsilon: f64,
    /// The most that the 2-norm of one variable's gradient may be; `None` clips
    /// nothing.
    pub clip_norm: Option<f64>,
}

impl Default for KerasAdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, clip_norm: Some(1.0) }
    }
}

/// `tf.keras.optimizers.Adam(clipnorm=…)` of Keras 2.15.
///
/// A step scales the parameters' gradients in place where they are clipped.
#[derive(Debug)]
pub struct KerasAdam {
    slots: Slots,
    config: KerasAdamConfig,
    iterations: i64,
}

const ITERATIONS: &str = "iterations";

impl KerasAdam {
    /// Keras' Adam over `parameters`, which it updates in place.
    #[must_use]
    pub fn new(parameters: NamedTensors, config: KerasAdamConfig) -> Self {
        let slots = [("m", Form::LikeParameter), ("v", Form::LikeParameter)];
        Self { slots: Slots::new(parameters, &slots), config, iterations: 0 }
    }

    /// How many steps were taken.
    #[must_use]
    pub fn iterations(&self) -> i64 {
        self.iterations
    }
}

impl Optimizer for KerasAdam {
    fn try_step(&mut self, lr: f64) -> Result<(), Error> {
        let KerasAdamConfig { beta1, beta2, epsilon, clip_norm } = self.config;
        let (positions, gradients) = self.slots.with_gradient();
        let gradients: Vec<&Tensor> = gradients.iter().collect();
        let step = self.iterations + 1;
        // Keras: p -= α m / (√v + ε) with α = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ). The fused
        // kernel: p -= lr' / c₁ · m / (√v / √c₂ + ε'), with its own c₁ and c₂ from
        // unrounded β. With ε' = ε / √c₂ and lr' = α c₁ / √c₂ they are the same.
        let power = step as f64;
        let rounded = |beta: f64| f64::from(beta as f32);
        let correction = |beta: f64| 1.0 - beta.powf(power);
        let alpha = f64::from(lr as f32) * correction(rounded(beta2)).sqrt() / correction(rounded(beta1));
        let root = correction(beta2).sqrt();
        let numbers = AdamNumbers {
            learning_rate: alpha * correction(beta1) / root,
            beta1,
            beta2,
            weight_decay: 0.0,
            epsilon: epsilon / root,
            decoupled: false,
        };
        tch::no_grad(|| {
            if let Some(most) = clip_norm {
                clip_each_norm(&gradients, most)?;
            }
            // The kernel counts each of these up before it reads it.
            let before = |position: &usize| {
                let parameter = self.slots.parameter(*position);
                Tensor::full([0i64; 0], self.iterations, (Kind::Float, parameter.device()))
            };
            let steps: Vec<Tensor> = positions.iter().map(before).collect();
            let tensors = AdamTensors {
                parameters: self.slots.parameters_at(&positions),
                gradients,
                means: self.slots.of(0, &positions),
                squares: self.slots.of(1, &positions),
                steps: steps.iter().collect(),
            };
            fused_adam(&tensors, numbers)
        })?;
        self.iterations = step;
        Ok(())
    }

    fn zero_grad(&mut self) {
        self.slots.zero_grad();
    }

    fn state(&self) -> NamedTensors {
        let mut state = self.slots.state();
        state.push((ITERATIONS.to_owned(), Tensor::from_slice(&[self.iterations])));
        state
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), Error> {
        let (own, rest): (Vec<_>, Vec<_>) = state
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .partition(|(name, _)| name == ITERATIONS);
        let [(_, iterations)] = own.as_slice() else {
            return Err(Error::State(format!("{ITERATIONS} is there {} times, not once", own.len())));
        };
        if iterations.kind() != Kind::Int64 || iterations.numel() != 1 {
            return Err(Error::State(format!("{ITERATIONS} is not one int64 number")));
        }
        let iterations = iterations.view(1).int64_value(&[0]);
        if iterations < 0 {
            return Err(Error::State(format!("{ITERATIONS} is {iterations}")));
        }
        self.slots.load_state(&rest)?;
        self.iterations = iterations;
        Ok(())
    }
}

inherent_methods!(KerasAdam);
