//! The ResNet generator of cycleGAN (Zhu et al., "Unpaired Image-to-Image
//! Translation using Cycle-Consistent Adversarial Networks", 2017), with the
//! authors' names (`model.1.weight`, `model.10.conv_block.1.weight`, …).

use crate::error::Error;
use crate::layers::{Convolution, ConvolutionConfig, Norm, NormLayer, TransposedConvolution, relu};
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::Path;

/// Shape of a ResNet generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResNetGeneratorConfig {
    pub in_channels: i64,
    pub out_channels: i64,
    /// Residual blocks: 6 for 128 px, 9 for 256 px in the publication.
    pub blocks: usize,
    /// Filters of the first convolution, 64 in the publication.
    pub filters: i64,
    pub norm: Norm,
    /// Dropout of one half inside the blocks, in training.
    pub dropout: bool,
}

const NETWORK: &str = "resnet generator";

impl ResNetGeneratorConfig {
    fn check(&self) -> Result<(), Error> {
        let counts = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("filters", self.filters),
        ];
        match counts.into_iter().find(|(_, count)| *count < 1) {
            None => Ok(()),
            Some((field, count)) => {
                let rule = "it has to be at least 1";
                Err(Error::Config { network: NETWORK, field, value: count.to_string(), rule })
            }
        }
    }

    /// Whether images of this size come back in the same size: the sides have to be
    /// divisible by 4 and at least 8 px.
    ///
    /// # Errors
    /// When they are not.
    pub fn check_image(&self, width: i64, height: i64) -> Result<(), Error> {
        if width >= 8 && height >= 8 && width % 4 == 0 && height % 4 == 0 {
            return Ok(());
        }
        let rule = "sides have to be divisible by 4 and at least 8 px".to_owned();
        Err(Error::ImageSize { network: NETWORK, width, height, rule })
    }
}

#[derive(Debug)]
struct NormedLayer<Layer> {
    layer: Layer,
    norm: NormLayer,
}

/// Two convolutions with reflected borders, added to their input.
#[derive(Debug)]
struct ResidualBlock {
    first: NormedLayer<Convolution>,
    second: NormedLayer<Convolution>,
    dropout: bool,
}

impl ResidualBlock {
    fn new(path: &Path, width: i64, config: &ResNetGeneratorConfig) -> Self {
        let path = path / "conv_block";
        let layer = |position: usize| {
            let settings = ConvolutionConfig { bias: config.norm.needs_bias(), ..Default::default() };
            NormedLayer {
                layer: Convolution::new(&(&path / position), width, width, 3, settings),
                norm: config.norm.layer(&(&path / (position + 1)), width),
            }
        };
        // The dropout layer takes a place in the reference's numbering.
        let second = if config.dropout { 6 } else { 5 };
        Self { first: layer(1), second: layer(second), dropout: config.dropout }
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let mut values = self.first.layer.forward(&images.reflection_pad2d([1, 1, 1, 1]));
        values = relu(self.first.norm.forward_t(&values, train));
        if self.dropout {
            values = values.dropout(0.5, train);
        }
        values = self.second.layer.forward(&values.reflection_pad2d([1, 1, 1, 1]));
        images + self.second.norm.forward_t(&values, train)
    }
}

/// The generator. Images `[N, in, H, W]` in −1..1 to images `[N, out, H, W]` in −1..1.
#[derive(Debug)]
pub struct ResNetGenerator {
    first: NormedLayer<Convolution>,
    down: Vec<NormedLayer<Convolution>>,
    blocks: Vec<ResidualBlock>,
    up: Vec<NormedLayer<TransposedConvolution>>,
    last: Convolution,
    config: ResNetGeneratorConfig,
}

impl ResNetGenerator {
    /// Builds the generator under `path`. Its weights are zero until they are
    /// initialised or loaded.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn new(path: &Path, config: ResNetGeneratorConfig) -> Result<Self, Error> {
        config.check()?;
        let model = path / "model";
        let bias = config.norm.needs_bias();
        let convolution = |position: usize, inputs, outputs, kernel, stride| {
            let padding = if stride == 2 { 1 } else { 0 };
            let settings = ConvolutionConfig { stride, padding, bias, groups: 1 };
            NormedLayer {
                layer: Convolution::new(&(&model / position), inputs, outputs, kernel, settings),
                norm: config.norm.layer(&(&model / (position + 1)), outputs),
            }
        };
        let filters = config.filters;
        // Padding, convolution, norm, ReLU; then two halvings of three layers each.
        let first_block = 10;
        let first_up = first_block + config.blocks;
        let up = |position: usize, inputs, outputs| NormedLayer {
            layer: TransposedConvolution::doubling(&(&model / position), inputs, outputs, 3, bias),
            norm: config.norm.layer(&(&model / (position + 1)), outputs),
        };
        let last = ConvolutionConfig { bias: true, ..Default::default() };
        Ok(Self {
            first: convolution(1, config.in_channels, filters, 7, 1),
            down: vec![
                convolution(4, filters, filters * 2, 3, 2),
                convolution(7, filters * 2, filters * 4, 3, 2),
            ],
            blocks: (0..config.blocks)
                .map(|block| ResidualBlock::new(&(&model / (first_block + block)), filters * 4, &config))
                .collect(),
            up: vec![up(first_up, filters * 4, filters * 2), up(first_up + 3, filters * 2, filters)],
            last: Convolution::new(&(&model / (first_up + 7)), filters, config.out_channels, 7, last),
            config,
        })
    }

    pub fn config(&self) -> &ResNetGeneratorConfig {
        &self.config
    }

    /// Translates images. With `train`, batch norm uses the batch and dropout draws
    /// from libtorch's generator.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let mut values = self.first.layer.forward(&images.reflection_pad2d([3, 3, 3, 3]));
        values = relu(self.first.norm.forward_t(&values, train));
        for down in &self.down {
            values = relu(down.norm.forward_t(&down.layer.forward(&values), train));
        }
        for block in &self.blocks {
            values = block.forward_t(&values, train);
        }
        for up in &self.up {
            values = relu(up.norm.forward_t(&up.layer.forward(&values), train));
        }
        self.last.forward(&values.reflection_pad2d([3, 3, 3, 3])).tanh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{Scheme, initialise};
    use tch::{Device, Kind, nn::VarStore};

    #[test]
    fn images_come_back_in_their_size_and_range() {
        for norm in [Norm::Batch, Norm::Instance] {
            let config = ResNetGeneratorConfig {
                in_channels: 3,
                out_channels: 1,
                blocks: 2,
                filters: 4,
                norm,
                dropout: true,
            };
            let store = VarStore::new(Device::Cpu);
            let generator = ResNetGenerator::new(&store.root(), config).expect("in range");
            initialise(&store, 3, Scheme::Gan);
            config.check_image(20, 24).expect("it divides");
            let images = Tensor::ones([2, 3, 24, 20], (Kind::Float, Device::Cpu));
            let out = generator.forward_t(&images, true);
            assert_eq!(out.size(), [2, 1, 24, 20]);
            assert!(out.abs().max().double_value(&[]) <= 1.0);
            assert!(config.check_image(21, 24).is_err());
        }
    }
}
