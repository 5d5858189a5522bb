//! Distances of the painted from the real distribution, in the feature space of encoders.

use std::ops::Range;

use counterstain_api::error::ErrorCode;
use counterstain_api::result::ResultDocument;
use counterstain_compute::{autocast_dtype, digest};
use counterstain_tile::Tile;
use counterstain_worker::TaskError;
use counterstain_worker::prefetch::prefetch;
use rayon::prelude::*;
use tch::Tensor;

use super::{Judge, Scores, images, info_of, pixels, samples_of};
use crate::engine::encoder::{Encoder, Input};
use crate::engine::metrics::image_quality::frechet_distance;
use crate::engine::metrics::kernel_distance::kernel_distance;
use crate::engine::points;
use crate::service::encoders;

/// Batches that are decoded ahead of the computation.
const AHEAD: usize = 2;

/// Adds the rows of every encoder, for every candidate and the floor.
pub fn judge(judge: &Judge<'_>, document: &mut ResultDocument) -> Result<(), TaskError> {
    if judge.spec.encoders.is_empty() {
        return Ok(());
    }
    let real = judge.unpaired.as_ref().unwrap_or(&judge.dataset);
    let reference = judge.reference_info()?;
    let real_samples = match &judge.unpaired {
        Some(dataset) => samples_of(dataset, judge.spec.reference_split(), "reference_split")?,
        None => judge.samples.clone(),
    };
    let primary = info_of(&judge.dataset, &judge.dataset.body.primary, "dataset")?;
    if real_samples.len() < 2 || judge.samples.len() < 2 {
        document.notes.push("distance/frechet and distance/kernel need two samples of each set.".to_owned());
        return Ok(());
    }
    for (position, text) in judge.spec.encoders.iter().enumerate() {
        let name = digest(text, &format!("encoders[{position}]"))?;
        let task = judge.task;
        let description = task.block_on(encoders::describe(task.store(), &name))?;
        let weights = task.block_on(encoders::weights(task.store(), &name))?;
        let dtype = autocast_dtype(judge.spec.dtype());
        let encoder = encoders::build(&description, &weights, judge.device, dtype)?;
        let read = |sample| pixels::of_dataset(task.reader(), real, &reference, sample);
        let real_features = features(judge, &encoder, "real images", &real_samples, read)?;
        for candidate in judge.candidates.iter().map(Some).chain([None]) {
            let title = candidate.map_or_else(|| "primary".to_owned(), |candidate| candidate.title());
            let read = |sample| images::layer_image(judge, candidate, &primary, sample);
            let painted = features(judge, &encoder, &title, &judge.samples, read)?;
            let mut figures = judge.figures(candidate);
            let count = judge.samples.len();
            let frechet = frechet_distance(&painted, &real_features)?;
            figures.row("distance/frechet", frechet, None, count, Some(name));
            let kernel = kernel_distance(&painted, &real_features, judge.spec.seed())?;
            figures.row("distance/kernel", kernel, None, count, Some(name));
            // Distances belong to sets, not to samples.
            figures.finish(document, &mut Scores::new());
        }
        let width = description.body.representation_width as usize;
        if judge.samples.len().min(real_samples.len()) <= width {
            document.notes.push(format!(
                "distance/frechet in the space of {} is biased: {} and {} samples for {width} features; distance/kernel is not.",
                description.title(),
                judge.samples.len(),
                real_samples.len()
            ));
        }
    }
    Ok(())
}

/// `[samples, width]`, in the order of `samples`.
fn features(
    judge: &Judge<'_>,
    encoder: &Encoder,
    title: &str,
    samples: &[usize],
    read: impl Fn(usize) -> Result<Tile<u8>, TaskError> + Send + Sync,
) -> Result<Tensor, TaskError> {
    let size = judge.spec.batch_size().max(1) as usize;
    let batch = |number: u64| -> Range<usize> {
        let first = number as usize * size;
        first..(first + size).min(samples.len())
    };
    let phase = format!("features: {title}");
    let architecture = encoder.architecture();
    let mut rows = Vec::new();
    judge.task.progress(&phase, 0, samples.len() as u64, "tiles");
    prefetch(
        0..samples.len().div_ceil(size) as u64,
        AHEAD,
        |number| -> Result<Vec<Input>, TaskError> {
            let input = |&sample: &usize| {
                let tile = read(sample)?.as_rgb();
                let tile = tile.map_err(|error| TaskError::new(ErrorCode::Corrupt, error.to_string()))?;
                Ok(Input::new(&tile, architecture)?)
            };
            samples[batch(number)].par_iter().map(input).collect()
        },
        |number, inputs| {
            rows.extend(encoder.represent(&inputs)?.into_iter().map(f64::from));
            judge.task.progress(&phase, batch(number).end as u64, samples.len() as u64, "tiles");
            judge.task.check()
        },
    )?;
    if rows.iter().any(|value| !value.is_finite()) {
        let text = format!("{title}: a feature is not finite; the encoder has diverged");
        return Err(TaskError::new(ErrorCode::NonFinite, text));
    }
    let width = rows.len() / samples.len().max(1);
    Ok(points::from_rows(&rows, samples.len(), width)?)
}
