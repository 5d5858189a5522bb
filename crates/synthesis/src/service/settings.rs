//! From resolved specs to the engine's configurations.

use super::collection::Shape;
use super::source::Channels;
use crate::engine::adversarial::Adversarial;
use crate::engine::cyclegan::{CycleGan, CycleGanConfig};
use crate::engine::generator::GeneratorConfig;
use crate::engine::loss::GanMode;
use crate::engine::pix2pix::{Pix2Pix, Pix2PixConfig};
use crate::engine::schedule::ScheduleConfig;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::spec::v1::Dtype;
use counterstain_api::proto::synthesis::v1::{
    GanMode as SpecGanMode, GanNorm, GeneratorMethod, GeneratorNetwork, TargetChannels, TrainGeneratorSpec,
};
use counterstain_model::{Norm, ResNetGeneratorConfig, UNetConfig};
use counterstain_worker::TaskError;
use tch::{Device, Kind};

/// A resolved spec has every optional field set; this names the one that is not.
pub fn set<T>(value: Option<T>, field: &str) -> Result<T, TaskError> {
    value.ok_or_else(|| {
        TaskError::new(ErrorCode::InvalidArgument, format!("the spec is not resolved: {field} is absent"))
    })
}

/// The autocast dtype of a spec; `None` computes in f32.
pub fn dtype(value: Option<i32>) -> Result<Option<Kind>, TaskError> {
    match Dtype::try_from(set(value, "dtype")?) {
        Ok(Dtype::F32) => Ok(None),
        Ok(Dtype::Bf16) => Ok(Some(Kind::BFloat16)),
        _ => Err(unknown("dtype", "f32 or bf16")),
    }
}

/// The name of a spec's method in descriptions.
pub fn method_name(spec: &TrainGeneratorSpec) -> &'static str {
    match spec.method() {
        GeneratorMethod::Cyclegan => "cyclegan",
        GeneratorMethod::Pix2pix | GeneratorMethod::Unspecified => "pix2pix",
    }
}

/// Which channels of the primary and of the privileged images networks see.
pub fn channels(spec: &TrainGeneratorSpec) -> (Channels, Channels) {
    let privileged = match (spec.method(), spec.target_channels()) {
        // Identity terms need domains of equal channels.
        (GeneratorMethod::Cyclegan, _) => Channels::Rgb,
        (_, TargetChannels::One) => Channels::One,
        _ => Channels::Stored,
    };
    (Channels::Rgb, privileged)
}

/// The generator of a training spec, for images of these channels.
pub fn generator(
    spec: &TrainGeneratorSpec,
    input: Shape,
    target: Shape,
) -> Result<GeneratorConfig, TaskError> {
    let norm = match GanNorm::try_from(set(spec.norm, "norm")?) {
        Ok(GanNorm::Batch) => Norm::Batch,
        Ok(GanNorm::Instance) => Norm::Instance,
        _ => return Err(unknown("norm", "batch or instance")),
    };
    let (in_channels, out_channels) = (input.channels as i64, target.channels as i64);
    let filters = i64::from(set(spec.filters, "filters")?);
    let dropout = set(spec.dropout, "dropout")?;
    match GeneratorNetwork::try_from(set(spec.network, "network")?) {
        Ok(GeneratorNetwork::Unet) => {
            let depth = set(spec.depth, "depth")? as usize;
            Ok(GeneratorConfig::Unet(UNetConfig { in_channels, out_channels, depth, filters, norm, dropout }))
        }
        Ok(GeneratorNetwork::Resnet) => {
            let blocks = set(spec.blocks, "blocks")? as usize;
            let resnet = ResNetGeneratorConfig { in_channels, out_channels, blocks, filters, norm, dropout };
            Ok(GeneratorConfig::Resnet(resnet))
        }
        _ => Err(unknown("network", "unet or resnet")),
    }
}

/// The networks of a training spec, with initial weights.
pub fn networks(
    spec: &TrainGeneratorSpec,
    generator: GeneratorConfig,
    device: Device,
) -> Result<Box<dyn Adversarial>, TaskError> {
    let gan_mode = match SpecGanMode::try_from(set(spec.gan_mode, "gan_mode")?) {
        Ok(SpecGanMode::Vanilla) => GanMode::Vanilla,
        Ok(SpecGanMode::Lsgan) => GanMode::LeastSquares,
        _ => return Err(unknown("gan_mode", "vanilla or lsgan")),
    };
    let discriminator_filters = set(spec.discriminator_filters, "discriminator_filters")?;
    let discriminator_layers = set(spec.discriminator_layers, "discriminator_layers")?;
    let (beta1, dtype) = (set(spec.beta1, "beta1")?, dtype(spec.dtype)?);
    let seed = set(spec.seed, "seed")?;
    match GeneratorMethod::try_from(set(spec.method, "method")?) {
        Ok(GeneratorMethod::Pix2pix) => {
            let lambda_l1 = set(spec.lambda_l1, "lambda_l1")?;
            let config = Pix2PixConfig {
                generator,
                discriminator_filters,
                discriminator_layers,
                gan_mode,
                lambda_l1,
                beta1,
                dtype,
                seed,
            };
            Ok(Box::new(Pix2Pix::new(config, device)?))
        }
        Ok(GeneratorMethod::Cyclegan) => {
            let lambda = set(spec.lambda_cycle, "lambda_cycle")?;
            let config = CycleGanConfig {
                generator,
                discriminator_filters,
                discriminator_layers,
                gan_mode,
                lambda_a: lambda,
                lambda_b: lambda,
                lambda_identity: set(spec.lambda_identity, "lambda_identity")?,
                pool_size: set(spec.pool_size, "pool_size")? as usize,
                beta1,
                dtype,
                seed,
            };
            Ok(Box::new(CycleGan::new(config, device, Kind::Float)?))
        }
        _ => Err(unknown("method", "pix2pix or cyclegan")),
    }
}

/// The order and length of a training spec.
pub fn schedule(spec: &TrainGeneratorSpec) -> Result<ScheduleConfig, TaskError> {
    let epochs = set(spec.epochs, "epochs")?;
    let decay = set(spec.decay, "decay")?;
    Ok(ScheduleConfig {
        batch_size: set(spec.batch_size, "batch_size")? as usize,
        epochs: u64::from(epochs),
        // A share of the epochs, to whole ones.
        decay_epochs: (decay * f64::from(epochs)).round() as u64,
        learning_rate: set(spec.learning_rate, "learning_rate")?,
        flips: set(spec.flips, "flips")?,
        seed: set(spec.seed, "seed")?,
    })
}

fn unknown(field: &str, wanted: &str) -> TaskError {
    TaskError::new(ErrorCode::InvalidArgument, format!("{field}: use {wanted}"))
}
