//! The project's networks, built on `tch`'s variable stores.
//!
//! Parameter names, shapes and constants are those of the published
//! implementations (torchvision, pytorch-CycleGAN-and-pix2pix, HoVer-Net), so that
//! weights can be exchanged with them. A network is zero when it is built:
//! [`init`] fills it from a seed, [`weights`] from a file. Images are N×C×H×W.

pub mod checkpoint;
mod error;
pub mod gradcam;
pub mod hovernet;
pub mod inception;
pub mod init;
pub mod keras;
pub mod layers;
pub mod patchgan;
pub mod projector;
pub mod resnet;
pub mod resnet_generator;
pub mod unet;
pub mod weights;

pub use error::Error;
pub use hovernet::{HoVerNet, HoVerNetConfig};
pub use inception::InceptionV3;
pub use layers::Norm;
pub use patchgan::PatchGan;
pub use projector::Projector;
pub use resnet::ResNet;
pub use resnet_generator::{ResNetGenerator, ResNetGeneratorConfig};
pub use unet::{UNetConfig, UNetGenerator};
