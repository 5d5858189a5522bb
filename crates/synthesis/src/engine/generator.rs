//! The generator networks behind one face: the U-Net of pix2pix and the ResNet of cycleGAN.

use super::error::Error;
use counterstain_model::{Norm, ResNetGenerator, ResNetGeneratorConfig, UNetConfig, UNetGenerator};
use tch::Tensor;
use tch::nn::Path;

/// A generator's kind and shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeneratorConfig {
    /// The U-Net of Isola et al. 2017.
    Unet(UNetConfig),
    /// The residual network of Zhu et al. 2017.
    Resnet(ResNetGeneratorConfig),
}

impl GeneratorConfig {
    /// Channels of the images that it takes.
    pub fn in_channels(&self) -> i64 {
        match self {
            Self::Unet(config) => config.in_channels,
            Self::Resnet(config) => config.in_channels,
        }
    }

    /// Channels of the images that it paints.
    pub fn out_channels(&self) -> i64 {
        match self {
            Self::Unet(config) => config.out_channels,
            Self::Resnet(config) => config.out_channels,
        }
    }

    /// Its normalisation layers.
    pub fn norm(&self) -> Norm {
        match self {
            Self::Unet(config) => config.norm,
            Self::Resnet(config) => config.norm,
        }
    }

    /// The same network painting the other way.
    pub fn reversed(self) -> Self {
        match self {
            Self::Unet(config) => Self::Unet(UNetConfig {
                in_channels: config.out_channels,
                out_channels: config.in_channels,
                ..config
            }),
            Self::Resnet(config) => Self::Resnet(ResNetGeneratorConfig {
                in_channels: config.out_channels,
                out_channels: config.in_channels,
                ..config
            }),
        }
    }

    /// Whether images of this size, in pixels, come back in the same size.
    ///
    /// # Errors
    /// When they do not; the message says what would.
    pub fn check_image(&self, width: usize, height: usize) -> Result<(), Error> {
        let (width, height) = (width as i64, height as i64);
        match self {
            Self::Unet(config) => config.check_image(width, height)?,
            Self::Resnet(config) => config.check_image(width, height)?,
        }
        Ok(())
    }

    /// Builds the network under `path`, with weights of zero.
    ///
    /// # Errors
    /// When it cannot be built with these numbers.
    pub fn build(&self, path: &Path) -> Result<Generator, Error> {
        Ok(match self {
            Self::Unet(config) => Generator::Unet(UNetGenerator::new(path, *config)?),
            Self::Resnet(config) => Generator::Resnet(ResNetGenerator::new(path, *config)?),
        })
    }
}

/// A generator network.
#[derive(Debug)]
pub enum Generator {
    /// See [`GeneratorConfig::Unet`].
    Unet(UNetGenerator),
    /// See [`GeneratorConfig::Resnet`].
    Resnet(ResNetGenerator),
}

impl Generator {
    /// `[N, in, H, W]` to `[N, out, H, W]`, both in -1 to 1.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        match self {
            Self::Unet(net) => net.forward_t(images, train),
            Self::Resnet(net) => net.forward_t(images, train),
        }
    }
}
