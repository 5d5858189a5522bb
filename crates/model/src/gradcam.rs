//! Heat maps of what a network looks at: Grad-CAM (Selvaraju et al. 2017) and
//! Grad-CAM++ (Chattopadhay et al. 2018), as `pytorch-grad-cam` computes them.

use serde::{Deserialize, Serialize};
use tch::Tensor;

/// How gradients become weights of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    GradCam,
    GradCamPlusPlus,
}

/// A heat map at the resolution of the activations.
#[derive(Debug)]
pub struct HeatMap {
    /// How much each channel counts, `[N, C]`.
    pub weights: Tensor,
    /// The weighted sum of the channels before its ReLU, `[N, h, w]`.
    pub raw: Tensor,
}

impl HeatMap {
    /// The map as shown over an image: positive part, stretched to 0..1 per image,
    /// bilinearly resized to `height`×`width` and stretched again, `[N, height, width]`.
    pub fn over_image(&self, height: i64, width: i64) -> Tensor {
        let stretched = stretch(&self.raw.relu()).unsqueeze(1);
        let resized = stretched.upsample_bilinear2d([height, width], false, None, None).squeeze_dim(1);
        stretch(&resized.relu())
    }
}

/// Computes a heat map.
///
/// `activations` `[N, C, h, w]` are those of the layer in question; `scores` goes on
/// from there to one score per image (the logit of the class in question), `[N]`.
pub fn heat_map(activations: &Tensor, scores: impl FnOnce(&Tensor) -> Tensor, method: Method) -> HeatMap {
    let activations = activations.detach().copy().set_requires_grad(true);
    let total = tch::with_grad(|| scores(&activations).sum(None));
    let gradients = Tensor::run_backward(&[total], &[&activations], false, false).remove(0);
    let activations = activations.detach();
    let weights = match method {
        Method::GradCam => gradients.mean_dim(SPATIAL.as_slice(), false, None),
        Method::GradCamPlusPlus => plus_plus_weights(&gradients, &activations),
    };
    let weighted = weights.unsqueeze(-1).unsqueeze(-1) * &activations;
    HeatMap { raw: weighted.sum_dim_intlist([1_i64].as_slice(), false, None), weights }
}

const SPATIAL: [i64; 2] = [2, 3];

fn plus_plus_weights(gradients: &Tensor, activations: &Tensor) -> Tensor {
    let squared = gradients * gradients;
    let cubed = &squared * gradients;
    let summed = activations.sum_dim_intlist(SPATIAL.as_slice(), true, None);
    let shares = &squared / (&squared * 2.0 + summed * cubed + 1e-6);
    let shares = shares.where_self(&gradients.ne(0.0), &shares.zeros_like());
    (gradients.relu() * shares).sum_dim_intlist(SPATIAL.as_slice(), false, None)
}

/// Each image's values to 0..1. An image without a positive value becomes zero.
fn stretch(maps: &Tensor) -> Tensor {
    let last_two = [-2_i64, -1];
    let shifted = maps - maps.amin(last_two.as_slice(), true);
    let highest = shifted.amax(last_two.as_slice(), true);
    shifted / (highest + 1e-7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn the_map_is_high_where_the_score_comes_from() {
        let activations = Tensor::zeros([1, 2, 4, 4], (Kind::Float, Device::Cpu));
        let _ = activations.get(0).get(1).get(2).get(3).fill_(5.0);
        for method in [Method::GradCam, Method::GradCamPlusPlus] {
            let map = heat_map(
                &activations,
                |values| values.select(1, 1).sum_dim_intlist([1_i64, 2].as_slice(), false, None),
                method,
            );
            let shown = map.over_image(8, 8);
            assert_eq!(shown.size(), [1, 8, 8]);
            assert!(shown.double_value(&[0, 5, 7]) > 0.9);
            assert_eq!(shown.double_value(&[0, 0, 0]), 0.0);
            assert_eq!(map.weights.size(), [1, 2]);
        }
    }

    #[test]
    fn a_score_that_ignores_the_image_gives_a_map_of_zeros() {
        let activations = Tensor::ones([2, 3, 4, 4], (Kind::Float, Device::Cpu));
        let map = heat_map(
            &activations,
            |values| values.sum_dim_intlist([1_i64, 2, 3].as_slice(), false, None) * 0.0,
            Method::GradCamPlusPlus,
        );
        let shown = map.over_image(4, 4);
        assert_eq!(shown.abs().max().double_value(&[]), 0.0);
    }
}
