//! What a segmenter predicts beside what it should, as images for people.

use super::batch::PatchBatch;
use super::training::SegmenterUpdate;
use crate::engine::error::Error;
use crate::engine::images::to_tiles;
use counterstain_tile::Tile;
use tch::{Device, Tensor};

/// The first patch of a step, with the name of each image: what the maps cover of the input, the probability of a
/// nucleus and the nuclei, the distances (horizontal as red, vertical as green, 0 as mid-grey) and those to learn.
///
/// # Errors
/// libtorch's, and [`Error::NonFiniteImage`].
pub fn panels(batch: &PatchBatch, update: &SegmenterUpdate) -> Result<Vec<(&'static str, Tile<u8>)>, Error> {
    let targets = batch.targets(Device::Cpu)?;
    let foreground = update.foreground.narrow(0, 0, 1).to_device(Device::Cpu);
    let output = foreground.size()[1];
    let images = batch.images(Device::Cpu)?.narrow(0, 0, 1) / 127.5 - 1.0;
    let border = (images.size()[2] - output) / 2;
    let probability = foreground.softmax(-1, tch::Kind::Float).select(-1, 1).unsqueeze(1);
    let nuclei = targets.foreground.narrow(0, 0, 1).unsqueeze(1);
    let distances = update.distances.narrow(0, 0, 1).to_device(Device::Cpu);
    let shown = [
        ("input", images.narrow(2, border, output).narrow(3, border, output)),
        ("nuclei", probability * 2.0 - 1.0),
        ("real nuclei", nuclei * 2.0 - 1.0),
        ("distances", coloured(&distances)),
        ("real distances", coloured(&targets.distances.narrow(0, 0, 1))),
    ];
    let mut panels = Vec::new();
    for (name, images) in shown {
        panels.extend(to_tiles(&images)?.into_iter().map(|tile| (name, tile)));
    }
    Ok(panels)
}

/// `[1, h, w, 2]` as `[1, 3, h, w]`.
fn coloured(distances: &Tensor) -> Tensor {
    let maps = distances.permute([0, 3, 1, 2]).to_kind(tch::Kind::Float);
    Tensor::cat(&[&maps, &maps.narrow(1, 0, 1).zeros_like()], 1)
}
