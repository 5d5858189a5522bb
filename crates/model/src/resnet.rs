//! ResNet-18, -34 and -50 (He et al., "Deep Residual Learning for Image
//! Recognition", 2016): the encoder trunk.
//!
//! Names and arithmetic are torchvision's (`conv1`, `bn1`, `layer1.0.conv1`, …,
//! `layer2.0.downsample.0`). The Keras variant has the same names here; what
//! differs is listed at [`Variant`].

use crate::layers::{
    BatchNorm, BatchNormConfig, Convolution, ConvolutionConfig, Dense, RunningVariance, relu,
};
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::Path;

/// How deep the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Depth {
    #[serde(rename = "resnet18")]
    R18,
    #[serde(rename = "resnet34")]
    R34,
    #[serde(rename = "resnet50")]
    R50,
}

impl Depth {
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::R18 => [2, 2, 2, 2],
            Self::R34 | Self::R50 => [3, 4, 6, 3],
        }
    }

    fn has_bottlenecks(self) -> bool {
        self == Self::R50
    }

    /// Length of the representation: 512, or 2,048 for ResNet-50.
    pub fn representation_width(self) -> i64 {
        if self.has_bottlenecks() { 2048 } else { 512 }
    }
}

/// Whose ResNet it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// torchvision's "v1.5": a bottleneck halves the image in its 3×3 convolution.
    #[default]
    Torchvision,
    /// `keras.applications` (v1): a bottleneck halves it in its first 1×1 convolution,
    /// every convolution has a bias, batch norm has eps 1.001e-5 and momentum 0.99.
    Keras,
    /// The same without Keras' fused kernel: running variances are biased.
    KerasUnfused,
}

impl Variant {
    fn batch_norm(self) -> BatchNormConfig {
        match self {
            Self::Torchvision => BatchNormConfig::TORCH,
            Self::Keras => BatchNormConfig::KERAS_RESNET,
            Self::KerasUnfused => {
                BatchNormConfig { running_variance: RunningVariance::Biased, ..BatchNormConfig::KERAS_RESNET }
            }
        }
    }

    fn has_biases(self) -> bool {
        self != Self::Torchvision
    }
}

/// A convolution and the batch norm after it.
#[derive(Debug)]
struct NormedConvolution {
    convolution: Convolution,
    norm: BatchNorm,
}

impl NormedConvolution {
    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        self.norm.forward_t(&self.convolution.forward(images), train)
    }
}

/// A residual block: two 3×3 convolutions, or a bottleneck of three.
#[derive(Debug)]
struct Block {
    convolutions: Vec<NormedConvolution>,
    downsample: Option<NormedConvolution>,
}

impl Block {
    fn new(path: &Path, inputs: i64, width: i64, stride: i64, depth: Depth, variant: Variant) -> Self {
        let layer = |conv: &str, norm: &str, inputs, outputs, kernel, stride| {
            let padding = kernel / 2;
            let config = ConvolutionConfig { stride, padding, bias: variant.has_biases(), groups: 1 };
            NormedConvolution {
                convolution: Convolution::new(&(path / conv), inputs, outputs, kernel, config),
                norm: BatchNorm::new(&(path / norm), outputs, variant.batch_norm()),
            }
        };
        let (convolutions, outputs) = if depth.has_bottlenecks() {
            let outputs = width * 4;
            let (first, second) = if variant == Variant::Torchvision { (1, stride) } else { (stride, 1) };
            let three = vec![
                layer("conv1", "bn1", inputs, width, 1, first),
                layer("conv2", "bn2", width, width, 3, second),
                layer("conv3", "bn3", width, outputs, 1, 1),
            ];
            (three, outputs)
        } else {
            let two = vec![
                layer("conv1", "bn1", inputs, width, 3, stride),
                layer("conv2", "bn2", width, width, 3, 1),
            ];
            (two, width)
        };
        let downsample = (stride != 1 || inputs != outputs).then(|| {
            let path = path / "downsample";
            let config = ConvolutionConfig { stride, bias: variant.has_biases(), ..Default::default() };
            NormedConvolution {
                convolution: Convolution::new(&(&path / "0"), inputs, outputs, 1, config),
                norm: BatchNorm::new(&(&path / "1"), outputs, variant.batch_norm()),
            }
        });
        Self { convolutions, downsample }
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let mut values = images.shallow_clone();
        for (position, layer) in self.convolutions.iter().enumerate() {
            values = layer.forward_t(&values, train);
            if position + 1 < self.convolutions.len() {
                values = relu(values);
            }
        }
        match &self.downsample {
            Some(shortcut) => relu(values + shortcut.forward_t(images, train)),
            None => relu(values + images),
        }
    }
}

/// Everything between the image and the representation, N×C×H×W each.
#[derive(Debug)]
pub struct FeatureMaps {
    /// After the first convolution, before its batch norm.
    pub first_convolution: Tensor,
    /// After batch norm and ReLU, before pooling.
    pub stem: Tensor,
    /// After max pooling.
    pub pooled: Tensor,
    /// After each of `layer1` to `layer4`.
    pub layers: [Tensor; 4],
    /// The spatial mean of the last one, `[N, 512 or 2,048]`.
    pub representation: Tensor,
}

/// The trunk, without the classifier.
#[derive(Debug)]
pub struct ResNet {
    stem: NormedConvolution,
    layers: [Vec<Block>; 4],
    depth: Depth,
}

impl ResNet {
    /// Builds the trunk under `path`, for RGB images. Its weights are zero until they
    /// are initialised or loaded.
    pub fn new(path: &Path, depth: Depth, variant: Variant) -> Self {
        let config = ConvolutionConfig { stride: 2, padding: 3, bias: variant.has_biases(), groups: 1 };
        let stem = NormedConvolution {
            convolution: Convolution::new(&(path / "conv1"), 3, 64, 7, config),
            norm: BatchNorm::new(&(path / "bn1"), 64, variant.batch_norm()),
        };
        let counts = depth.blocks();
        let mut inputs = 64;
        let layers = std::array::from_fn(|level| {
            let path = path / format!("layer{}", level + 1);
            let width = 64 << level;
            (0..counts[level])
                .map(|position| {
                    let stride = if level > 0 && position == 0 { 2 } else { 1 };
                    let block = Block::new(&(&path / position), inputs, width, stride, depth, variant);
                    inputs = if depth.has_bottlenecks() { width * 4 } else { width };
                    block
                })
                .collect()
        });
        Self { stem, layers, depth }
    }

    /// Length of the representation.
    pub fn representation_width(&self) -> i64 {
        self.depth.representation_width()
    }

    /// Images `[N, 3, H, W]` to representations `[N, 512 or 2,048]`.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let mut values = self.stem.forward_t(images, train);
        values = pool(&relu(values));
        for block in self.layers.iter().flatten() {
            values = block.forward_t(&values, train);
        }
        spatial_mean(&values)
    }

    /// Goes on from the output of `layer{level}`, 1 to 4, to the representation.
    pub fn representation_from(&self, level: usize, activations: &Tensor, train: bool) -> Tensor {
        let mut values = activations.shallow_clone();
        for block in self.layers.iter().skip(level).flatten() {
            values = block.forward_t(&values, train);
        }
        spatial_mean(&values)
    }

    /// As [`ResNet::forward_t`], keeping every stage: for heat maps and for checks.
    pub fn feature_maps(&self, images: &Tensor, train: bool) -> FeatureMaps {
        let first_convolution = self.stem.convolution.forward(images);
        let stem = relu(self.stem.norm.forward_t(&first_convolution, train));
        let pooled = pool(&stem);
        let mut values = pooled.shallow_clone();
        let layers = std::array::from_fn(|level| {
            for block in &self.layers[level] {
                values = block.forward_t(&values, train);
            }
            values.shallow_clone()
        });
        FeatureMaps { first_convolution, stem, pooled, layers, representation: spatial_mean(&values) }
    }
}

/// Max pooling 3×3 by 2. Keras pads with zeros and torch with −∞, which is the same
/// after a ReLU.
fn pool(images: &Tensor) -> Tensor {
    images.max_pool2d(3, 2, 1, 1, false)
}

fn spatial_mean(images: &Tensor) -> Tensor {
    images.mean_dim([2_i64, 3].as_slice(), false, None)
}

/// The dense layer `fc` that torchvision puts on the trunk.
#[derive(Debug)]
pub struct Classifier {
    dense: Dense,
}

impl Classifier {
    /// Builds `fc.weight` `[classes, width]` and `fc.bias` `[classes]` under `path`.
    pub fn new(path: &Path, width: i64, classes: i64) -> Self {
        Self { dense: Dense::new(&(path / "fc"), width, classes, true) }
    }

    /// Representations `[N, width]` to logits `[N, classes]`.
    pub fn forward(&self, representations: &Tensor) -> Tensor {
        self.dense.forward(representations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{Scheme, initialise};
    use tch::{Device, Kind, nn::VarStore};

    fn forward(depth: Depth, variant: Variant) -> Tensor {
        let store = VarStore::new(Device::Cpu);
        let network = ResNet::new(&store.root(), depth, variant);
        initialise(&store, 1, Scheme::Torch);
        let images = Tensor::linspace(-1.0, 1.0, 2 * 3 * 24 * 32, (Kind::Float, Device::Cpu));
        let images = images.view([2, 3, 24, 32]);
        let direct = network.forward_t(&images, false);
        assert_eq!(network.feature_maps(&images, false).representation, direct);
        direct
    }

    #[test]
    fn every_depth_gives_its_representation() {
        for (depth, width) in [(Depth::R18, 512), (Depth::R34, 512), (Depth::R50, 2048)] {
            let out = forward(depth, Variant::Torchvision);
            assert_eq!(out.size(), [2, width]);
            assert!(out.std(true).double_value(&[]) > 0.0 && out.isfinite().all().int64_value(&[]) == 1);
            assert_eq!(depth.representation_width(), width);
        }
        assert_eq!(forward(Depth::R50, Variant::Keras).size(), [2, 2048]);
    }

    #[test]
    fn feature_maps_halve_five_times() {
        let store = VarStore::new(Device::Cpu);
        let network = ResNet::new(&store.root(), Depth::R18, Variant::Torchvision);
        let maps = network.feature_maps(&Tensor::zeros([1, 3, 64, 96], (Kind::Float, Device::Cpu)), false);
        assert_eq!(maps.first_convolution.size(), [1, 64, 32, 48]);
        assert_eq!(maps.pooled.size(), [1, 64, 16, 24]);
        assert_eq!(maps.layers[3].size(), [1, 512, 2, 3]);
        for level in 1..=4 {
            let rest = network.representation_from(level, &maps.layers[level - 1], false);
            assert_eq!(rest, maps.representation);
        }
    }
}
