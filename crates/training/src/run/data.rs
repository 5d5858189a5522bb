//! Batches of augmented views: decoded, augmented on all cores, and ready as channels-last memory.

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::training::v1::{Method, TrainEncoderSpec};
use counterstain_artifact::LayerInfo;
use counterstain_artifact::dataset::{Dataset, Layer, Reader};
use counterstain_compute::digest;
use counterstain_tile::augment::Augmentation;
use counterstain_tile::decode::{Limits, decode_rgb};
use counterstain_tile::{Tile, augment};
use counterstain_worker::images::{colours_are_labels, decode_layer};
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;

use super::plan::{augmentation, primary_views};

/// One view of every sample of a batch, NHWC in f32.
pub struct ViewBatch {
    pub data: Vec<f32>,
    pub channels: usize,
}

/// A batch on its way to the networks.
pub struct Batch {
    /// Views of the primary image, then one of each privileged image.
    pub views: Vec<ViewBatch>,
    /// Class numbers, for `supervised`.
    pub labels: Vec<i64>,
}

/// A privileged layer and where its images are.
pub struct Privileged {
    pub info: LayerInfo,
    /// The generated layer; none for a layer of the dataset itself.
    pub layer: Option<Layer>,
}

/// The tiles of a run.
pub struct Data {
    pub dataset: Dataset,
    pub privileged: Vec<Privileged>,
    /// Side of a view in pixels.
    pub side: usize,
    samples: Vec<usize>,
    supervised: bool,
    primary_views: usize,
    primary: Augmentation,
    seed: u64,
    reader: Reader,
    pool: rayon::ThreadPool,
}

impl Data {
    /// Opens dataset and layers and checks that they fit each other and the spec.
    ///
    /// # Errors
    /// A layer of another dataset, a split without samples, a class without samples, tiles that cannot be read.
    pub fn open(task: &Task, spec: &TrainEncoderSpec) -> Result<Self, TaskError> {
        let dataset = task.block_on(Dataset::open(task.store(), &digest(&spec.dataset, "dataset")?))?;
        let samples = samples_of(&dataset, spec.split())?;
        let supervised = spec.method() == Method::Supervised;
        if supervised {
            check_classes(&dataset, &samples, spec.split())?;
        }
        let mut privileged = Vec::new();
        for (index, layer) in spec.privileged.iter().enumerate() {
            privileged.push(open_privileged(task, &dataset, &layer.artifact, &layer.name, index)?);
        }
        let threads = task.profile().threads as usize;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("views-{n}"))
            .build();
        let pool = pool.map_err(|error| {
            TaskError::new(
                ErrorCode::ResourceExhausted,
                format!("cannot start {threads} threads for views: {error}"),
            )
        })?;
        let mut data = Self {
            privileged,
            side: spec.image_size() as usize,
            samples,
            supervised,
            primary_views: primary_views(spec.method()),
            primary: augmentation(spec),
            seed: spec.seed(),
            reader: task.reader().clone(),
            pool,
            dataset,
        };
        let first = data.primary_tile(data.samples[0])?;
        if data.side == 0 {
            data.side = first.width.min(first.height);
        }
        for privileged in &data.privileged {
            let image = data.privileged_tile(privileged, data.samples[0])?;
            if (image.width, image.height) != (first.width, first.height) {
                let message = format!(
                    "layer {} has images of {} x {} px, but the primary images are {} x {} px",
                    privileged.info.name, image.width, image.height, first.width, first.height
                );
                return Err(TaskError::new(ErrorCode::InvalidArgument, message));
            }
        }
        Ok(data)
    }

    /// Samples of the split.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Channels of the images of each branch: the primary's 3, then those of each privileged layer.
    pub fn privileged_channels(&self) -> impl Iterator<Item = u32> {
        self.privileged
            .iter()
            .map(|privileged| if colours_are_labels(&privileged.info) { 3 } else { privileged.info.channels })
    }

    /// How inputs are scaled, as encoders state it.
    pub fn normalisation(&self) -> &'static str {
        if self.primary.maximum > 1.0 { "0-255" } else { "0-1" }
    }

    /// Reads and augments the samples at these positions of the split.
    ///
    /// # Errors
    /// A tile is damaged; the message names its key.
    pub fn batch(&self, epoch: u64, positions: &[usize]) -> Result<Batch, TaskError> {
        let count = self.primary_views + self.privileged.len();
        let per_sample: Vec<Result<Vec<Tile<f32>>, TaskError>> =
            self.pool.install(|| positions.par_iter().map(|&at| self.views(epoch, at)).collect());
        let mut views: Vec<ViewBatch> =
            (0..count).map(|_| ViewBatch { data: Vec::new(), channels: 3 }).collect();
        for sample in per_sample {
            for (view, tile) in views.iter_mut().zip(sample?) {
                if view.data.is_empty() {
                    view.data.reserve_exact(tile.data.len() * positions.len());
                    view.channels = tile.channels;
                }
                view.data.extend_from_slice(&tile.data);
            }
        }
        let class = |&at: &usize| self.dataset.class_of(self.samples[at]).unwrap_or_default() as i64;
        let labels = if self.supervised { positions.iter().map(class).collect() } else { Vec::new() };
        Ok(Batch { views, labels })
    }

    /// All views of one sample. The sample's place in the dataset names its random streams, so that a view
    /// can be recomputed anywhere, on any split.
    fn views(&self, epoch: u64, position: usize) -> Result<Vec<Tile<f32>>, TaskError> {
        let sample = self.samples[position];
        let augment = |augmentation: &augment::Augmentation, tile: &Tile<u8>, view: usize| {
            augmentation
                .apply(tile, self.side, self.seed, epoch, sample as u64, view as u64)
                .map_err(|error| TaskError::new(ErrorCode::Corrupt, format!("{}: {error}", self.key(sample))))
        };
        let primary = self.primary_tile(sample)?;
        let mut views = Vec::with_capacity(self.primary_views + self.privileged.len());
        for view in 0..self.primary_views {
            views.push(augment(&self.primary, &primary, view)?);
        }
        let geometric = self.primary.geometric();
        for (index, privileged) in self.privileged.iter().enumerate() {
            // Painted labels keep their colours, which are their meaning; stains are augmented like H&E.
            let augmentation = if colours_are_labels(&privileged.info) { &geometric } else { &self.primary };
            views.push(augment(augmentation, &self.privileged_tile(privileged, sample)?, 2 + index)?);
        }
        Ok(views)
    }

    fn primary_tile(&self, sample: usize) -> Result<Tile<u8>, TaskError> {
        let bytes = self.reader.read(&self.dataset, sample, &self.dataset.body.primary)?;
        decode_rgb(&bytes, &Limits::default())
            .map_err(|error| TaskError::new(ErrorCode::Corrupt, format!("{}: {error}", self.key(sample))))
    }

    fn privileged_tile(&self, privileged: &Privileged, sample: usize) -> Result<Tile<u8>, TaskError> {
        let bytes = match &privileged.layer {
            Some(layer) => self.reader.read_layer(layer, sample)?,
            None => self.reader.read(&self.dataset, sample, &privileged.info.name)?,
        };
        decode_layer(&bytes, &privileged.info, self.key(sample))
    }

    fn key(&self, sample: usize) -> &str {
        &self.dataset.samples[sample].key
    }
}

fn samples_of(dataset: &Dataset, split: &str) -> Result<Vec<usize>, TaskError> {
    let samples =
        if split.is_empty() { (0..dataset.len()).collect() } else { dataset.samples_of_split(split) };
    if samples.is_empty() {
        let known: Vec<&str> = dataset.body.splits.keys().map(String::as_str).collect();
        let message = format!(
            "dataset {} has no samples in split {split:?}; it has {} (\"\" takes all samples)",
            dataset.body.name,
            if known.is_empty() { "no splits".to_owned() } else { known.join(", ") }
        );
        return Err(TaskError::new(ErrorCode::InvalidArgument, message));
    }
    Ok(samples)
}

/// Learning from labels needs at least two classes, each with samples, and a label on every sample.
fn check_classes(dataset: &Dataset, samples: &[usize], split: &str) -> Result<(), TaskError> {
    let invalid = |message: String| Err(TaskError::new(ErrorCode::InvalidArgument, message));
    let mut counts = vec![0_u64; dataset.body.classes.len()];
    for &sample in samples {
        match dataset.class_of(sample) {
            Some(class) => counts[class] += 1,
            None => {
                let key = &dataset.samples[sample].key;
                return invalid(format!("sample {key} has no label, which method supervised needs"));
            }
        }
    }
    if counts.len() < 2 {
        return invalid(format!(
            "dataset {} has {} classes; supervised needs two",
            dataset.body.name,
            counts.len()
        ));
    }
    if let Some(empty) = counts.iter().position(|&count| count == 0) {
        let class = &dataset.body.classes[empty];
        return invalid(format!(
            "class {class:?} has no samples in split {split:?} of {}",
            dataset.body.name
        ));
    }
    Ok(())
}

fn open_privileged(
    task: &Task,
    dataset: &Dataset,
    artifact: &str,
    name: &str,
    index: usize,
) -> Result<Privileged, TaskError> {
    if artifact.is_empty() {
        let info = dataset.layer(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = dataset.body.layers.iter().map(|layer| layer.name.as_str()).collect();
            let message = format!(
                "privileged[{index}].name: dataset {} has no layer {name:?}; it has {}",
                dataset.body.name,
                known.join(", ")
            );
            TaskError::new(ErrorCode::InvalidArgument, message)
        })?;
        return Ok(Privileged { info, layer: None });
    }
    let layer = task.block_on(Layer::open_named(
        task.store(),
        &digest(artifact, "privileged")?,
        Some(name).filter(|name| !name.is_empty()),
    ))?;
    layer.check_pairs(dataset)?;
    Ok(Privileged { info: layer.info.clone(), layer: Some(layer) })
}
