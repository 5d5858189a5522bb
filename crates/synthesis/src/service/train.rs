//! `train_generator`: the training loop under a lease.
//!
//! The output depends on spec, inputs and profile alone: how often checkpoints are
//! written, or where a run was cut off and resumed, changes no bit of it.

use super::pairs::{PairBatch, Pairs};
use super::settings::{self, set};
use crate::engine::pix2pix::{CHECKPOINT_SCHEMA, Losses, Outcome, Pix2Pix};
use crate::engine::schedule::Schedule;
use crate::engine::watch::{CONTRAST_EVERY, Watch};
use crate::engine::{Error, fit};
use bytes::Bytes;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::proto::synthesis::v1::TrainGeneratorSpec;
use counterstain_api::spec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::{
    ArtifactKind, CheckpointBody, Digest, GeneratorBody, GeneratorNetwork, ManifestParts, WEIGHTS, get_named,
    put_artifact,
};
use counterstain_compute::{Pace, digest};
use counterstain_worker::prefetch::prefetch;
use counterstain_worker::{Task, TaskError};
use tch::{Device, Kind, Tensor};

/// Name of a checkpoint's object.
const STATE: &str = "state.safetensors";
/// Batches that are read ahead of the step that needs them.
const AHEAD: usize = 4;
/// A run reports the metrics of at most about this many steps, evenly spread.
const REPORTED_STEPS: u64 = 5_000;

/// Trains a generator; gives the digest of the `generator` artifact.
pub fn run(task: &Task, spec: &TrainGeneratorSpec, device: Device) -> Result<Digest, TaskError> {
    let dataset_digest = digest(&spec.dataset, "dataset")?;
    let dataset = task.block_on(Dataset::open(task.store(), &dataset_digest))?;
    let split = set(spec.split.as_deref(), "split")?;
    let pairs = Pairs::open(task.reader(), &dataset, &spec.layer, split)?;
    let unlisted = pairs.unlisted_labels()?;
    if !unlisted.is_empty() {
        task.warn(&format!(
            "layer {} holds labels {unlisted:?} that its palette does not list: they are painted white",
            spec.layer
        ));
    }
    let layers = set(spec.discriminator_layers, "discriminator_layers")?;
    fit::check_patchgan(pairs.shape.width, pairs.shape.height, layers)?;

    let plan = settings::schedule(spec)?;
    if plan.batch_size > pairs.len() {
        task.warn(&format!(
            "batch_size {} is more than the {} pair(s): each step takes all of them",
            plan.batch_size,
            pairs.len()
        ));
    }
    let schedule = Schedule::new(pairs.len(), plan);
    let config = settings::networks(spec, pairs.shape.condition_channels, pairs.shape.target_channels)?;
    config.unet().check_image(pairs.shape.width as i64, pairs.shape.height as i64).map_err(Error::from)?;
    let mut model = Pix2Pix::new(config, device)?;
    let canonical = spec::canonical_json(task.spec());
    let spec_digest = Digest::of(&spec::canonical_bytes(&canonical));
    resume(task, &mut model, &spec_digest)?;
    task.info(&format!(
        "{} pairs of {} x {} px, {} steps of {} epochs{}",
        pairs.len(),
        pairs.shape.width,
        pairs.shape.height,
        schedule.total_steps(),
        set(spec.epochs, "epochs")?,
        if model.step() > 0 { format!(", going on from step {}", model.step()) } else { String::new() }
    ));
    train(task, &mut model, &schedule, &pairs, &spec_digest)?;

    let body = GeneratorBody {
        method: "pix2pix".to_owned(),
        network: GeneratorNetwork::Unet {
            depth: set(spec.depth, "depth")?,
            filters: set(spec.filters, "filters")?,
            norm: "batch".to_owned(),
        },
        in_channels: pairs.shape.condition_channels as u32,
        out_channels: pairs.shape.target_channels as u32,
        source: None,
        intensity: None,
        layer: pairs.painted_layer(),
    };
    let parts = ManifestParts::new(ArtifactKind::Generator, &body)
        .input("dataset", dataset_digest)
        .job(canonical, task.profile().clone());
    let weights = Bytes::from(model.generator_weights()?);
    Ok(task.block_on(put_artifact(task.store(), parts, vec![(WEIGHTS.to_owned(), weights)]))?)
}

fn train(
    task: &Task,
    model: &mut Pix2Pix,
    schedule: &Schedule,
    pairs: &Pairs<'_>,
    spec_digest: &Digest,
) -> Result<(), TaskError> {
    let total = schedule.total_steps();
    let mut order = (u64::MAX, Vec::new());
    let read = |step: u64| -> Result<PairBatch, TaskError> {
        let epoch = schedule.epoch(step);
        if order.0 != epoch {
            order = (epoch, schedule.order(epoch));
        }
        pairs.batch(&schedule.batch(step, &order.1))
    };
    let mut watch = Watch::default();
    let mut pace = Pace::new(total, REPORTED_STEPS);
    task.progress("training", model.step(), total, "steps");
    prefetch(model.step()..total, AHEAD, read, |step, batch| {
        let learning_rate = schedule.learning_rate(step);
        let condition = batch.condition.to_tensor(model.device())?;
        let target = batch.target.to_tensor(model.device())?;
        let outcome = model.optimise(&condition, &target, learning_rate, schedule.dropout_seed(step))?;
        let done = step + 1;
        pace.add(batch.condition.len());
        if pace.reports(done) {
            report(task, done, &outcome.losses, learning_rate, pace.samples_per_second());
        }
        warn_of_collapse(task, &mut watch, done, &outcome, &target)?;
        task.progress("training", done, total, "steps");
        if task.checkpoint_due() && done < total {
            checkpoint(task, model, schedule.epoch(done), spec_digest)?;
        }
        task.check()
    })
}

/// Goes back to the job's last checkpoint, if it has one.
fn resume(task: &Task, model: &mut Pix2Pix, spec_digest: &Digest) -> Result<(), TaskError> {
    let Some(digest) = task.checkpoint() else { return Ok(()) };
    let manifest = task.block_on(task.store().manifest(&digest))?;
    let body: CheckpointBody = manifest.body_of(ArtifactKind::Checkpoint)?;
    body.check(spec::kind_name(JobKind::TrainGenerator), spec_digest, CHECKPOINT_SCHEMA)?;
    let state = task.block_on(get_named(task.store(), &manifest, STATE))?;
    Ok(model.restore(&state, body.step)?)
}

fn checkpoint(task: &Task, model: &Pix2Pix, epoch: u64, spec_digest: &Digest) -> Result<(), TaskError> {
    let body = CheckpointBody {
        job_kind: spec::kind_name(JobKind::TrainGenerator).to_owned(),
        step: model.step(),
        epoch,
        spec_digest: *spec_digest,
        schema: CHECKPOINT_SCHEMA,
    };
    let parts = ManifestParts::new(ArtifactKind::Checkpoint, &body);
    let state = Bytes::from(model.save()?);
    let digest = task.block_on(put_artifact(task.store(), parts, vec![(STATE.to_owned(), state)]))?;
    task.commit_checkpoint(&digest, model.step())
}

fn report(task: &Task, step: u64, losses: &Losses, learning_rate: f64, samples_per_second: f64) {
    for (name, value) in losses.named() {
        task.metric(step, name, value);
    }
    task.metric(step, "learning_rate", learning_rate);
    task.metric(step, "samples_per_second", samples_per_second);
}

fn warn_of_collapse(
    task: &Task,
    watch: &mut Watch,
    step: u64,
    outcome: &Outcome,
    target: &Tensor,
) -> Result<(), TaskError> {
    if let Some(warning) = watch.losses(step, &outcome.losses) {
        task.warn(&warning);
    }
    if step.is_multiple_of(CONTRAST_EVERY) {
        let painted = contrast(&outcome.painted)?;
        if let Some(warning) = watch.contrast(step, painted, contrast(target)?) {
            task.warn(&warning);
        }
    }
    Ok(())
}

/// Mean standard deviation within the channels of the images.
fn contrast(images: &Tensor) -> Result<f64, Error> {
    let flat = images.f_flatten(2, 3)?;
    Ok(f64::try_from(flat.std_dim(2, false, false).mean(Kind::Double))?)
}
