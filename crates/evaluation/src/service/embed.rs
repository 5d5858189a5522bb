//! `embed`: the representations of every tile of a dataset by one encoder. The same
//! code serves `evaluate`, so that both make, and find, the same artifacts.

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::evaluation::v1::EmbedSpec;
use counterstain_api::proto::job::v1::JobSpec;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_api::spec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::{
    ArtifactKind, Digest, ManifestParts, REPRESENTATIONS, RepresentationsBody, get_named, put_artifact,
};
use counterstain_worker::prefetch::prefetch;
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;
use tch::{Device, Tensor};

use super::checkpoint::{Finished, Partial, State, read_rows, write_rows};
use super::encoders::{self, Description};
use super::samples;
use crate::engine::encoder::{Encoder, Input};
use counterstain_compute::{autocast_dtype, digest};

/// Batches that are decoded ahead of the computation.
const AHEAD: usize = 2;

/// Does an `embed` job; gives the digest of the `representations` artifact.
pub fn run(task: &Task, spec: &EmbedSpec, device: Device) -> Result<Digest, TaskError> {
    let dataset = digest(&spec.dataset, "dataset")?;
    let encoder = digest(&spec.encoder, "encoder")?;
    let dataset = task.block_on(Dataset::open(task.store(), &dataset))?;
    let description = task.block_on(encoders::describe(task.store(), &encoder))?;
    let mut sets = Sets::open(task, &dataset, device, spec)?;
    sets.compute(&description, 0)
}

/// Makes sets of representations of one dataset, one encoder after the other.
pub struct Sets<'a> {
    task: &'a Task,
    dataset: &'a Dataset,
    device: Device,
    /// Dataset, batch size and dtype; the encoder is filled in.
    template: EmbedSpec,
    state: State,
}

impl<'a> Sets<'a> {
    /// Goes on from the task's checkpoint.
    pub fn open(
        task: &'a Task,
        dataset: &'a Dataset,
        device: Device,
        template: &EmbedSpec,
    ) -> Result<Self, TaskError> {
        Ok(Self { task, dataset, device, template: template.clone(), state: State::resume(task)? })
    }

    /// The set of an encoder: from the checkpoint, from the store, or computed now and
    /// made known. `position` counts the sets of the job.
    pub fn find_or_compute(
        &mut self,
        description: &Description,
        position: usize,
    ) -> Result<Digest, TaskError> {
        if let Some(finished) = self.state.finished(&description.digest) {
            return Ok(finished);
        }
        if let Some(found) = self.task.find_output_of(&self.job_spec(description)?)? {
            self.task.info(&format!("{}: representations found, {}", description.title(), found.short()));
            return Ok(found);
        }
        let digest = self.compute(description, position)?;
        self.task.register_artifact(&digest)?;
        self.state.finished.push(Finished { encoder: description.digest, representations: digest });
        self.state.partial = None;
        self.state.commit(self.task, self.step(position, self.dataset.len()))?;
        Ok(digest)
    }

    fn step(&self, position: usize, samples: usize) -> u64 {
        (position * self.dataset.len() + samples) as u64
    }

    /// The `embed` job that makes the set.
    fn job_spec(&self, description: &Description) -> Result<JobSpec, TaskError> {
        let embed = EmbedSpec { encoder: description.digest.to_string(), ..self.template.clone() };
        let spec = JobSpec { kind: Some(Kind::Embed(embed)) };
        spec::resolve(&spec).map_err(|faults| {
            let text: Vec<String> =
                faults.iter().map(|f| format!("{}: {}", f.field, f.description)).collect();
            TaskError::new(ErrorCode::InvalidArgument, text.join("; "))
        })
    }

    /// Computes a set and writes its artifact.
    pub fn compute(&mut self, description: &Description, position: usize) -> Result<Digest, TaskError> {
        let title = description.title();
        let weights = self.task.block_on(encoders::weights(self.task.store(), &description.digest))?;
        let dtype = autocast_dtype(self.template.dtype());
        let encoder = encoders::build(description, &weights, self.device, dtype)?;
        let rows = self.represent(&encoder, description, position)?;
        let width = description.architecture().representation_width()?;
        let samples = self.dataset.len();
        let body = RepresentationsBody {
            encoder: Some(description.digest),
            dataset: self.dataset.digest,
            width: width as u32,
            samples: samples as u64,
        };
        let parts = ManifestParts::new(ArtifactKind::Representations, &body)
            .input("encoder", description.digest)
            .input("dataset", self.dataset.digest)
            .job(spec::canonical_json(&self.job_spec(description)?), self.task.profile().clone());
        let file = Bytes::from(write_rows(&rows, samples)?);
        let digest = self.task.block_on(put_artifact(
            self.task.store(),
            parts,
            vec![(REPRESENTATIONS.to_owned(), file)],
        ))?;
        self.task.info(&format!("{title}: {samples} representations of width {width}, {}", digest.short()));
        Ok(digest)
    }

    fn represent(
        &mut self,
        encoder: &Encoder,
        description: &Description,
        position: usize,
    ) -> Result<Vec<f32>, TaskError> {
        let total = self.dataset.len();
        let mut partial = match self.state.partial.take() {
            Some(partial) if partial.encoder == description.digest => partial,
            _ => Partial { encoder: description.digest, samples: 0, rows: Vec::new() },
        };
        let batches = samples::batches(self.dataset, self.template.batch_size() as usize);
        let first = batches.iter().position(|batch| batch.start == partial.samples).unwrap_or(batches.len());
        let phase = format!("representations: {}", description.title());
        let (task, dataset) = (self.task, self.dataset);
        let (reader, architecture) = (task.reader().clone(), encoder.architecture());
        task.progress(&phase, partial.samples as u64, total as u64, "tiles");
        prefetch(
            first as u64..batches.len() as u64,
            AHEAD,
            |index| -> Result<Vec<Input>, TaskError> {
                let inputs = batches[index as usize].clone().into_par_iter();
                inputs
                    .map(|sample| Ok(Input::new(&samples::tile(&reader, dataset, sample)?, architecture)?))
                    .collect()
            },
            |index, inputs| {
                let rows = encoder.represent(&inputs)?;
                check_finite(&rows, inputs.len(), dataset, batches[index as usize].start, description)?;
                partial.rows.extend(rows);
                partial.samples = batches[index as usize].end;
                task.progress(&phase, partial.samples as u64, total as u64, "tiles");
                if task.checkpoint_due() && partial.samples < total {
                    self.state.partial = Some(partial.clone());
                    self.state.commit(task, (position * total + partial.samples) as u64)?;
                    self.state.partial = None;
                }
                task.check()
            },
        )?;
        Ok(partial.rows)
    }
}

fn check_finite(
    rows: &[f32],
    samples: usize,
    dataset: &Dataset,
    first: usize,
    description: &Description,
) -> Result<(), TaskError> {
    let Some(position) = rows.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let sample = first + position / (rows.len() / samples.max(1)).max(1);
    let text = format!(
        "the representation of sample {} by {} {} is not finite; the encoder has diverged",
        dataset.samples[sample].key,
        description.title(),
        description.digest.short()
    );
    Err(TaskError::new(ErrorCode::NonFinite, text))
}

/// Reads a set: `[samples, width]`, f32, in dataset order.
pub fn load(task: &Task, dataset: &Dataset, digest: &Digest) -> Result<Tensor, TaskError> {
    let manifest = task.block_on(task.store().manifest(digest))?;
    let body: RepresentationsBody = manifest.body_of(ArtifactKind::Representations)?;
    let bytes = task.block_on(get_named(task.store(), &manifest, REPRESENTATIONS))?;
    let damaged =
        |reason: String| TaskError::new(ErrorCode::Corrupt, format!("representations {digest}: {reason}"));
    let tensor = read_rows(&bytes).map_err(damaged)?;
    let expected = [dataset.len() as i64, i64::from(body.width)];
    if body.dataset != dataset.digest || tensor.size() != expected {
        return Err(damaged(format!(
            "they are {:?} of dataset {}; {expected:?} of {} are needed",
            tensor.size(),
            body.dataset.short(),
            dataset.digest.short()
        )));
    }
    Ok(tensor)
}
