//! `generate_layer`: one part paints one shard of the dataset.
//!
//! Reading and decoding run ahead of the painting, encoding and writing behind it.
//! Batches are slices of exactly `batch_size` samples inside the shard (its last one
//! may be smaller), so that the bytes do not depend on who paints which shard.

use super::generator;
use super::settings::{self, set};
use crate::engine::Error;
use crate::engine::images::ImageBatch;
use crate::engine::painter::{Painter, check_image};
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::synthesis::v1::GenerateLayerSpec;
use counterstain_api::spec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::shard::{FinishedShard, SampleEntry, ShardWriter, StoredShard};
use counterstain_artifact::{ArtifactKind, Digest, LayerInfo, LayerPartBody, ManifestParts};
use counterstain_compute::digest;
use counterstain_model::UNetConfig;
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode_rgb};
use counterstain_tile::encode::encode_png;
use counterstain_worker::prefetch::prefetch;
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use tch::Device;

/// Batches that are decoded ahead, and painted batches that wait for encoding.
const AHEAD: usize = 2;

/// Paints this task's shard; gives the digest of the `layer-part` artifact.
pub fn run(task: &Task, spec: &GenerateLayerSpec, device: Device) -> Result<Digest, TaskError> {
    let dataset_digest = digest(&spec.dataset, "dataset")?;
    let generator_digest = digest(&spec.generator, "generator")?;
    let dataset = task.block_on(Dataset::open(task.store(), &dataset_digest))?;
    let samples = shard_samples(task, &dataset)?;
    let (body, weights) = task.block_on(generator::fetch(task.store(), &generator_digest))?;
    let painter = generator::build(&body, &weights, device, settings::dtype(spec.dtype)?)?;
    let primary = dataset.layer(&dataset.body.primary);
    let layer = LayerInfo {
        name: spec.layer.clone(),
        width: primary.and_then(|layer| layer.width),
        height: primary.and_then(|layer| layer.height),
        microns_per_pixel: primary.and_then(|layer| layer.microns_per_pixel),
        ..body.layer
    };
    let work = Work { task, dataset: &dataset, samples, layer: &layer.name, shape: painter.config() };
    let batch_size = set(spec.batch_size, "batch_size")? as usize;
    let shard = work.paint(&painter, batch_size)?;

    let part = LayerPartBody {
        part: task.part(),
        shard: shard.info.clone(),
        layer,
        companions: Vec::new(),
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
    samples: Range<usize>,
    layer: &'a str,
    shape: UNetConfig,
}

impl Work<'_> {
    fn paint(&self, painter: &Painter, batch_size: usize) -> Result<StoredShard, TaskError> {
        let total = self.samples.len();
        let batches = total.div_ceil(batch_size) as u64;
        self.task.progress("painting", 0, total as u64, "tiles");
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<(Range<usize>, Vec<Tile<u8>>)>(AHEAD);
            let writer = scope.spawn(move || self.write(receiver));
            let slice = |batch: u64| {
                let first = self.samples.start + batch as usize * batch_size;
                first..(first + batch_size).min(self.samples.end)
            };
            let painted = prefetch(
                0..batches,
                AHEAD,
                |batch| self.read(slice(batch)),
                |batch, images: Vec<ImageBatch>| {
                    self.task.check()?;
                    let mut tiles = Vec::new();
                    for group in &images {
                        tiles.extend(painter.paint(group)?);
                    }
                    let slice = slice(batch);
                    let done = slice.end - self.samples.start;
                    // The writer hangs up only after an error of its own, which `join` gives.
                    if sender.send((slice, tiles)).is_err() {
                        return Err(TaskError::new(ErrorCode::Internal, "the shard's writer stopped"));
                    }
                    self.task.progress("painting", done as u64, total as u64, "tiles");
                    Ok(())
                },
            );
            drop(sender);
            let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let shard = written?;
            painted?;
            Ok(self.task.block_on(shard.put(self.task.store()))?)
        })
    }

    /// Decodes the tiles of a batch. Neighbours of different sizes are painted apart, in order.
    fn read(&self, samples: Range<usize>) -> Result<Vec<ImageBatch>, TaskError> {
        let tiles: Vec<Result<Tile<u8>, TaskError>> =
            samples.into_par_iter().map(|sample| self.tile(sample)).collect();
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

    fn tile(&self, sample: usize) -> Result<Tile<u8>, TaskError> {
        let primary = &self.dataset.body.primary;
        let what = || format!("sample {} ({primary})", self.dataset.samples[sample].key);
        let bytes = self.task.reader().read(self.dataset, sample, primary)?;
        let tile =
            decode_rgb(&bytes, &Limits::default()).map_err(|source| Error::Image { what: what(), source })?;
        check_image(&self.shape, &tile).map_err(|error| Error::Unfit(format!("{}: {error}", what())))?;
        Ok(tile)
    }

    /// Encodes and appends what was painted, in the order of the dataset's shard.
    fn write(&self, painted: Receiver<(Range<usize>, Vec<Tile<u8>>)>) -> Result<FinishedShard, TaskError> {
        let mut writer = ShardWriter::new(self.task.cache_dir())?;
        for (samples, tiles) in painted {
            let encoded: Vec<_> = tiles.par_iter().map(encode_png).collect();
            for (sample, bytes) in samples.zip(encoded) {
                let record = &self.dataset.samples[sample];
                let what = || format!("sample {} ({})", record.key, self.layer);
                let bytes = bytes.map_err(|source| Error::Image { what: what(), source })?;
                writer.add(&SampleEntry {
                    key: record.key.clone(),
                    files: vec![(self.layer.to_owned(), "png".to_owned(), bytes.into())],
                    // The dataset has label, group and split.
                    meta: None,
                })?;
            }
        }
        Ok(writer.finish()?)
    }
}
