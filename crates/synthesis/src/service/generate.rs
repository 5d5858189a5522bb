//! `generate_layer`: one part paints one shard of the dataset.
//!
//! Reading and decoding run ahead of the painting, encoding and writing behind it.
//! Batches are slices of exactly `batch_size` samples inside the shard (its last one
//! may be smaller), so that the bytes do not depend on who paints which shard.

use super::generator;
use super::settings::{self, set};
use super::source::{Channels, Source};
use crate::engine::Error;
use crate::engine::generator::GeneratorConfig;
use crate::engine::images::{ImageBatch, to_tiles};
use crate::engine::painter::{Painter, check_image};
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::synthesis::v1::GenerateLayerSpec;
use counterstain_api::spec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::shard::{FinishedShard, SampleEntry, ShardWriter, StoredShard};
use counterstain_artifact::{ArtifactKind, Digest, LayerInfo, LayerKind, LayerPartBody, ManifestParts};
use counterstain_compute::digest;
use counterstain_tile::Tile;
use counterstain_tile::encode::encode_png;
use counterstain_worker::prefetch::prefetch;
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use tch::Device;

/// Batches that are decoded ahead, and painted batches that wait for encoding.
const AHEAD: usize = 2;

/// Name of the companion that holds a cycleGAN's way back.
const CYCLE: &str = "cycle";

/// Paints this task's shard; gives the digest of the `layer-part` artifact.
pub fn run(task: &Task, spec: &GenerateLayerSpec, device: Device) -> Result<Digest, TaskError> {
    let dataset_digest = digest(&spec.dataset, "dataset")?;
    let generator_digest = digest(&spec.generator, "generator")?;
    let dataset = task.block_on(Dataset::open(task.store(), &dataset_digest))?;
    let samples = shard_samples(task, &dataset)?;
    let stored = task.block_on(generator::fetch(task.store(), &generator_digest))?;
    let dtype = settings::dtype(spec.dtype)?;
    let painter = generator::build(&stored, device, dtype)?;
    let cycle = set(spec.cycle, "cycle")?;
    let back = cycle.then(|| generator::build_reverse(&stored, device, dtype)).transpose()?;

    let name = stored.body.source.as_deref().unwrap_or(&dataset.body.primary);
    let channels = match stored.body.in_channels {
        1 => Channels::One,
        3 => Channels::Rgb,
        _ => Channels::Stored,
    };
    let source = Source::open(task.reader(), &dataset, name, "", channels)?;
    let like = |painted: LayerInfo, name: &str| {
        let source = dataset.layer(source.layer());
        LayerInfo {
            name: name.to_owned(),
            width: source.and_then(|layer| layer.width),
            height: source.and_then(|layer| layer.height),
            microns_per_pixel: source.and_then(|layer| layer.microns_per_pixel),
            ..painted
        }
    };
    let layer = like(stored.body.layer.clone(), &spec.layer);
    let companion = LayerInfo {
        kind: LayerKind::Image,
        channels: stored.body.in_channels,
        palette: None,
        ..like(stored.body.layer, CYCLE)
    };
    let companions: Vec<LayerInfo> = back.iter().map(|_| companion.clone()).collect();
    let layers = std::iter::once(&layer).chain(&companions).map(|layer| layer.name.as_str()).collect();
    let work =
        Work { task, dataset: &dataset, source, samples, layers, painter: &painter, back: back.as_ref() };
    let shard = work.paint(set(spec.batch_size, "batch_size")? as usize)?;

    let part = LayerPartBody {
        part: task.part(),
        shard: shard.info.clone(),
        layer,
        companions,
        dataset: dataset_digest,
        table: None,
    };
    let parts = ManifestParts::new(ArtifactKind::LayerPart, &part)
        .input("generator", generator_digest)
        .input("dataset", dataset_digest)
        .job(spec::canonical_json(task.spec()), task.profile().clone());
    let manifest = parts.manifest(shard.objects(task.part() as usize).to_vec());
    Ok(task.block_on(task.store().put_manifest(&manifest))?)
}

/// The samples of the shard with this part's number.
fn shard_samples(task: &Task, dataset: &Dataset) -> Result<Range<usize>, TaskError> {
    let count = dataset.shard_count();
    let samples = dataset.shard_range(task.part() as usize);
    samples.filter(|_| task.part_count() as usize == count).ok_or_else(|| {
        let (part, parts) = (task.part(), task.part_count());
        let name = &dataset.body.name;
        let text = format!(
            "this is part {part} of {parts}, but dataset {name} has {count} shard(s): submit the job again"
        );
        TaskError::new(ErrorCode::FailedPrecondition, text)
    })
}

/// One shard's work.
struct Work<'a> {
    task: &'a Task,
    dataset: &'a Dataset,
    source: Source<'a>,
    samples: Range<usize>,
    /// Names of the layers that are painted, in the order of a sample's images.
    layers: Vec<&'a str>,
    painter: &'a Painter,
    /// The way back of a cycleGAN, where it is asked for.
    back: Option<&'a Painter>,
}

/// The images of some samples: one per layer and sample.
type Painted = (Range<usize>, Vec<Vec<Tile<u8>>>);

impl Work<'_> {
    fn paint(&self, batch_size: usize) -> Result<StoredShard, TaskError> {
        let total = self.samples.len();
        let batches = total.div_ceil(batch_size) as u64;
        self.task.progress("painting", 0, total as u64, "tiles");
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<Painted>(AHEAD);
            let (task, dataset, layers) = (self.task, self.dataset, &self.layers);
            let writer = scope.spawn(move || write(task, dataset, layers, receiver));
            let (start, end) = (self.samples.start, self.samples.end);
            let slice = |batch: u64| {
                let first = start + batch as usize * batch_size;
                first..(first + batch_size).min(end)
            };
            // Networks stay on this thread: the reader sees the rest alone.
            let (source, config) = (&self.source, self.painter.config());
            let read = |batch: u64| read(source, &config, slice(batch));
            let painted = prefetch(0..batches, AHEAD, read, |batch, images: Vec<ImageBatch>| {
                self.task.check()?;
                let slice = slice(batch);
                let done = slice.end - self.samples.start;
                // The writer hangs up only after an error of its own, which `join` gives.
                if sender.send((slice, self.images(&images)?)).is_err() {
                    return Err(TaskError::new(ErrorCode::Internal, "the shard's writer stopped"));
                }
                self.task.progress("painting", done as u64, total as u64, "tiles");
                Ok(())
            });
            drop(sender);
            let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let shard = written?;
            painted?;
            Ok(self.task.block_on(shard.put(self.task.store()))?)
        })
    }

    fn images(&self, batches: &[ImageBatch]) -> Result<Vec<Vec<Tile<u8>>>, TaskError> {
        let mut images = vec![Vec::new(); self.layers.len()];
        for batch in batches {
            let painted = self.painter.paint_tensor(&batch.to_tensor(self.painter.device())?);
            images[0].extend(to_tiles(&painted)?);
            if let Some(back) = self.back {
                images[1].extend(to_tiles(&back.paint_tensor(&painted))?);
            }
        }
        Ok(images)
    }
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

/// Encodes and appends what was painted, in the order of the dataset's shard.
fn write(
    task: &Task,
    dataset: &Dataset,
    layers: &[&str],
    painted: Receiver<Painted>,
) -> Result<FinishedShard, TaskError> {
    let mut writer = ShardWriter::new(task.cache_dir())?;
    for (samples, images) in painted {
        let encoded: Vec<Vec<_>> =
            images.iter().map(|tiles| tiles.par_iter().map(encode_png).collect()).collect();
        let mut of_layers: Vec<_> = encoded.into_iter().map(Vec::into_iter).collect();
        for sample in samples {
            let key = &dataset.samples[sample].key;
            let mut files = Vec::with_capacity(layers.len());
            for (layer, images) in layers.iter().zip(&mut of_layers) {
                let what = || format!("sample {key} ({layer})");
                let Some(bytes) = images.next() else { continue };
                let bytes = bytes.map_err(|source| Error::Image { what: what(), source })?;
                files.push(((*layer).to_owned(), "png".to_owned(), bytes.into()));
            }
            // The dataset has label, group and split.
            writer.add(&SampleEntry { key: key.clone(), files, meta: None })?;
        }
    }
    Ok(writer.finish()?)
}
