//! One part of a generation job: one shard of the dataset, read ahead, computed, and written behind.
//!
//! Slices of samples have fixed borders inside the shard, so that its bytes do not depend on who makes it.

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::spec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::shard::{FinishedShard, SampleEntry, ShardWriter, StoredShard, table_name};
use counterstain_artifact::{ArtifactKind, Digest, LayerInfo, LayerPartBody, ManifestParts, NamedObject};
use counterstain_worker::prefetch::prefetch;
use counterstain_worker::{Task, TaskError};
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};

/// Slices that are read ahead, and computed ones that wait for encoding.
const AHEAD: usize = 2;

/// Layer, extension and bytes of each image of a sample.
pub type Files = Vec<(String, String, Bytes)>;

/// The samples of one part.
pub struct PartWork<'a> {
    task: &'a Task,
    dataset: &'a Dataset,
    samples: Range<usize>,
}

impl<'a> PartWork<'a> {
    /// The shard with the task's part number.
    ///
    /// # Errors
    /// When the dataset has another number of shards than the job has parts.
    pub fn open(task: &'a Task, dataset: &'a Dataset) -> Result<Self, TaskError> {
        let count = dataset.shard_count();
        let samples = dataset.shard_range(task.part() as usize);
        let samples = samples.filter(|_| task.part_count() as usize == count).ok_or_else(|| {
            let (part, parts) = (task.part(), task.part_count());
            let name = &dataset.body.name;
            let text = format!(
                "this is part {part} of {parts}, but dataset {name} has {count} shard(s): submit the job again"
            );
            TaskError::new(ErrorCode::FailedPrecondition, text)
        })?;
        Ok(Self { task, dataset, samples })
    }

    /// Works through slices of `length` samples: `read` runs ahead on a thread of its own, `compute` on this one (so
    /// that networks stay here), and `finish` behind, on a third; it gives the files of each sample of the slice.
    ///
    /// # Errors
    /// Those of the three, of writing and of the store, and the task's word to stop.
    pub fn run<R: Send, C: Send>(
        &self,
        length: usize,
        mut read: impl FnMut(Range<usize>) -> Result<R, TaskError> + Send,
        mut compute: impl FnMut(R) -> Result<C, TaskError>,
        finish: impl FnMut(Range<usize>, C) -> Result<Vec<Files>, TaskError> + Send,
    ) -> Result<StoredShard, TaskError> {
        let total = self.samples.len();
        self.task.progress("painting", 0, total as u64, "tiles");
        let slice = |number: u64| {
            let first = self.samples.start + number as usize * length;
            first..(first + length).min(self.samples.end)
        };
        let shard = std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<(Range<usize>, C)>(AHEAD);
            let (task, dataset) = (self.task, self.dataset);
            let writer = scope.spawn(move || write(task, dataset, receiver, finish));
            let computed = prefetch(
                0..total.div_ceil(length) as u64,
                AHEAD,
                |number| read(slice(number)),
                |number, item| {
                    self.task.check()?;
                    let slice = slice(number);
                    let done = slice.end - self.samples.start;
                    // The writer hangs up only after an error of its own, which `join` gives.
                    if sender.send((slice, compute(item)?)).is_err() {
                        return Err(TaskError::new(ErrorCode::Internal, "the shard's writer stopped"));
                    }
                    self.task.progress("painting", done as u64, total as u64, "tiles");
                    Ok(())
                },
            );
            drop(sender);
            let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let shard = written?;
            computed?;
            Ok::<FinishedShard, TaskError>(shard)
        })?;
        Ok(self.task.block_on(shard.put(self.task.store()))?)
    }

    /// Makes the `layer-part` artifact of a shard.
    ///
    /// # Errors
    /// The store's.
    pub fn commit(
        &self,
        generator: Digest,
        shard: &StoredShard,
        layer: LayerInfo,
        companions: Vec<LayerInfo>,
        table: Option<Vec<u8>>,
    ) -> Result<Digest, TaskError> {
        let position = self.task.part() as usize;
        let mut objects = shard.objects(position).to_vec();
        let table = match table {
            None => None,
            Some(bytes) => {
                let object = self.task.block_on(self.task.store().put_object(bytes.into()))?;
                let name = table_name(position);
                objects.push(NamedObject { name, size: object.size, digest: object.digest });
                Some(object.digest)
            }
        };
        let part = LayerPartBody {
            part: self.task.part(),
            shard: shard.info.clone(),
            layer,
            companions,
            dataset: self.dataset.digest,
            table,
        };
        let parts = ManifestParts::new(ArtifactKind::LayerPart, &part)
            .input("generator", generator)
            .input("dataset", self.dataset.digest)
            .job(spec::canonical_json(self.task.spec()), self.task.profile().clone());
        Ok(self.task.block_on(self.task.store().put_manifest(&parts.manifest(objects)))?)
    }
}

/// Finishes and appends what was computed, in the order of the dataset's shard.
fn write<C>(
    task: &Task,
    dataset: &Dataset,
    computed: Receiver<(Range<usize>, C)>,
    mut finish: impl FnMut(Range<usize>, C) -> Result<Vec<Files>, TaskError>,
) -> Result<FinishedShard, TaskError> {
    let mut writer = ShardWriter::new(task.cache_dir())?;
    for (samples, item) in computed {
        for (sample, files) in samples.clone().zip(finish(samples, item)?) {
            // The dataset has label, group and split.
            writer.add(&SampleEntry { key: dataset.samples[sample].key.clone(), files, meta: None })?;
        }
    }
    Ok(writer.finish()?)
}
