//! Optimisers whose state can be saved, restored and moved between devices bit
//! for bit; `tch`'s cannot save theirs.
//!
//! Every optimiser holds named parameters and one state tensor per parameter and
//! slot. The state is complete from the start (zeros), so a checkpoint after step
//! 0 has the same names as one after step 1,000. A parameter without a gradient is
//! left alone in that step, its state too. The learning rate comes with each step,
//! from a schedule: an optimiser knows no time.
//!
//! The formulas are those of PyTorch 2.13 ([`Adam`], [`AdamW`], [`Sgd`]), Keras
//! 2.15 ([`KerasAdam`]) and facebookresearch/vicreg ([`Lars`]). Adam runs libtorch's
//! fused kernel: one pass over memory, on the CPU and on CUDA.

mod adam;
mod ffi;
mod keras_adam;
mod lars;
pub mod schedule;
mod sgd;
mod slots;

use tch::Tensor;

pub use adam::{Adam, AdamConfig, AdamW, AdamWConfig};
pub use keras_adam::{KerasAdam, KerasAdamConfig};
pub use lars::{Lars, LarsConfig};
pub use sgd::{Sgd, SgdConfig};

use crate::error::Error;
use crate::named::NamedTensors;

/// What the training loops need of an optimiser.
pub trait Optimizer: Send {
    /// Updates every parameter that has a gradient, with learning rate `lr`.
    ///
    /// # Errors
    /// When libtorch refuses the tensors, for instance because a gradient lies on
    /// another device than the state.
    fn try_step(&mut self, lr: f64) -> Result<(), Error>;

    /// Updates every parameter that has a gradient, with learning rate `lr`.
    ///
    /// # Panics
    /// Where [`Self::try_step`] has an error, as `tch`'s own operations do: inside
    /// [`crate::guard()`] it becomes an error again.
    fn step(&mut self, lr: f64) {
        if let Err(error) = self.try_step(lr) {
            panic!("{error}");
        }
    }

    /// Forgets all gradients.
    fn zero_grad(&mut self);

    /// A copy of the state, `SLOT/PARAMETER` by name, on the parameters' device.
    fn state(&self) -> NamedTensors;

    /// Replaces the state, which may come from another device.
    ///
    /// # Errors
    /// When a tensor is missing, surplus, or of another shape or dtype; nothing is
    /// changed then.
    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), Error>;
}

/// Which optimiser, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OptimizerConfig {
    Adam(AdamConfig),
    AdamW(AdamWConfig),
    KerasAdam(KerasAdamConfig),
    Lars(LarsConfig),
    Sgd(SgdConfig),
}

impl OptimizerConfig {
    /// An optimiser of this kind over `parameters`.
    #[must_use]
    pub fn build(self, parameters: NamedTensors) -> Box<dyn Optimizer> {
        match self {
            Self::Adam(config) => Box::new(Adam::new(parameters, config)),
            Self::AdamW(config) => Box::new(AdamW::new(parameters, config)),
            Self::KerasAdam(config) => Box::new(KerasAdam::new(parameters, config)),
            Self::Lars(config) => Box::new(Lars::new(parameters, config)),
            Self::Sgd(config) => Box::new(Sgd::new(parameters, config)),
        }
    }
}

/// The inherent methods that every optimiser here has, so that callers need not
/// import the trait.
macro_rules! inherent_methods {
    ($name:ident) => {
        impl $name {
            /// Updates every parameter that has a gradient. See [`Optimizer::step`](super::Optimizer::step).
            ///
            /// # Panics
            /// When libtorch refuses the tensors, as `tch`'s own operations do.
            pub fn step(&mut self, lr: f64) {
                super::Optimizer::step(self, lr);
            }

            /// Forgets all gradients.
            pub fn zero_grad(&mut self) {
                super::Optimizer::zero_grad(self);
            }

            /// A copy of the state. See [`Optimizer::state`](super::Optimizer::state).
            #[must_use]
            pub fn state(&self) -> crate::NamedTensors {
                super::Optimizer::state(self)
            }

            /// Replaces the state. See [`Optimizer::load_state`](super::Optimizer::load_state).
            ///
            /// # Errors
            /// When a tensor is missing, surplus, or of another shape or dtype.
            pub fn load_state(&mut self, state: &[(String, tch::Tensor)]) -> Result<(), crate::Error> {
                super::Optimizer::load_state(self, state)
            }
        }
    };
}
use inherent_methods;

#[cfg(test)]
mod tests;
