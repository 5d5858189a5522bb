//! Reading what is compared: images of layers as pixels, and label maps.

use counterstain_api::error::ErrorCode;
use counterstain_artifact::LayerInfo;
use counterstain_artifact::dataset::{Dataset, Layer, Reader};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode_labels};
use counterstain_worker::TaskError;
use counterstain_worker::images::decode_layer;
use tch::{Device, Kind, Tensor};

/// An image of a dataset's layer; labels are painted in their palette.
pub fn of_dataset(
    reader: &Reader,
    dataset: &Dataset,
    info: &LayerInfo,
    sample: usize,
) -> Result<Tile<u8>, TaskError> {
    let bytes = reader.read(dataset, sample, &info.name)?;
    decode_layer(&bytes, info, &format!("sample {}", dataset.samples[sample].key))
}

/// An image of a painted layer.
pub fn of_layer(
    reader: &Reader,
    layer: &Layer,
    info: &LayerInfo,
    sample: usize,
) -> Result<Tile<u8>, TaskError> {
    let bytes = reader.read_layer_named(layer, sample, &info.name)?;
    decode_layer(&bytes, info, &what(layer, sample))
}

/// Labels of a dataset's layer.
pub fn labels_of_dataset(
    reader: &Reader,
    dataset: &Dataset,
    name: &str,
    sample: usize,
) -> Result<Tile<u32>, TaskError> {
    let bytes = reader.read(dataset, sample, name)?;
    labels(&bytes, name, &format!("sample {}", dataset.samples[sample].key))
}

/// Labels of a painted layer.
pub fn labels_of_layer(
    reader: &Reader,
    layer: &Layer,
    name: &str,
    sample: usize,
) -> Result<Tile<u32>, TaskError> {
    let bytes = reader.read_layer_named(layer, sample, name)?;
    labels(&bytes, name, &what(layer, sample))
}

fn labels(bytes: &[u8], name: &str, what: &str) -> Result<Tile<u32>, TaskError> {
    decode_labels(bytes, &Limits::default()).map_err(|error| {
        TaskError::new(ErrorCode::Corrupt, format!("{what} ({name}) cannot be decoded: {error}"))
    })
}

fn what(layer: &Layer, sample: usize) -> String {
    format!("sample {}", layer.key(sample).unwrap_or_default())
}

/// Two images of one size and as many channels as the simpler one has: grey wherever one of them is, since a grey
/// generator learned the luminance of coloured images.
///
/// # Errors
/// When their sizes differ; the message names `what`.
pub fn alike(first: Tile<u8>, second: Tile<u8>, what: &str) -> Result<(Tile<u8>, Tile<u8>), TaskError> {
    let invalid = |text: String| TaskError::new(ErrorCode::FailedPrecondition, text);
    if (first.width, first.height) != (second.width, second.height) {
        return Err(invalid(format!(
            "{what}: the images have {} x {} and {} x {} px: only images of one size can be compared",
            first.width, first.height, second.width, second.height
        )));
    }
    let grey = first.channels < 3 || second.channels < 3;
    let simplify = |tile: Tile<u8>| if grey { tile.as_luminance() } else { tile.as_rgb() };
    let simple = |tile| simplify(tile).map_err(|error| invalid(format!("{what}: {error}")));
    Ok((simple(first)?, simple(second)?))
}

/// `[1, C, H, W]` f64 in 0..1.
pub fn tensor(tile: &Tile<u8>) -> Tensor {
    let sides = [tile.height, tile.width, tile.channels].map(|side| side as i64);
    let bytes = Tensor::from_data_size(&tile.data, &sides, Kind::Uint8).to_device(Device::Cpu);
    bytes.permute([2, 0, 1]).unsqueeze(0).to_kind(Kind::Double) / 255.0
}
