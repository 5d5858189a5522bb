//! The losses of HoVer-Net, always computed in at least f32.
//!
//! Reference: `models/hovernet/utils.py` and `run_desc.py` of vqdang/hover_net (Graham
//! et al. 2019). All maps are `[N, H, W, C]`. A quirk of the reference is kept: the
//! gradient of the horizontal map is taken along the rows, and that of the vertical map along the columns.

use tch::Tensor;

use crate::engine::loss::at_least_f32;

/// Probabilities are kept this far from 0 and 1.
const SMALLEST_PROBABILITY: f64 = 1e-7;
/// Added to numerator and denominator of the Dice coefficient.
const DICE_SMOOTHING: f64 = 1e-3;
/// Side of the gradient's kernel.
const KERNEL: i64 = 5;

/// What the network is trained to predict for a batch of crops.
#[derive(Debug)]
pub struct HoverNetTargets {
    /// `[N, H, W]`, 0 or 1, i64.
    pub foreground: Tensor,
    /// `[N, H, W, 2]`, horizontal and vertical distance, -1..1.
    pub distances: Tensor,
    /// `[N, H, W]`, types from 0 (background), i64; only where types are learned.
    pub types: Option<Tensor>,
}

/// The network's raw outputs for the same batch, before any softmax.
#[derive(Debug)]
pub struct HoverNetOutputs {
    /// `[N, H, W, 2]`.
    pub foreground: Tensor,
    /// `[N, H, W, 2]`.
    pub distances: Tensor,
    /// `[N, H, W, types]`; only where types are learned.
    pub types: Option<Tensor>,
}

/// The terms of the loss, each a scalar.
#[derive(Debug)]
pub struct HoverNetTerms {
    /// Cross-entropy of the foreground.
    pub foreground_cross_entropy: Tensor,
    /// Dice loss of the foreground.
    pub foreground_dice: Tensor,
    /// Cross-entropy and Dice loss of the types.
    pub types: Option<(Tensor, Tensor)>,
    /// Mean squared error of the distances.
    pub distance_error: Tensor,
    /// Mean squared error of the distances' gradients inside nuclei.
    pub gradient_error: Tensor,
}

/// Weights of the terms; those that are not here weigh 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HoverNetWeights {
    /// Of [`HoverNetTerms::distance_error`].
    pub distance_error: f64,
    /// Of [`HoverNetTerms::gradient_error`].
    pub gradient_error: f64,
}

impl HoverNetWeights {
    /// All 1.
    pub const PUBLISHED: Self = Self { distance_error: 1.0, gradient_error: 1.0 };
}

impl HoverNetTerms {
    /// The weighted sum.
    pub fn total(&self, weights: &HoverNetWeights) -> Tensor {
        let mut total = &self.foreground_cross_entropy + &self.foreground_dice;
        if let Some((cross_entropy, dice)) = &self.types {
            total = total + cross_entropy + dice;
        }
        total + &self.distance_error * weights.distance_error + &self.gradient_error * weights.gradient_error
    }
}

/// All terms for one batch; types count only where both sides have them.
pub fn hovernet_loss(outputs: &HoverNetOutputs, targets: &HoverNetTargets) -> HoverNetTerms {
    let raw = at_least_f32(&outputs.foreground);
    let foreground = one_hot(&targets.foreground, &raw);
    let probabilities = raw.softmax(-1, raw.kind());
    let types = outputs.types.as_ref().zip(targets.types.as_ref()).map(|(raw, types)| {
        let raw = at_least_f32(raw);
        let (truth, probabilities) = (one_hot(types, &raw), raw.softmax(-1, raw.kind()));
        (cross_entropy(&probabilities, &truth), dice_loss(&probabilities, &truth))
    });
    let distances = at_least_f32(&outputs.distances);
    let truth = targets.distances.to_kind(distances.kind());
    HoverNetTerms {
        foreground_cross_entropy: cross_entropy(&probabilities, &foreground),
        foreground_dice: dice_loss(&probabilities, &foreground),
        types,
        distance_error: (&distances - &truth).square().mean(None),
        gradient_error: gradient_error(&distances, &truth, &targets.foreground),
    }
}

/// `[N, H, W]` of class numbers as `[N, H, W, C]` in the type and with the classes of `like`.
fn one_hot(classes: &Tensor, like: &Tensor) -> Tensor {
    let count = like.size().last().copied().unwrap_or(1);
    classes.one_hot(count).to_kind(like.kind())
}

/// Categorical cross-entropy of probabilities, averaged over all pixels.
pub fn cross_entropy(probabilities: &Tensor, truth: &Tensor) -> Tensor {
    let sums = probabilities.sum_dim_intlist([-1_i64].as_slice(), true, None);
    let probabilities = (probabilities / sums).clamp(SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY);
    -(truth * probabilities.log()).sum_dim_intlist([-1_i64].as_slice(), false, None).mean(None)
}

/// 1 minus the Dice coefficient over the whole batch, summed over the classes.
pub fn dice_loss(probabilities: &Tensor, truth: &Tensor) -> Tensor {
    let over_pixels = |tensor: &Tensor| tensor.sum_dim_intlist([0_i64, 1, 2].as_slice(), false, None);
    let common = over_pixels(&(probabilities * truth)) * 2.0 + DICE_SMOOTHING;
    let all = over_pixels(probabilities) + over_pixels(truth) + DICE_SMOOTHING;
    (1.0_f64 - common / all).sum(None)
}

/// Mean squared difference of the gradients of two distance maps over the pixels of `focus`.
pub fn gradient_error(distances: &Tensor, truth: &Tensor, focus: &Tensor) -> Tensor {
    let kind = distances.kind();
    let focus = focus.unsqueeze(-1).to_kind(kind).expand([-1, -1, -1, 2], true);
    let difference = gradients(distances) - gradients(truth);
    (&focus * difference.square()).sum(None) / (focus.sum(None) + 1e-8)
}

/// The first map's gradient along rows and the second's along columns, `[N, H, W, 2]`.
fn gradients(distances: &Tensor) -> Tensor {
    let options = (distances.kind(), distances.device());
    let range = Tensor::arange_start(-(KERNEL / 2), KERNEL / 2 + 1, options);
    let (rows, columns) = (range.unsqueeze(1), range.unsqueeze(0));
    let squares = rows.square() + columns.square() + 1e-15;
    let derivative = |channel: i64, kernel: Tensor| {
        distances.select(-1, channel).unsqueeze(1).conv2d(
            &kernel.view([1, 1, KERNEL, KERNEL]),
            None::<Tensor>,
            1,
            KERNEL / 2,
            1,
            1,
        )
    };
    let along_rows = derivative(0, rows / &squares);
    let along_columns = derivative(1, columns / &squares);
    Tensor::cat(&[along_rows, along_columns], 1).permute([0, 2, 3, 1])
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn targets() -> HoverNetTargets {
        HoverNetTargets {
            foreground: Tensor::from_slice(&[0_i64, 1, 1, 0]).view([1, 2, 2]),
            distances: Tensor::zeros([1, 2, 2, 2], (Kind::Float, Device::Cpu)),
            types: Some(Tensor::from_slice(&[0_i64, 2, 1, 0]).view([1, 2, 2])),
        }
    }

    fn certain(classes: &Tensor, count: i64) -> Tensor {
        classes.one_hot(count).to_kind(Kind::Float) * 50.0
    }

    #[test]
    fn a_perfect_prediction_loses_next_to_nothing() {
        let targets = targets();
        let outputs = HoverNetOutputs {
            foreground: certain(&targets.foreground, 2),
            distances: targets.distances.copy(),
            types: targets.types.as_ref().map(|types| certain(types, 3)),
        };
        let total = hovernet_loss(&outputs, &targets).total(&HoverNetWeights::PUBLISHED).double_value(&[]);
        assert!(total.abs() < 1e-4, "{total}");
    }

    #[test]
    fn each_weight_counts_for_its_own_term() {
        let targets = HoverNetTargets { types: None, ..targets() };
        let outputs = HoverNetOutputs {
            foreground: certain(&targets.foreground, 2),
            // Squared errors of 1, and gradients that differ from none.
            distances: Tensor::ones([1, 2, 2, 2], (Kind::Float, Device::Cpu)),
            types: None,
        };
        let terms = hovernet_loss(&outputs, &targets);
        let total = |distance_error, gradient_error| {
            terms.total(&HoverNetWeights { distance_error, gradient_error }).double_value(&[])
        };
        let gradient = terms.gradient_error.double_value(&[]);
        assert!(gradient > 0.1, "{gradient}");
        assert!((total(3.0, 0.0) - 3.0).abs() < 1e-4);
        assert!((total(0.0, 0.5) - 0.5 * gradient).abs() < 1e-4);
    }

    #[test]
    fn without_types_only_the_other_terms_count_and_nothing_in_focus_is_no_error() {
        let targets = HoverNetTargets { types: None, ..targets() };
        let targets = HoverNetTargets { foreground: targets.foreground.zeros_like(), ..targets };
        let outputs = HoverNetOutputs {
            foreground: Tensor::zeros([1, 2, 2, 2], (Kind::BFloat16, Device::Cpu)),
            distances: Tensor::ones([1, 2, 2, 2], (Kind::BFloat16, Device::Cpu)),
            types: None,
        };
        let terms = hovernet_loss(&outputs, &targets);
        assert!(terms.types.is_none());
        assert_eq!(terms.gradient_error.double_value(&[]), 0.0);
        assert_eq!(terms.total(&HoverNetWeights::PUBLISHED).kind(), Kind::Float);
        assert!(terms.total(&HoverNetWeights::PUBLISHED).double_value(&[]).is_finite());
    }
}
