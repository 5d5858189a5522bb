//! From resolved specs to the engine's configurations.

use crate::engine::loss::GanMode;
use crate::engine::pix2pix::Pix2PixConfig;
use crate::engine::schedule::ScheduleConfig;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::spec::v1::Dtype;
use counterstain_api::proto::synthesis::v1::{GanMode as SpecGanMode, GeneratorMethod, TrainGeneratorSpec};
use counterstain_model::Norm;
use counterstain_worker::TaskError;
use tch::Kind;

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
        _ => Err(TaskError::new(ErrorCode::InvalidArgument, "dtype: use f32 or bf16")),
    }
}

/// The networks of a training spec, for images of these channels.
pub fn networks(
    spec: &TrainGeneratorSpec,
    condition_channels: usize,
    target_channels: usize,
) -> Result<Pix2PixConfig, TaskError> {
    if GeneratorMethod::try_from(set(spec.method, "method")?) != Ok(GeneratorMethod::Pix2pix) {
        return Err(TaskError::new(ErrorCode::InvalidArgument, "method: use pix2pix"));
    }
    let gan_mode = match SpecGanMode::try_from(set(spec.gan_mode, "gan_mode")?) {
        Ok(SpecGanMode::Vanilla) => GanMode::Vanilla,
        Ok(SpecGanMode::Lsgan) => GanMode::LeastSquares,
        _ => return Err(TaskError::new(ErrorCode::InvalidArgument, "gan_mode: use vanilla or lsgan")),
    };
    Ok(Pix2PixConfig {
        condition_channels,
        target_channels,
        depth: set(spec.depth, "depth")?,
        filters: set(spec.filters, "filters")?,
        dropout: set(spec.dropout, "dropout")?,
        norm: Norm::Batch,
        discriminator_filters: set(spec.discriminator_filters, "discriminator_filters")?,
        discriminator_layers: set(spec.discriminator_layers, "discriminator_layers")?,
        gan_mode,
        lambda_l1: set(spec.lambda_l1, "lambda_l1")?,
        beta1: set(spec.beta1, "beta1")?,
        dtype: dtype(spec.dtype)?,
        seed: set(spec.seed, "seed")?,
    })
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
