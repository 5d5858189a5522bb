//! Real pairs among synthetic ones: a share of every batch comes from another dataset, with real privileged images.

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::training::v1::{PrivilegedLayer, TrainEncoderSpec};
use counterstain_tile::random::Stream;
use counterstain_worker::{Task, TaskError};

use super::data::{Batch, Data};

/// The real pairs of a run.
///
/// Step `s` takes the real samples `s·k .. (s+1)·k` of an endless row: permutation after permutation of them all, each
/// drawn from (seed, pass). So there is nothing to save, and an epoch stays one pass over the run's own dataset.
pub struct RealPairs {
    /// Their images.
    pub data: Data,
    /// Real samples of each batch.
    pub count: usize,
    seed: u64,
}

impl RealPairs {
    /// Opens the real dataset; none where the spec mixes nothing.
    ///
    /// # Errors
    /// What [`Data::open`] refuses, and real images with other channels than the branch has.
    pub fn open(task: &Task, spec: &TrainEncoderSpec, own: &Data) -> Result<Option<Self>, TaskError> {
        if spec.real_dataset.is_empty() {
            return Ok(None);
        }
        let batch_size = spec.batch_size() as usize;
        let layer =
            |layer: &PrivilegedLayer| PrivilegedLayer { name: layer.real.clone(), ..Default::default() };
        let seed = Stream::new(spec.seed(), "real pairs", &[]).next_u64();
        let real = TrainEncoderSpec {
            dataset: spec.real_dataset.clone(),
            split: Some(spec.real_split().to_owned()),
            privileged: spec.privileged.iter().map(layer).collect(),
            image_size: Some(own.side as u32),
            seed: Some(seed),
            ..spec.clone()
        };
        let data = Data::open(task, &real).map_err(|mut error| {
            error.message = format!("real_dataset: {}", error.message);
            error
        })?;
        for (index, (own, real)) in own.privileged_channels().zip(data.privileged_channels()).enumerate() {
            if own != real {
                let message = format!(
                    "privileged[{index}].real: layer {} has {real} channel(s), the synthetic images have {own}: \
                     a branch sees one kind of image",
                    data.privileged[index].info.name
                );
                return Err(TaskError::new(ErrorCode::InvalidArgument, message));
            }
        }
        let count = (spec.real_share() * batch_size as f64).round() as usize;
        Ok(Some(Self { data, count: count.clamp(1, batch_size - 1), seed }))
    }

    /// Appends the real samples of a step.
    ///
    /// # Errors
    /// As [`Data::batch`].
    pub fn add_to(&self, batch: &mut Batch, step: u64) -> Result<(), TaskError> {
        let samples = self.data.len() as u64;
        let first = step * self.count as u64;
        // Stretches of one pass, since a view's random draws are named by its pass.
        let mut place = first;
        while place < first + self.count as u64 {
            let pass = place / samples;
            let end = ((pass + 1) * samples).min(first + self.count as u64);
            let order = Stream::new(self.seed, "real order", &[pass]).permutation(samples as usize);
            let positions = &order[(place % samples) as usize..(place % samples + end - place) as usize];
            let real = self.data.batch(pass, positions)?;
            for (view, more) in batch.views.iter_mut().zip(real.views) {
                view.data.extend(more.data);
            }
            place = end;
        }
        Ok(())
    }
}
