//! The U-Net generator of pix2pix (Isola et al., "Image-to-Image Translation with
//! Conditional Adversarial Networks", 2017), with names and arithmetic of the
//! authors' pytorch-CycleGAN-and-pix2pix (`model.model.0.weight`, …).
//!
//! The depth is how often the image is halved. The published ones have seven
//! (`unet_128`) or eight (`unet_256`); smaller tiles need fewer, and
//! [`UNetConfig::check_image`] says so before libtorch does.

use crate::error::Error;
use crate::layers::{Convolution, ConvolutionConfig, Norm, NormLayer, TransposedConvolution, leaky_relu};
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::Path;

/// Shape of a U-Net generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UNetConfig {
    /// Channels of the source image.
    pub in_channels: i64,
    /// Channels of the image that is made.
    pub out_channels: i64,
    /// How often the image is halved, 2 to 12.
    pub depth: usize,
    /// Filters of the outermost convolution (64 in the publication); each level has
    /// twice as many, up to eight times.
    pub filters: i64,
    pub norm: Norm,
    /// Dropout of one half in the inner levels (from the sixth halving on), in training.
    pub dropout: bool,
}

impl UNetConfig {
    /// The deepest U-Net that fits images of this size, if any does.
    pub fn deepest(width: i64, height: i64) -> Option<usize> {
        if width < 1 || height < 1 {
            return None;
        }
        let halvings = width.trailing_zeros().min(height.trailing_zeros()) as usize;
        (halvings >= *DEPTHS.start()).then(|| halvings.min(*DEPTHS.end()))
    }

    /// Whether images of this size can go through: each side has to be divisible by
    /// 2 to the power of the depth.
    ///
    /// # Errors
    /// When one cannot; the message names the deepest U-Net that fits.
    pub fn check_image(&self, width: i64, height: i64) -> Result<(), Error> {
        let unit = 1_i64 << self.depth.min(*DEPTHS.end());
        if width > 0 && height > 0 && width % unit == 0 && height % unit == 0 {
            return Ok(());
        }
        let depth = self.depth;
        let advice = match Self::deepest(width, height) {
            Some(deepest) => format!("use a depth of at most {deepest}, or other tiles"),
            None => "no depth fits; use tiles with sides divisible by 4".to_owned(),
        };
        let rule = format!("a depth of {depth} needs sides divisible by {unit}; {advice}");
        Err(Error::ImageSize { network: NETWORK, width, height, rule })
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |field, value: String, rule| Err(Error::Config { network: NETWORK, field, value, rule });
        if !DEPTHS.contains(&self.depth) {
            return refuse("depth", self.depth.to_string(), "it has to be from 2 to 12");
        }
        let counts = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("filters", self.filters),
        ];
        match counts.into_iter().find(|(_, count)| *count < 1) {
            Some((field, count)) => refuse(field, count.to_string(), "it has to be at least 1"),
            None => Ok(()),
        }
    }

    /// Filters after halving number `level`, counted from zero.
    fn filters_at(&self, level: usize) -> i64 {
        self.filters * (1 << level.min(3))
    }
}

const NETWORK: &str = "u-net";
const DEPTHS: std::ops::RangeInclusive<usize> = 2..=12;

/// One level: halves the image, sends it through the level below, doubles it again
/// and puts it beside its own input.
#[derive(Debug)]
struct Level {
    down: Convolution,
    down_norm: Option<NormLayer>,
    below: Option<Box<Level>>,
    up: TransposedConvolution,
    up_norm: NormLayer,
    dropout: bool,
}

impl Level {
    /// The level that goes from `filters_at(level - 1)` to `filters_at(level)`.
    fn new(path: &Path, level: usize, config: &UNetConfig) -> Self {
        let model = path / "model";
        let (outer, inner) = (config.filters_at(level - 1), config.filters_at(level));
        let down = halving(&(&model / "1"), outer, inner, config.norm);
        let bias = config.norm.needs_bias();
        if level + 1 == config.depth {
            return Self {
                down,
                down_norm: None,
                below: None,
                up: TransposedConvolution::doubling(&(&model / "3"), inner, outer, 4, bias),
                up_norm: config.norm.layer(&(&model / "4"), outer),
                dropout: false,
            };
        }
        Self {
            down,
            down_norm: Some(config.norm.layer(&(&model / "2"), inner)),
            below: Some(Box::new(Self::new(&(&model / "3"), level + 1, config))),
            up: TransposedConvolution::doubling(&(&model / "5"), inner * 2, outer, 4, bias),
            up_norm: config.norm.layer(&(&model / "6"), outer),
            // The publication has dropout where the width has stopped growing.
            dropout: config.dropout && level >= 4,
        }
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let mut values = self.down.forward(&leaky_relu(images));
        if let Some(norm) = &self.down_norm {
            values = norm.forward_t(&values, train);
        }
        if let Some(below) = &self.below {
            values = below.forward_t(&values, train);
        }
        values = self.up_norm.forward_t(&self.up.forward(&values.relu()), train);
        if self.dropout {
            values = values.dropout(0.5, train);
        }
        // The reference joins the leaky-ReLU of the input (its ReLU works in place); the
        // ReLU that follows makes no difference between the two.
        Tensor::cat(&[images, &values], 1)
    }
}

fn halving(path: &Path, inputs: i64, outputs: i64, norm: Norm) -> Convolution {
    let config = ConvolutionConfig { stride: 2, padding: 1, bias: norm.needs_bias(), groups: 1 };
    Convolution::new(path, inputs, outputs, 4, config)
}

/// The generator. Images `[N, in, H, W]` in −1..1 to images `[N, out, H, W]` in −1..1.
#[derive(Debug)]
pub struct UNetGenerator {
    down: Convolution,
    below: Level,
    up: TransposedConvolution,
    config: UNetConfig,
}

impl UNetGenerator {
    /// Builds the generator under `path`. Its weights are zero until they are
    /// initialised or loaded.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn new(path: &Path, config: UNetConfig) -> Result<Self, Error> {
        config.check()?;
        let model = path / "model" / "model";
        let outer = config.filters_at(0);
        Ok(Self {
            down: halving(&(&model / "0"), config.in_channels, outer, config.norm),
            below: Level::new(&(&model / "1"), 1, &config),
            // The last layer has a bias whatever the norm.
            up: TransposedConvolution::doubling(&(&model / "3"), outer * 2, config.out_channels, 4, true),
            config,
        })
    }

    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Translates images; the sides have to pass [`UNetConfig::check_image`]. With
    /// `train`, batch norm uses the batch and dropout draws from libtorch's generator.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let values = self.below.forward_t(&self.down.forward(images), train);
        self.up.forward(&values.relu()).tanh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{Scheme, initialise};
    use tch::{Device, Kind, nn::VarStore};

    fn config(depth: usize) -> UNetConfig {
        UNetConfig { in_channels: 3, out_channels: 2, depth, filters: 4, norm: Norm::Batch, dropout: true }
    }

    #[test]
    fn any_depth_that_fits_gives_an_image_of_the_same_size() {
        for (depth, width, height) in [(2, 8, 4), (5, 96, 96), (6, 64, 128)] {
            let store = VarStore::new(Device::Cpu);
            let generator = UNetGenerator::new(&store.root(), config(depth)).expect("in range");
            initialise(&store, 1, Scheme::Gan);
            config(depth).check_image(width, height).expect("it divides");
            let images = Tensor::ones([2, 3, height, width], (Kind::Float, Device::Cpu));
            let out = generator.forward_t(&images, true);
            assert_eq!(out.size(), [2, 2, height, width]);
            assert!(out.abs().max().double_value(&[]) <= 1.0);
        }
    }

    #[test]
    fn an_image_that_does_not_divide_is_refused_with_advice() {
        let error = config(6).check_image(96, 96).expect_err("96 = 3 * 32").to_string();
        assert!(error.contains("96x96 px") && error.contains("divisible by 64"), "{error}");
        assert!(error.contains("at most 5"), "{error}");
        let error = config(2).check_image(50, 50).expect_err("odd half").to_string();
        assert!(error.contains("no depth fits"), "{error}");
        assert!(config(3).check_image(0, 8).is_err());
        assert_eq!(UNetConfig::deepest(256, 64), Some(6));
    }

    #[test]
    fn a_depth_out_of_range_is_refused() {
        let store = VarStore::new(Device::Cpu);
        for depth in [0, 1, 13] {
            assert!(UNetGenerator::new(&store.root(), config(depth)).is_err());
        }
        assert!(store.is_empty());
    }

    #[test]
    fn dropout_is_repeated_from_libtorchs_generator_and_off_outside_training() {
        let store = VarStore::new(Device::Cpu);
        let generator = UNetGenerator::new(&store.root(), config(6)).expect("in range");
        initialise(&store, 1, Scheme::Gan);
        let images = Tensor::linspace(-1.0, 1.0, 2 * 3 * 64 * 64, (Kind::Float, Device::Cpu));
        let images = images.view([2, 3, 64, 64]);
        let drawn = |seed| {
            counterstain_torch::manual_seed(seed);
            tch::no_grad(|| generator.forward_t(&images, true))
        };
        assert_eq!(drawn(4), drawn(4));
        assert_ne!(drawn(4), drawn(5));
        let quiet = generator.forward_t(&images, false);
        assert_eq!(quiet, generator.forward_t(&images, false));
    }
}
