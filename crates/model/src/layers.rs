//! The layers that every network here is made of.
//!
//! They differ from `tch::nn` in three ways: they draw nothing from libtorch's
//! generator when they are built (weights are zero until [`crate::init`] or
//! [`crate::weights`] fills them), they share one shape of configuration, and batch
//! norm knows both conventions for its running variance. Images are N×C×H×W.

use serde::{Deserialize, Serialize};
use tch::nn::{Init, Path};
use tch::{Tensor, no_grad};

/// Geometry of a square convolution. The default is stride 1, no padding, one
/// group, no bias.
#[derive(Debug, Clone, Copy)]
pub struct ConvolutionConfig {
    pub stride: i64,
    pub padding: i64,
    pub groups: i64,
    pub bias: bool,
}

impl Default for ConvolutionConfig {
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1, bias: false }
    }
}

/// A convolution with a square kernel: `weight` `[out, in / groups, k, k]`, `bias` `[out]`.
#[derive(Debug)]
pub struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    config: ConvolutionConfig,
}

impl Convolution {
    pub fn new(path: &Path, inputs: i64, outputs: i64, kernel: i64, config: ConvolutionConfig) -> Self {
        let shape = [outputs, inputs / config.groups, kernel, kernel];
        let weight = path.var("weight", &shape, Init::Const(0.0));
        let bias = config.bias.then(|| path.var("bias", &[outputs], Init::Const(0.0)));
        Self { weight, bias, config }
    }

    pub fn forward(&self, images: &Tensor) -> Tensor {
        let ConvolutionConfig { stride, padding, groups, .. } = self.config;
        images.conv2d(&self.weight, self.bias.as_ref(), stride, padding, 1, groups)
    }
}

/// A transposed convolution: `weight` `[in, out, k, k]`, `bias` `[out]`.
#[derive(Debug)]
pub struct TransposedConvolution {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
    output_padding: i64,
}

impl TransposedConvolution {
    /// One that doubles the side of an image; `output_padding` is 0 for a kernel of
    /// 4, 1 for a kernel of 3.
    pub fn doubling(path: &Path, inputs: i64, outputs: i64, kernel: i64, bias: bool) -> Self {
        let weight = path.var("weight", &[inputs, outputs, kernel, kernel], Init::Const(0.0));
        let bias = bias.then(|| path.var("bias", &[outputs], Init::Const(0.0)));
        Self { weight, bias, stride: 2, padding: 1, output_padding: kernel % 2 }
    }

    pub fn forward(&self, images: &Tensor) -> Tensor {
        images.conv_transpose2d(
            &self.weight,
            self.bias.as_ref(),
            self.stride,
            self.padding,
            self.output_padding,
            1,
            1,
        )
    }
}

/// A fully connected layer: `weight` `[out, in]`, `bias` `[out]`.
#[derive(Debug)]
pub struct Dense {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Dense {
    pub fn new(path: &Path, inputs: i64, outputs: i64, bias: bool) -> Self {
        let weight = path.var("weight", &[outputs, inputs], Init::Const(0.0));
        let bias = bias.then(|| path.var("bias", &[outputs], Init::Const(0.0)));
        Self { weight, bias }
    }

    pub fn forward(&self, rows: &Tensor) -> Tensor {
        rows.linear(&self.weight, self.bias.as_ref())
    }
}

/// Which variance of a batch goes into the running variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunningVariance {
    /// Divided by n − 1: torch, and Keras' fused kernel.
    Unbiased,
    /// Divided by n: Keras without the fused kernel (float64, for one).
    Biased,
}

/// Constants of a batch norm.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormConfig {
    /// Added to the variance.
    pub eps: f64,
    /// Share of the new batch in the running statistics (Keras states one minus this).
    pub momentum: f64,
    pub running_variance: RunningVariance,
}

impl BatchNormConfig {
    /// torch's defaults.
    pub const TORCH: Self = Self { eps: 1e-5, momentum: 0.1, running_variance: RunningVariance::Unbiased };
    /// Those of Keras' ResNet-50, fused.
    pub const KERAS_RESNET: Self =
        Self { eps: 1.001e-5, momentum: KERAS_MOMENTUM, running_variance: RunningVariance::Unbiased };
    /// Keras' defaults for a layer of its own (a projector's), fused.
    pub const KERAS: Self =
        Self { eps: 1e-3, momentum: KERAS_MOMENTUM, running_variance: RunningVariance::Unbiased };
}

/// Keras states 0.99 and computes one minus that in f32, also for f64 variables.
const KERAS_MOMENTUM: f64 = 0.01_f32 as f64;

/// Batch norm over all dimensions but the second: `weight`, `bias`, `running_mean`
/// and `running_var`, each `[channels]`.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    config: BatchNormConfig,
}

impl BatchNorm {
    pub fn new(path: &Path, channels: i64, config: BatchNormConfig) -> Self {
        Self {
            weight: path.ones("weight", &[channels]),
            bias: path.zeros("bias", &[channels]),
            running_mean: path.zeros_no_train("running_mean", &[channels]),
            running_var: path.ones_no_train("running_var", &[channels]),
            config,
        }
    }

    /// With `train`, normalises by the batch and updates the running statistics;
    /// otherwise normalises by those.
    pub fn forward_t(&self, values: &Tensor, train: bool) -> Tensor {
        let biased = train && self.config.running_variance == RunningVariance::Biased;
        // libtorch's graph keeps the running variance that it is given. Where it is
        // corrected afterwards, it gets a copy: two calls of one layer before one
        // backward pass (two branches, one encoder) would fail otherwise.
        let running_var =
            if biased { no_grad(|| self.running_var.copy()) } else { self.running_var.shallow_clone() };
        let out = Tensor::batch_norm(
            values,
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&running_var),
            train,
            self.config.momentum,
            self.config.eps,
            true,
        );
        if biased {
            self.mix_in_biased(&running_var, values);
        }
        out
    }

    /// `unbiased` has the variance over n − 1 mixed in; takes over that share times
    /// (n − 1) / n.
    fn mix_in_biased(&self, unbiased: &Tensor, values: &Tensor) {
        no_grad(|| {
            let channels = self.running_var.size()[0];
            let count = values.numel() as f64 / channels as f64;
            let kept = &self.running_var * (1.0 - self.config.momentum);
            let mixed_in = (unbiased - &kept) * ((count - 1.0) / count);
            self.running_var.shallow_clone().copy_(&(kept + mixed_in));
        });
    }
}

/// The norm of a GAN's networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Batch norm (pix2pix): convolutions before it have no bias.
    #[default]
    Batch,
    /// Instance norm without parameters (cycleGAN): convolutions keep their bias.
    Instance,
}

impl Norm {
    /// Whether a convolution that is followed by this norm has a bias.
    pub(crate) fn needs_bias(self) -> bool {
        self == Self::Instance
    }

    pub(crate) fn layer(self, path: &Path, channels: i64) -> NormLayer {
        match self {
            Self::Batch => NormLayer::Batch(BatchNorm::new(path, channels, BatchNormConfig::TORCH)),
            Self::Instance => NormLayer::Instance,
        }
    }
}

/// A norm with its parameters, where it has some.
#[derive(Debug)]
pub(crate) enum NormLayer {
    Batch(BatchNorm),
    Instance,
}

impl NormLayer {
    pub(crate) fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        match self {
            Self::Batch(norm) => norm.forward_t(images, train),
            // It has no running statistics, so that it normalises by the image itself
            // in both modes.
            Self::Instance => images.instance_norm(
                None::<Tensor>,
                None::<Tensor>,
                None::<Tensor>,
                None::<Tensor>,
                true,
                0.1,
                1e-5,
                true,
            ),
        }
    }
}

/// ReLU that reuses its argument's memory, which the caller gives up.
pub(crate) fn relu(mut values: Tensor) -> Tensor {
    values.relu_()
}

/// Leaky ReLU with slope 0.2, as the GANs' networks use it.
pub(crate) fn leaky_relu(values: &Tensor) -> Tensor {
    // `leaky_relu` of tch takes no slope. This form has torch's gradient at zero too,
    // where many values lie (borders, black background).
    values.where_self(&values.gt(0.0), &(values * 0.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, nn::VarStore};

    fn statistics_after_one_batch(running_variance: RunningVariance) -> (f64, f64) {
        let store = VarStore::new(Device::Cpu);
        let config = BatchNormConfig { running_variance, momentum: 0.25, ..BatchNormConfig::TORCH };
        let norm = BatchNorm::new(&store.root(), 1, config);
        let batch = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 6.0]).view([4, 1]);
        let _ = norm.forward_t(&batch, true);
        (norm.running_mean.double_value(&[0]), norm.running_var.double_value(&[0]))
    }

    #[test]
    fn the_running_variance_follows_its_convention() {
        // The batch has mean 3 and squared deviations of 14 in sum.
        let (mean, unbiased) = statistics_after_one_batch(RunningVariance::Unbiased);
        assert!((mean - 0.75).abs() < 1e-6);
        assert!((unbiased - (0.75 + 0.25 * 14.0 / 3.0)).abs() < 1e-6);
        let (_, biased) = statistics_after_one_batch(RunningVariance::Biased);
        assert!((biased - (0.75 + 0.25 * 14.0 / 4.0)).abs() < 1e-6);
    }

    #[test]
    fn evaluation_leaves_the_statistics_alone() {
        let store = VarStore::new(Device::Cpu);
        let norm = BatchNorm::new(&store.root(), 2, BatchNormConfig::TORCH);
        let _ = norm.forward_t(&Tensor::ones([3, 2, 4, 4], (Kind::Float, Device::Cpu)), false);
        assert_eq!(norm.running_mean.double_value(&[1]), 0.0);
        assert_eq!(norm.running_var.double_value(&[1]), 1.0);
    }

    #[test]
    fn leaky_relu_has_slope_one_fifth_below_zero() {
        let out = leaky_relu(&Tensor::from_slice(&[-10.0_f32, 0.0, 3.0]));
        assert_eq!(Vec::<f32>::try_from(out).ok(), Some(vec![-2.0, 0.0, 3.0]));
    }
}
