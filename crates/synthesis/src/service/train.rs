//! `train_generator`: from a spec to a generator.
//!
//! The output depends on spec, inputs and profile alone: how often checkpoints are
//! written, or where a run was cut off and resumed, changes no bit of it.

use super::collection::Collection;
use super::course::Course;
use super::generator::{self, Stored};
use super::settings::{self, set};
use super::source::Source;
use super::survey::survey;
use crate::engine::adversarial::Adversarial;
use crate::engine::fit;
use crate::engine::generator::GeneratorConfig;
use crate::engine::range::Range;
use crate::engine::sampling::Sampling;
use crate::engine::schedule::Schedule;
use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::synthesis::v1::{Direction, GeneratorMethod, Intensity, TrainGeneratorSpec};
use counterstain_api::spec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::{
    ArtifactKind, Digest, GeneratorBody, ManifestParts, REVERSE_WEIGHTS, WEIGHTS, put_artifact,
};
use counterstain_compute::digest;
use counterstain_worker::{Task, TaskError};
use tch::Device;

/// Trains a generator; gives the digest of the `generator` artifact.
pub fn run(task: &Task, spec: &TrainGeneratorSpec, device: Device) -> Result<Digest, TaskError> {
    let inputs = Inputs::open(task, spec)?;
    let collection = collection(task, spec, &inputs)?;
    let plan = settings::schedule(spec)?;
    let (range, sampling) = looks(task, spec, &collection)?;
    if plan.batch_size > sampling.len() {
        task.warn(&format!(
            "batch_size {} is more than the {} sample(s) of an epoch: each step takes all of them",
            plan.batch_size,
            sampling.len()
        ));
    }
    let config = settings::generator(spec, collection.input_shape, collection.target_shape)?;
    check_sizes(spec, &config, &collection)?;
    let mut model = settings::networks(spec, config, device)?;
    start(task, spec, &config, model.as_mut())?;
    let canonical = spec::canonical_json(task.spec());

    let course = Course {
        task,
        schedule: Schedule::new(sampling.len(), plan),
        sampling,
        collection: &collection,
        range: range.as_ref(),
        policy: spec.on_failure(),
    };
    course.resume(model.as_mut())?;
    course.train(model.as_mut())?;

    let body = GeneratorBody {
        method: settings::method_name(spec).to_owned(),
        network: generator::described(&config),
        in_channels: collection.input_shape.channels as u32,
        out_channels: collection.target_shape.channels as u32,
        source: (spec.direction() == Direction::ToPrimary).then(|| spec.layer.clone()),
        intensity: range.map(|range| range.bounds().to_vec()),
        layer: collection.target().painted_layer(collection.target_shape.channels),
    };
    let mut parts = ManifestParts::new(ArtifactKind::Generator, &body)
        .input("dataset", inputs.dataset.digest)
        .job(canonical, task.profile().clone());
    if let Some(target) = &inputs.target {
        parts = parts.input("target_dataset", target.digest);
    }
    if !spec.init.is_empty() {
        parts = parts.input("init", digest(&spec.init, "init")?);
    }
    let (weights, reverse) = model.weights()?;
    let mut objects = vec![(WEIGHTS.to_owned(), Bytes::from(weights))];
    objects.extend(reverse.map(|bytes| (REVERSE_WEIGHTS.to_owned(), Bytes::from(bytes))));
    Ok(task.block_on(put_artifact(task.store(), parts, objects))?)
}

/// The datasets of a spec.
struct Inputs {
    dataset: Dataset,
    /// The second domain, where it is another dataset.
    target: Option<Dataset>,
}

impl Inputs {
    fn open(task: &Task, spec: &TrainGeneratorSpec) -> Result<Self, TaskError> {
        let open = |value: &str, field: &str| -> Result<Dataset, TaskError> {
            Ok(task.block_on(Dataset::open(task.store(), &digest(value, field)?))?)
        };
        let dataset = open(&spec.dataset, "dataset")?;
        let other = !spec.target_dataset.is_empty();
        let target = other.then(|| open(&spec.target_dataset, "target_dataset")).transpose()?;
        Ok(Self { dataset, target })
    }
}

/// The images to learn from, in the spec's direction.
fn collection<'a>(
    task: &'a Task,
    spec: &TrainGeneratorSpec,
    inputs: &'a Inputs,
) -> Result<Collection<'a>, TaskError> {
    let (primary_channels, privileged_channels) = settings::channels(spec);
    let dataset = &inputs.dataset;
    let split = set(spec.split.as_deref(), "split")?;
    if inputs.target.is_none() && spec.layer == dataset.body.primary {
        let text = format!("layer {:?} is the primary image itself: name a privileged layer", spec.layer);
        return Err(TaskError::new(ErrorCode::InvalidArgument, text));
    }
    let primary = Source::open(task.reader(), dataset, &dataset.body.primary, split, primary_channels)?;
    let (other, other_split) = match &inputs.target {
        Some(target) => (target, set(spec.target_split.as_deref(), "target_split")?),
        None => (dataset, split),
    };
    let privileged = Source::open(task.reader(), other, &spec.layer, other_split, privileged_channels)?;
    let unlisted = privileged.unlisted_labels()?;
    if !unlisted.is_empty() {
        task.warn(&format!(
            "layer {} holds labels {unlisted:?} that its palette does not list: they are painted white",
            spec.layer
        ));
    }
    let (input, target) = match spec.direction() {
        Direction::ToPrimary => (privileged, primary),
        Direction::ToPrivileged | Direction::Unspecified => (primary, privileged),
    };
    let crop = set(spec.crop, "crop")? as usize;
    let paired = spec.method() != GeneratorMethod::Cyclegan;
    Collection::open(input, target, paired, (crop > 0).then_some(crop))
}

/// The range of intensities and the sampling, where the spec asks for a look at the images first.
fn looks(
    task: &Task,
    spec: &TrainGeneratorSpec,
    collection: &Collection<'_>,
) -> Result<(Option<Range>, Sampling), TaskError> {
    let ranged = spec.intensity() == Intensity::Percentile;
    let share = set(spec.background_share, "background_share")?;
    if !ranged && share >= 1.0 {
        return Ok((None, Sampling::all(collection.len())));
    }
    let found = survey(task, collection.target())?;
    let range = ranged.then(|| Range::of_percentiles(&found.histograms)).transpose()?;
    if let Some(range) = &range {
        task.info(&format!("intensities {:?} become -1 to 1", range.bounds()));
    }
    if share >= 1.0 {
        return Ok((range, Sampling::all(collection.len())));
    }
    let background = found.is_background.iter().filter(|is| **is).count();
    let sampling = Sampling::balanced(&found.is_background, share, set(spec.seed, "seed")?);
    task.info(&format!(
        "{background} of {} tiles are background; an epoch visits {} tiles",
        found.is_background.len(),
        sampling.len()
    ));
    Ok((range, sampling))
}

fn check_sizes(
    spec: &TrainGeneratorSpec,
    config: &GeneratorConfig,
    collection: &Collection<'_>,
) -> Result<(), TaskError> {
    let layers = set(spec.discriminator_layers, "discriminator_layers")?;
    for shape in [collection.input_shape, collection.target_shape] {
        fit::check_patchgan(shape.width, shape.height, layers)?;
        config.check_image(shape.width, shape.height)?;
    }
    Ok(())
}

/// Starts from the weights that the spec names, if it names any.
fn start(
    task: &Task,
    spec: &TrainGeneratorSpec,
    config: &GeneratorConfig,
    model: &mut dyn Adversarial,
) -> Result<(), TaskError> {
    if spec.init.is_empty() {
        return Ok(());
    }
    let Stored { body, weights, reverse, .. } =
        task.block_on(generator::fetch(task.store(), &digest(&spec.init, "init")?))?;
    let (wanted, found) = (generator::described(config), &body.network);
    let channels = (config.in_channels(), config.out_channels());
    if wanted != *found || channels != (i64::from(body.in_channels), i64::from(body.out_channels)) {
        let text = format!(
            "init: that generator is {found:?} from {} to {} channels, this job trains {wanted:?} from {} to {}",
            body.in_channels, body.out_channels, channels.0, channels.1
        );
        return Err(TaskError::new(ErrorCode::InvalidArgument, text));
    }
    Ok(model.start_from(&weights, reverse.as_deref())?)
}
