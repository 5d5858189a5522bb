//! Generators of the store, ready to paint.

use crate::engine::painter::Painter;
use counterstain_api::error::ErrorCode;
use counterstain_artifact::{
    ArtifactKind, Digest, GeneratorBody, GeneratorNetwork, Store, WEIGHTS, get_named,
};
use counterstain_model::{Norm, UNetConfig};
use counterstain_worker::TaskError;
use tch::{Device, Kind};

/// A generator's description and the bytes of its weights, verified.
pub async fn fetch(store: &Store, digest: &Digest) -> Result<(GeneratorBody, bytes::Bytes), TaskError> {
    let manifest = store.manifest(digest).await?;
    let body: GeneratorBody = manifest.body_of(ArtifactKind::Generator)?;
    let weights = get_named(store, &manifest, WEIGHTS).await?;
    Ok((body, weights))
}

/// Builds the generator on a device.
pub fn build(
    body: &GeneratorBody,
    weights: &[u8],
    device: Device,
    dtype: Option<Kind>,
) -> Result<Painter, TaskError> {
    let GeneratorNetwork::Unet { depth, filters, .. } = body.network else {
        return Err(TaskError::new(
            ErrorCode::NewerSchema,
            format!(
                "the generator was trained by {:?}, which this program does not know: update it",
                body.method
            ),
        ));
    };
    let config = UNetConfig {
        in_channels: i64::from(body.in_channels),
        out_channels: i64::from(body.out_channels),
        depth: depth as usize,
        filters: i64::from(filters),
        norm: Norm::Batch,
        // It acts in training only.
        dropout: false,
    };
    Ok(Painter::new(config, weights, device, dtype)?)
}
