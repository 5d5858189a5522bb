//! The losses of pix2pix and cycleGAN, always computed in at least f32.
//!
//! Reference: `GANLoss` and the models of junyanz/pytorch-CycleGAN-and-pix2pix.

use tch::{Kind, Reduction, Tensor};

/// The adversarial objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GanMode {
    /// Binary cross-entropy with logits (Goodfellow et al. 2014, non-saturating).
    Vanilla,
    /// Least squares (Mao et al. 2017).
    LeastSquares,
    /// The critic's score (Arjovsky et al. 2017), without the gradient penalty.
    Wasserstein,
}

impl GanMode {
    /// Mean loss of a discriminator's raw output (any shape) against "real" (1) or
    /// "fake" (0) everywhere. A scalar.
    pub fn loss(self, prediction: &Tensor, is_real: bool) -> Tensor {
        let prediction = at_least_f32(prediction);
        let target = prediction.full_like(f64::from(u8::from(is_real)));
        match self {
            Self::Vanilla => prediction.binary_cross_entropy_with_logits(
                &target,
                None::<&Tensor>,
                None::<&Tensor>,
                Reduction::Mean,
            ),
            Self::LeastSquares => prediction.mse_loss(&target, Reduction::Mean),
            Self::Wasserstein if is_real => -prediction.mean(None),
            Self::Wasserstein => prediction.mean(None),
        }
    }
}

/// Mean absolute difference of two tensors of one shape. A scalar.
pub fn l1(prediction: &Tensor, target: &Tensor) -> Tensor {
    at_least_f32(prediction).l1_loss(&at_least_f32(target), Reduction::Mean)
}

/// Half-precision tensors as f32; f32 and f64 as they are.
pub fn at_least_f32(tensor: &Tensor) -> Tensor {
    match tensor.kind() {
        Kind::Half | Kind::BFloat16 => tensor.to_kind(Kind::Float),
        _ => tensor.shallow_clone(),
    }
}

/// Scalars read from the device in one transfer.
pub fn read_scalars(scalars: &[&Tensor]) -> Result<Vec<f64>, tch::TchError> {
    let flat: Vec<Tensor> = scalars.iter().map(|scalar| scalar.detach().to_kind(Kind::Double)).collect();
    Vec::try_from(Tensor::f_stack(&flat, 0)?.f_reshape([-1])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(tensor: &Tensor) -> f64 {
        f64::try_from(tensor).unwrap()
    }

    #[test]
    fn an_undecided_discriminator_costs_ln_2_or_a_quarter() {
        let undecided = Tensor::zeros([2, 1, 3, 3], (Kind::Float, tch::Device::Cpu));
        assert!((value(&GanMode::Vanilla.loss(&undecided, true)) - std::f64::consts::LN_2).abs() < 1e-6);
        assert!((value(&GanMode::LeastSquares.loss(&(undecided + 0.5), false)) - 0.25).abs() < 1e-6);
    }

    #[test]
    fn losses_of_bf16_predictions_are_f32() {
        let prediction = Tensor::ones([4], (Kind::BFloat16, tch::Device::Cpu));
        assert_eq!(GanMode::Vanilla.loss(&prediction, true).kind(), Kind::Float);
        assert_eq!(l1(&prediction, &prediction).kind(), Kind::Float);
    }

    #[test]
    fn scalars_are_read_in_order() {
        let read = read_scalars(&[&Tensor::from(1.5_f32), &Tensor::from(2.0_f64)]).unwrap();
        assert_eq!(read, [1.5, 2.0]);
    }
}
