//! `generate_layer`: one part paints one shard of the dataset.
//!
//! Reading and decoding run ahead of the painting, encoding and writing behind it.
//! Batches are slices of exactly `batch_size` samples inside the shard (its last one
//! may be smaller), so that the bytes do not depend on who paints which shard.

use super::generator::{self, Stored};
use super::segmenter;
use super::settings::{self, set};
use super::shard::{Files, PartWork};
use super::source::{Channels, Source};
use crate::engine::Error;
use crate::engine::generator::GeneratorConfig;
use crate::engine::images::{ImageBatch, to_tiles};
use crate::engine::painter::{Painter, check_image};
use counterstain_api::proto::synthesis::v1::GenerateLayerSpec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::{Digest, GeneratorNetwork, LayerInfo, LayerKind};
use counterstain_compute::digest;
use counterstain_tile::Tile;
use counterstain_tile::encode::encode_png;
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;
use std::ops::Range;
use tch::Device;

/// Name of the companion that holds a cycleGAN's way back.
const CYCLE: &str = "cycle";

/// Paints this task's shard; gives the digest of the `layer-part` artifact.
pub fn run(task: &Task, spec: &GenerateLayerSpec, device: Device) -> Result<Digest, TaskError> {
    let dataset = task.block_on(Dataset::open(task.store(), &digest(&spec.dataset, "dataset")?))?;
    let stored = task.block_on(generator::fetch(task.store(), &digest(&spec.generator, "generator")?))?;
    match &stored.body.network {
        GeneratorNetwork::Hovernet { .. } => segmenter::generate(task, spec, &dataset, &stored, device),
        _ => paint(task, spec, &dataset, &stored, device),
    }
}

/// What is known of a layer that is made after another layer's images, of the same size.
pub(super) fn like(model: Option<&LayerInfo>, made: LayerInfo, name: &str) -> LayerInfo {
    LayerInfo {
        name: name.to_owned(),
        width: model.and_then(|layer| layer.width),
        height: model.and_then(|layer| layer.height),
        microns_per_pixel: model.and_then(|layer| layer.microns_per_pixel),
        ..made
    }
}

fn paint(
    task: &Task,
    spec: &GenerateLayerSpec,
    dataset: &Dataset,
    stored: &Stored,
    device: Device,
) -> Result<Digest, TaskError> {
    let work = PartWork::open(task, dataset)?;
    let dtype = settings::dtype(spec.dtype)?;
    let painter = generator::build(stored, device, dtype)?;
    let cycle = set(spec.cycle, "cycle")?;
    let back = cycle.then(|| generator::build_reverse(stored, device, dtype)).transpose()?;

    let name = stored.body.source.as_deref().unwrap_or(&dataset.body.primary);
    let channels = match stored.body.in_channels {
        1 => Channels::One,
        3 => Channels::Rgb,
        _ => Channels::Stored,
    };
    let source = Source::open(task.reader(), dataset, name, "", channels)?;
    let model = dataset.layer(source.layer());
    let layer = like(model, stored.body.layer.clone(), &spec.layer);
    let companion = LayerInfo {
        kind: LayerKind::Image,
        channels: stored.body.in_channels,
        palette: None,
        ..like(model, stored.body.layer.clone(), CYCLE)
    };
    let companions: Vec<LayerInfo> = back.iter().map(|_| companion.clone()).collect();
    let layers: Vec<&str> =
        std::iter::once(&layer).chain(&companions).map(|layer| layer.name.as_str()).collect();

    let config = painter.config();
    let shard = work.run(
        set(spec.batch_size, "batch_size")? as usize,
        |samples| read(&source, &config, samples),
        |batches: Vec<ImageBatch>| paint_slice(&painter, back.as_ref(), &batches),
        |samples, images: Vec<Vec<Tile<u8>>>| {
            if task.picture_due() {
                show(task, &source, &layers, samples.start, &images)?;
            }
            encode(dataset, &layers, samples, &images)
        },
    )?;
    work.commit(stored.digest, &shard, layer, companions, None)
}

/// The images of a slice: one list per layer.
fn paint_slice(
    painter: &Painter,
    back: Option<&Painter>,
    batches: &[ImageBatch],
) -> Result<Vec<Vec<Tile<u8>>>, TaskError> {
    let mut images = vec![Vec::new(); 1 + usize::from(back.is_some())];
    for batch in batches {
        let painted = painter.paint_tensor(&batch.to_tensor(painter.device())?);
        images[0].extend(to_tiles(&painted)?);
        if let Some(back) = back {
            images[1].extend(to_tiles(&back.paint_tensor(&painted))?);
        }
    }
    Ok(images)
}

/// Decodes the tiles of a batch. Neighbours of different sizes are painted apart, in order.
fn read(
    source: &Source<'_>,
    config: &GeneratorConfig,
    samples: Range<usize>,
) -> Result<Vec<ImageBatch>, TaskError> {
    let tile = |sample: usize| -> Result<Tile<u8>, TaskError> {
        let tile = source.read(sample)?;
        check_image(config, &tile).map_err(|error| {
            Error::Unfit(format!("sample {} ({}): {error}", source.key(sample), source.layer()))
        })?;
        Ok(tile)
    };
    let tiles: Vec<_> = samples.into_par_iter().map(tile).collect();
    let mut groups: Vec<ImageBatch> = Vec::new();
    for tile in tiles {
        let tile = tile?;
        let fits = |group: &ImageBatch| group.size() == (tile.width, tile.height, tile.channels);
        if !groups.last().is_some_and(fits) {
            groups.push(ImageBatch::new(tile.width, tile.height, tile.channels));
        }
        if let Some(group) = groups.last_mut() {
            group.push(&tile, false, false)?;
        }
    }
    Ok(groups)
}

/// Shows the first sample of a slice: what was read, and what was painted.
fn show(
    task: &Task,
    source: &Source<'_>,
    layers: &[&str],
    sample: usize,
    images: &[Vec<Tile<u8>>],
) -> Result<(), TaskError> {
    let mut panels = vec![(source.layer(), source.read(sample)?)];
    let painted =
        layers.iter().zip(images).filter_map(|(layer, tiles)| Some((*layer, tiles.first()?.clone())));
    panels.extend(painted);
    task.picture("painting", sample as u64, &panels);
    Ok(())
}

/// The files of each sample of a slice.
fn encode(
    dataset: &Dataset,
    layers: &[&str],
    samples: Range<usize>,
    images: &[Vec<Tile<u8>>],
) -> Result<Vec<Files>, TaskError> {
    let first = samples.start;
    let files = |sample: usize| -> Result<Files, TaskError> {
        let file = |(layer, tiles): (&&str, &Vec<Tile<u8>>)| {
            let bytes = encode_png(&tiles[sample - first]).map_err(|source| {
                let what = format!("sample {} ({layer})", dataset.samples[sample].key);
                Error::Image { what, source }
            })?;
            Ok(((*layer).to_owned(), "png".to_owned(), bytes.into()))
        };
        layers.iter().zip(images).map(file).collect()
    };
    samples.into_par_iter().map(files).collect()
}
