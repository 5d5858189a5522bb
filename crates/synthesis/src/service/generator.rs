//! Generators of the store, and the networks that they describe.

use crate::engine::generator::GeneratorConfig;
use crate::engine::painter::Painter;
use crate::engine::range::Range;
use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_artifact::{
    ArtifactKind, Digest, GeneratorBody, GeneratorNetwork, REVERSE_WEIGHTS, Store, WEIGHTS, get_named,
};
use counterstain_model::hovernet::Mode;
use counterstain_model::{HoVerNetConfig, Norm, ResNetGeneratorConfig, UNetConfig};
use counterstain_worker::TaskError;
use tch::{Device, Kind};

/// A generator as the store holds it.
#[derive(Debug)]
pub struct Stored {
    /// Its name.
    pub digest: Digest,
    /// Its description.
    pub body: GeneratorBody,
    /// The bytes of its weights, verified.
    pub weights: Bytes,
    /// Those of the other direction, where both were trained.
    pub reverse: Option<Bytes>,
}

/// Reads a generator.
///
/// # Errors
/// When the artifact is no generator, and the store's.
pub async fn fetch(store: &Store, digest: &Digest) -> Result<Stored, TaskError> {
    let manifest = store.manifest(digest).await?;
    let body: GeneratorBody = manifest.body_of(ArtifactKind::Generator)?;
    let weights = get_named(store, &manifest, WEIGHTS).await?;
    let reverse = match manifest.object(REVERSE_WEIGHTS) {
        Some(_) => Some(get_named(store, &manifest, REVERSE_WEIGHTS).await?),
        None => None,
    };
    Ok(Stored { digest: *digest, body, weights, reverse })
}

/// Builds a generator of images on a device.
///
/// # Errors
/// When it is a segmenter, or its weights do not fit its description.
pub fn build(stored: &Stored, device: Device, dtype: Option<Kind>) -> Result<Painter, TaskError> {
    let range = stored.body.intensity.clone().map(Range::new).transpose()?;
    Ok(Painter::new(config_of(&stored.body)?, range, &stored.weights, device, dtype)?)
}

/// Builds the other direction of a cycleGAN.
///
/// # Errors
/// When the generator has only one.
pub fn build_reverse(stored: &Stored, device: Device, dtype: Option<Kind>) -> Result<Painter, TaskError> {
    let Some(weights) = &stored.reverse else {
        let text = format!(
            "cycle: the generator was trained by {} and has no way back; set cycle to false",
            stored.body.method
        );
        return Err(TaskError::new(ErrorCode::InvalidArgument, text));
    };
    Ok(Painter::new(config_of(&stored.body)?.reversed(), None, weights, device, dtype)?)
}

/// The network that a generator of images describes.
///
/// # Errors
/// When it is a segmenter, or names a norm that this program does not know.
pub fn config_of(body: &GeneratorBody) -> Result<GeneratorConfig, TaskError> {
    let (in_channels, out_channels) = (i64::from(body.in_channels), i64::from(body.out_channels));
    Ok(match &body.network {
        GeneratorNetwork::Unet { depth, filters, norm } => GeneratorConfig::Unet(UNetConfig {
            in_channels,
            out_channels,
            depth: *depth as usize,
            filters: i64::from(*filters),
            norm: norm_of(norm)?,
            // It acts in training only, and has no place in the names.
            dropout: false,
        }),
        GeneratorNetwork::Resnet { blocks, filters, norm, dropout } => {
            GeneratorConfig::Resnet(ResNetGeneratorConfig {
                in_channels,
                out_channels,
                blocks: *blocks as usize,
                filters: i64::from(*filters),
                norm: norm_of(norm)?,
                dropout: *dropout,
            })
        }
        GeneratorNetwork::Hovernet { .. } => {
            let text = "the generator is a nuclear segmenter; a generator of images is needed here";
            return Err(TaskError::new(ErrorCode::InvalidArgument, text));
        }
    })
}

/// The network that a segmenter describes.
///
/// # Errors
/// When it is a generator of images, or has a mode that this program does not know.
pub fn hovernet_config(network: &GeneratorNetwork) -> Result<HoVerNetConfig, TaskError> {
    let GeneratorNetwork::Hovernet { mode, width, types } = network else {
        let text = "the generator paints images; a nuclear segmenter is needed here";
        return Err(TaskError::new(ErrorCode::InvalidArgument, text));
    };
    let mode = match mode.as_str() {
        "fast" => Mode::Fast,
        "original" => Mode::Original,
        other => {
            let text =
                format!("the segmenter has mode {other:?}, which this program does not know: update it");
            return Err(TaskError::new(ErrorCode::NewerSchema, text));
        }
    };
    let types = (!types.is_empty()).then_some(types.len() as i64);
    Ok(HoVerNetConfig { mode, types, width: *width })
}

/// A network as a generator's description states it.
pub fn described(config: &GeneratorConfig) -> GeneratorNetwork {
    let norm = match config.norm() {
        Norm::Batch => "batch".to_owned(),
        Norm::Instance => "instance".to_owned(),
    };
    match config {
        GeneratorConfig::Unet(unet) => {
            GeneratorNetwork::Unet { depth: unet.depth as u32, filters: unet.filters as u32, norm }
        }
        GeneratorConfig::Resnet(resnet) => GeneratorNetwork::Resnet {
            blocks: resnet.blocks as u32,
            filters: resnet.filters as u32,
            norm,
            dropout: resnet.dropout,
        },
    }
}

fn norm_of(name: &str) -> Result<Norm, TaskError> {
    match name {
        "batch" => Ok(Norm::Batch),
        "instance" => Ok(Norm::Instance),
        other => {
            let text =
                format!("the generator has norm {other:?}, which this program does not know: update it");
            Err(TaskError::new(ErrorCode::NewerSchema, text))
        }
    }
}
