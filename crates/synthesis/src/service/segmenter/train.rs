//! `train_segmenter`: from a spec to a HoVer-Net.
//!
//! The output depends on spec, inputs and profile alone: how often checkpoints are written, or where a run was cut
//! off and resumed, changes no bit of it.

use super::annotations::Annotations;
use crate::engine::Error;
use crate::engine::segmenter::loss::HoverNetWeights;
use crate::engine::segmenter::{
    Decay, PatchBatch, PatchDraw, PhasePlan, Phases, Prepared, Segmenter, SegmenterConfig, SegmenterUpdate,
    panels,
};
use crate::engine::watch::{CONTRAST_EVERY, Watch};
use crate::service::checkpoint;
use crate::service::generator::{self, hovernet_config};
use crate::service::health::act;
use crate::service::settings::{self, set};
use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::proto::synthesis::v1::{
    SegmenterAugmentation, SegmenterMode, SegmenterSchedule, TrainSegmenterSpec,
};
use counterstain_api::spec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::{
    ArtifactKind, Digest, GeneratorBody, GeneratorNetwork, LayerInfo, ManifestParts, WEIGHTS, put_artifact,
};
use counterstain_compute::{Pace, digest};
use counterstain_model::HoVerNetConfig;
use counterstain_tile::augment::PatchAugmentation;
use counterstain_worker::images::type_palette;
use counterstain_worker::prefetch::prefetch;
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;
use tch::Device;

const KIND: JobKind = JobKind::TrainSegmenter;
/// Batches that are prepared ahead of the step that needs them.
const AHEAD: usize = 4;
/// A run reports the metrics of at most about this many steps, evenly spread.
const REPORTED_STEPS: u64 = 5_000;

/// Trains a segmenter; gives the digest of the `generator` artifact.
pub fn run(task: &Task, spec: &TrainSegmenterSpec, device: Device) -> Result<Digest, TaskError> {
    let dataset = task.block_on(Dataset::open(task.store(), &digest(&spec.dataset, "dataset")?))?;
    let instances = set(spec.instances.as_deref(), "instances")?;
    let split = set(spec.split.as_deref(), "split")?;
    let annotations = Annotations::open(task, &dataset, instances, spec.types.as_deref(), split)?;
    let (mode, side) = match spec.mode() {
        SegmenterMode::Original => ("original", 270),
        SegmenterMode::Fast | SegmenterMode::Unspecified => ("fast", 256),
    };
    let found = annotations.look(task, side, mode)?;
    if found.empty > 0 {
        task.info(&format!("{} of {} tiles have no nucleus", found.empty, annotations.len()));
    }
    let palette = annotations.types().map(|types| type_palette(types.info(), found.largest_type));
    let names = palette.iter().flat_map(|palette| palette.entries.iter());
    let network = GeneratorNetwork::Hovernet {
        mode: mode.to_owned(),
        width: set(spec.width, "width")?,
        types: names.map(|entry| entry.name.to_string()).collect(),
    };
    let config = hovernet_config(&network)?;
    let seed = set(spec.seed, "seed")?;
    let dtype = settings::dtype(spec.dtype)?;
    let weights = HoverNetWeights {
        distance_error: set(spec.hv_mse_weight, "hv_mse_weight")?,
        gradient_error: set(spec.hv_gradient_mse_weight, "hv_gradient_mse_weight")?,
    };
    let mut model = Segmenter::new(SegmenterConfig { network: config, dtype, weights, seed }, device)?;
    if !spec.init.is_empty() {
        start(task, spec, &config, &mut model)?;
    }

    let course = Course {
        task,
        annotations: &annotations,
        phases: phases(spec, annotations.len())?,
        side,
        output: config.output_side(side as i64).map_err(Error::from)? as usize,
        augmentation: match spec.augmentation() {
            SegmenterAugmentation::Flips => PatchAugmentation::Flips,
            _ => PatchAugmentation::HoverNet,
        },
    };
    if let Some((state, step)) = checkpoint::last(task)? {
        model.restore(&state, step)?;
    }
    course.train(&mut model, spec)?;

    let colours = palette.map_or_else(
        || vec![[0, 0, 0], [255, 255, 255]],
        |palette| palette.entries.iter().map(|entry| entry.rgb).collect(),
    );
    let body = GeneratorBody {
        method: "hovernet".to_owned(),
        network,
        in_channels: 3,
        out_channels: 3,
        source: None,
        intensity: None,
        layer: LayerInfo {
            palette: Some(colours),
            microns_per_pixel: dataset.body.microns_per_pixel,
            ..LayerInfo::png("nuclei", 3)
        },
    };
    let mut parts = ManifestParts::new(ArtifactKind::Generator, &body)
        .job_kind(spec::kind_name(KIND))
        .input("dataset", dataset.digest)
        .job(spec::canonical_json(task.spec()), task.profile().clone());
    if !spec.init.is_empty() {
        parts = parts.input("init", digest(&spec.init, "init")?);
    }
    let objects = vec![(WEIGHTS.to_owned(), Bytes::from(model.weights()?))];
    Ok(task.block_on(put_artifact(task.store(), parts, objects))?)
}

fn phases(spec: &TrainSegmenterSpec, tiles: usize) -> Result<Phases, TaskError> {
    let plan = |epochs: Option<u32>, batch_size: Option<u32>, field: &str| {
        Ok::<_, TaskError>(PhasePlan {
            epochs: u64::from(set(epochs, field)?),
            batch_size: set(batch_size, field)? as usize,
        })
    };
    let plans = [
        plan(spec.decoder_epochs, spec.decoder_batch_size, "decoder_epochs")?,
        plan(spec.epochs, spec.batch_size, "epochs")?,
    ];
    let patches = set(spec.patches, "patches")? as usize;
    let decay = match spec.schedule() {
        SegmenterSchedule::Cosine => Decay::Cosine { warmup: set(spec.warmup, "warmup")? },
        SegmenterSchedule::Step | SegmenterSchedule::Unspecified => {
            Decay::Step(u64::from(set(spec.decay_after, "decay_after")?))
        }
    };
    let learning_rate = set(spec.learning_rate, "learning_rate")?;
    Ok(Phases::new(tiles, patches, plans, learning_rate, decay, set(spec.seed, "seed")?))
}

/// Starts from the weights that the spec names.
fn start(
    task: &Task,
    spec: &TrainSegmenterSpec,
    config: &HoVerNetConfig,
    model: &mut Segmenter,
) -> Result<(), TaskError> {
    let stored = task.block_on(generator::fetch(task.store(), &digest(&spec.init, "init")?))?;
    let found = hovernet_config(&stored.body.network)
        .map_err(|error| TaskError::new(error.code, format!("init: {}", error.message)))?;
    if (found.mode, found.width) != (config.mode, config.width) {
        let text = format!(
            "init: that segmenter has mode {:?} and width {}, this job trains mode {:?} and width {}",
            found.mode, found.width, config.mode, config.width
        );
        return Err(TaskError::new(ErrorCode::InvalidArgument, text));
    }
    if found.types != config.types {
        task.info("init has another number of types: the type branch starts afresh");
    }
    Ok(model.start_from(&stored.weights, found.types)?)
}

/// What a run goes through.
struct Course<'a> {
    task: &'a Task,
    annotations: &'a Annotations<'a>,
    phases: Phases,
    /// Side of a patch, and of its maps.
    side: usize,
    output: usize,
    augmentation: PatchAugmentation,
}

impl Course<'_> {
    fn train(&self, model: &mut Segmenter, spec: &TrainSegmenterSpec) -> Result<(), TaskError> {
        let (task, total) = (self.task, self.phases.total_steps());
        task.info(&format!(
            "{} patches of {} x {} px an epoch from {} tiles, {total} steps, the encoder learns from step {} on{}",
            self.phases.patches_per_epoch(),
            self.side,
            self.side,
            self.annotations.len(),
            self.phases.first_steps(),
            if model.step() > 0 { format!("; going on from step {}", model.step()) } else { String::new() }
        ));
        let mut watch = Watch::default();
        let mut pace = Pace::new(total, REPORTED_STEPS);
        let mut epoch_order: Option<(u64, Vec<usize>)> = None;
        let read = |step: u64| {
            let epoch = self.phases.epoch(step);
            if epoch_order.as_ref().is_none_or(|(known, _)| *known != epoch) {
                epoch_order = Some((epoch, self.phases.order(epoch)));
            }
            let order = epoch_order.as_ref().map_or(&[][..], |(_, order)| order);
            self.batch(&self.phases.batch(step, order))
        };
        task.progress("training", model.step(), total, "steps");
        prefetch(model.step()..total, AHEAD, read, |step, batch: PatchBatch| {
            let learning_rate = self.phases.learning_rate(step);
            let update = model.update(&batch, self.phases.phase(step), learning_rate)?;
            let done = step + 1;
            pace.add(batch.len());
            if pace.reports(done) {
                self.report(done, &update, learning_rate, pace.samples_per_second());
            }
            if done.is_multiple_of(CONTRAST_EVERY) && batch.has_nuclei() {
                let finding = watch.nuclei(done, update.found_nuclei()?);
                act(task, spec.on_failure(), finding)?;
            }
            if task.picture_due() {
                task.picture("training", done, &panels(&batch, &update)?);
            }
            task.progress("training", done, total, "steps");
            if task.checkpoint_due() && done < total {
                checkpoint::save(task, done, self.phases.epoch(done), model.save()?)?;
            }
            task.check()
        })
    }

    fn batch(&self, draws: &[PatchDraw]) -> Result<PatchBatch, TaskError> {
        let prepare = |draw: &PatchDraw| -> Result<Prepared, TaskError> {
            let tile = self.annotations.read(draw.tile)?;
            let overhang = (self.side - self.output) / 2;
            let patch = tile.patch(self.side, overhang, self.augmentation, &mut self.phases.stream(draw));
            let prepared = patch.and_then(|patch| Prepared::new(patch, self.output));
            prepared.map_err(|source| {
                Error::Image { what: format!("sample {}", self.annotations.key(draw.tile)), source }.into()
            })
        };
        let patches: Vec<Result<_, TaskError>> = draws.par_iter().map(prepare).collect();
        Ok(PatchBatch::of(self.side, self.output, patches.into_iter().collect::<Result<_, _>>()?)?)
    }

    fn report(&self, step: u64, update: &SegmenterUpdate, learning_rate: f64, patches_per_second: f64) {
        for (name, value) in &update.terms {
            self.task.metric(step, name, *value);
        }
        self.task.metric(step, "learning_rate", learning_rate);
        self.task.metric(step, "samples_per_second", patches_per_second);
    }
}
