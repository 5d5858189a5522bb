//! Loss scaling for f16 training (Micikevicius et al., "Mixed Precision Training",
//! 2018), with the constants of `torch.amp.GradScaler`. bf16 and f32 need none.

use crate::error::Error;
use tch::{Kind, Tensor};

/// Multiplies the loss so that small gradients survive f16, and finds the largest
/// factor that does not overflow. Its state is part of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct LossScale {
    factor: f64,
    good_steps: i64,
}

const INITIAL_FACTOR: f64 = 65_536.0;
const GROWTH: f64 = 2.0;
const BACKOFF: f64 = 0.5;
const GOOD_STEPS_TO_GROW: i64 = 2_000;

impl Default for LossScale {
    fn default() -> Self {
        Self { factor: INITIAL_FACTOR, good_steps: 0 }
    }
}

impl LossScale {
    /// The present factor.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// The loss to call `backward` on.
    pub fn scale(&self, loss: &Tensor) -> Tensor {
        loss * self.factor
    }

    /// Divides the gradients by the factor again, in place, and adapts the factor.
    /// `true`: the gradients are finite, take the step. `false`: they overflowed,
    /// skip this step. Parameters without a gradient are passed over.
    pub fn unscale(&mut self, parameters: &[Tensor]) -> bool {
        let gradients: Vec<Tensor> = parameters.iter().map(Tensor::grad).filter(Tensor::defined).collect();
        let inverse = 1.0 / self.factor;
        let finite: Vec<Tensor> = gradients
            .into_iter()
            .map(|mut gradient| {
                let _ = gradient.g_mul_scalar_(inverse);
                gradient.isfinite().all()
            })
            .collect();
        // One transfer from the device for all of them.
        let all_finite =
            finite.is_empty() || Tensor::stack(&finite, 0).all().to_kind(Kind::Int64).int64_value(&[]) == 1;
        self.adapt(all_finite);
        all_finite
    }

    fn adapt(&mut self, step_was_good: bool) {
        if !step_was_good {
            self.factor *= BACKOFF;
            self.good_steps = 0;
            return;
        }
        self.good_steps += 1;
        if self.good_steps == GOOD_STEPS_TO_GROW {
            self.factor *= GROWTH;
            self.good_steps = 0;
        }
    }

    /// What a checkpoint has to hold: `factor` (f64) and `good_steps` (i64), scalars.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        vec![
            ("factor".to_owned(), Tensor::from(self.factor)),
            ("good_steps".to_owned(), Tensor::from(self.good_steps)),
        ]
    }

    /// Puts a state from [`LossScale::state`] back.
    ///
    /// # Errors
    /// When one of the two is missing or is no number above zero.
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), Error> {
        let find = |name: &str| {
            let found = state.iter().find(|(own, tensor)| own == name && tensor.numel() == 1);
            found.map(|(_, tensor)| tensor.double_value(&[])).ok_or_else(|| {
                Error::State(format!("the loss scale's `{name}` is missing or is not one number"))
            })
        };
        let factor = find("factor")?;
        let good_steps = find("good_steps")?;
        if !(factor.is_finite() && factor > 0.0 && good_steps >= 0.0) {
            return Err(Error::State(format!("a loss scale of {factor} after {good_steps} steps")));
        }
        (self.factor, self.good_steps) = (factor, good_steps as i64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn parameter_with_gradient(gradient: f64, scale: &LossScale) -> Tensor {
        let parameter = Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        scale.scale(&(&parameter * gradient).sum(Kind::Float)).backward();
        parameter
    }

    #[test]
    fn gradients_come_back_unscaled() {
        let mut scale = LossScale::default();
        let parameter = parameter_with_gradient(0.25, &scale);
        assert!(scale.unscale(std::slice::from_ref(&parameter)));
        assert_eq!(Vec::<f32>::try_from(parameter.grad()).ok(), Some(vec![0.25; 3]));
    }

    #[test]
    fn an_overflow_halves_the_factor_and_skips_the_step() {
        let mut scale = LossScale::default();
        let parameter = parameter_with_gradient(f64::INFINITY, &scale);
        assert!(!scale.unscale(&[parameter]));
        assert_eq!(scale.factor(), 32_768.0);
    }

    #[test]
    fn two_thousand_good_steps_double_the_factor() {
        let mut scale = LossScale::default();
        for _ in 0..GOOD_STEPS_TO_GROW {
            assert_eq!(scale.factor(), INITIAL_FACTOR);
            assert!(scale.unscale(&[]));
        }
        assert_eq!(scale.factor(), 2.0 * INITIAL_FACTOR);
    }

    #[test]
    fn the_state_comes_back_and_a_wrong_one_is_refused() {
        let mut scale = LossScale { factor: 1024.0, good_steps: 17 };
        let mut other = LossScale::default();
        other.load_state(&scale.state()).expect("its own state");
        assert_eq!(other, scale);
        assert!(scale.load_state(&[]).is_err());
        assert!(scale.load_state(&[("factor".into(), Tensor::from(-1.0))]).is_err());
    }
}
