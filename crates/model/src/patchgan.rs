//! The PatchGAN discriminator of pix2pix and cycleGAN (Isola et al. 2017), with the
//! authors' names (`model.0.weight`, …).

use crate::error::Error;
use crate::layers::{Convolution, ConvolutionConfig, Norm, NormLayer, leaky_relu};
use tch::Tensor;
use tch::nn::Path;

/// Judges overlapping patches: an image gives a small map of logits (no sigmoid).
#[derive(Debug)]
pub struct PatchGan {
    first: Convolution,
    middle: Vec<(Convolution, NormLayer)>,
    last: Convolution,
}

impl PatchGan {
    /// Builds the discriminator under `path`.
    ///
    /// `in_channels` counts the condition and the image together for pix2pix, the
    /// image alone for cycleGAN; `filters` is 64 and `layers` 3 in the publication
    /// (patches of 70 px).
    ///
    /// # Errors
    /// When a number is below one.
    pub fn new(
        path: &Path,
        in_channels: i64,
        filters: i64,
        layers: usize,
        norm: Norm,
    ) -> Result<Self, Error> {
        let counts = [
            ("in_channels", in_channels),
            ("filters", filters),
            ("layers", i64::try_from(layers).unwrap_or(i64::MAX)),
        ];
        if let Some((field, count)) = counts.into_iter().find(|(_, count)| *count < 1) {
            let rule = "it has to be at least 1";
            return Err(Error::Config { network: "patchgan", field, value: count.to_string(), rule });
        }
        let model = path / "model";
        let convolution = |position: usize, inputs, outputs, stride, bias| {
            let config = ConvolutionConfig { stride, padding: 1, bias, groups: 1 };
            Convolution::new(&(&model / position), inputs, outputs, 4, config)
        };
        let width_after = |layer: usize| filters * (1_i64 << layer.min(3));
        let middle = (1..=layers)
            .map(|layer| {
                let position = 3 * layer - 1;
                let stride = if layer == layers { 1 } else { 2 };
                let (inputs, outputs) = (width_after(layer - 1), width_after(layer));
                let convolution = convolution(position, inputs, outputs, stride, norm.needs_bias());
                (convolution, norm.layer(&(&model / (position + 1)), outputs))
            })
            .collect();
        Ok(Self {
            first: convolution(0, in_channels, filters, 2, true),
            middle,
            last: convolution(3 * layers + 2, width_after(layers), 1, 1, true),
        })
    }

    /// Images `[N, in_channels, H, W]` to logits `[N, 1, h, w]`; for three layers h and w
    /// are an eighth of the image less two.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let mut values = leaky_relu(&self.first.forward(images));
        for (convolution, norm) in &self.middle {
            values = leaky_relu(&norm.forward_t(&convolution.forward(&values), train));
        }
        self.last.forward(&values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, nn::VarStore};

    #[test]
    fn an_image_gives_a_map_of_logits() {
        for (norm, variables) in [(Norm::Batch, 2 + 3 * 5 + 2), (Norm::Instance, 10)] {
            let store = VarStore::new(Device::Cpu);
            let judge = PatchGan::new(&store.root(), 6, 4, 3, norm).expect("in range");
            assert_eq!(store.len(), variables);
            let images = Tensor::ones([2, 6, 64, 96], (Kind::Float, Device::Cpu));
            assert_eq!(judge.forward_t(&images, true).size(), [2, 1, 6, 10]);
        }
    }

    #[test]
    fn a_count_below_one_is_refused_by_name() {
        let store = VarStore::new(Device::Cpu);
        let error = PatchGan::new(&store.root(), 6, 4, 0, Norm::Batch).expect_err("no layer");
        assert!(error.to_string().contains("layers = 0"), "{error}");
    }
}
