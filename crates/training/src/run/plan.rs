//! The length and order of a run: all functions of (spec, number of samples).

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::training::v1::{Augmentation as Preset, Method, TrainEncoderSpec};
use counterstain_tile::augment::Augmentation;
use counterstain_tile::random::Stream;
use counterstain_worker::TaskError;

/// The length and order of a run.
///
/// Epoch `e` is a permutation of all samples, drawn from (seed, e); its batch `b` is a slice of it. What is
/// left over at the end of an epoch is left out: batch statistics and the number of negatives stay the same.
#[derive(Clone, Debug)]
pub struct Plan {
    pub samples: usize,
    pub batch_size: usize,
    pub epochs: u64,
    pub seed: u64,
}

impl Plan {
    /// Of a run whose batches hold `real` samples of another dataset besides.
    ///
    /// # Errors
    /// The split holds fewer samples than a batch.
    pub fn new(spec: &TrainEncoderSpec, samples: usize, real: usize) -> Result<Self, TaskError> {
        let batch_size = (spec.batch_size() as usize).saturating_sub(real).max(1);
        if samples < batch_size {
            let message = format!(
                "split {:?} has {samples} samples, fewer than one batch of {batch_size}: lower batch_size to at most {}",
                spec.split(),
                samples + real
            );
            return Err(TaskError::new(ErrorCode::InvalidArgument, message));
        }
        Ok(Self { samples, batch_size, epochs: u64::from(spec.epochs()), seed: spec.seed() })
    }

    pub fn steps_per_epoch(&self) -> u64 {
        (self.samples / self.batch_size) as u64
    }

    pub fn total_steps(&self) -> u64 {
        self.epochs * self.steps_per_epoch()
    }

    /// The epoch that step `step` (from 0) belongs to.
    pub fn epoch(&self, step: u64) -> u64 {
        step / self.steps_per_epoch()
    }

    /// The order of an epoch: a permutation of the samples.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        Stream::new(self.seed, "order", &[epoch]).permutation(self.samples)
    }

    /// The samples of step `step`, from its epoch's order.
    pub fn batch<'a>(&self, step: u64, order: &'a [usize]) -> &'a [usize] {
        let first = (step % self.steps_per_epoch()) as usize * self.batch_size;
        &order[first..first + self.batch_size]
    }
}

/// How many views of the primary image a method uses.
pub fn primary_views(method: Method) -> usize {
    match method {
        Method::Trident | Method::Unprivileged => 2,
        Method::Siamese | Method::Supervised | Method::Unspecified => 1,
    }
}

/// The augmentations of a spec.
pub fn augmentation(spec: &TrainEncoderSpec) -> Augmentation {
    match spec.augmentation() {
        Preset::Paper | Preset::Unspecified => Augmentation::paper(),
        Preset::Faithful => Augmentation::faithful(),
        Preset::Light => Augmentation::light(),
        Preset::None => Augmentation::none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_each_sample_at_most_once_and_leaves_the_rest_out() {
        let plan = Plan { samples: 11, batch_size: 4, epochs: 3, seed: 9 };
        assert_eq!((plan.steps_per_epoch(), plan.total_steps()), (2, 6));
        for epoch in 0..3 {
            let order = plan.order(epoch);
            let mut seen: Vec<usize> =
                (0..2).flat_map(|batch| plan.batch(epoch * 2 + batch, &order).to_vec()).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 8);
        }
        assert_ne!(plan.order(0), plan.order(1));
        assert_eq!(plan.epoch(5), 2);
    }

    #[test]
    fn a_split_smaller_than_a_batch_is_refused_with_what_would_fit() {
        let spec = TrainEncoderSpec { batch_size: Some(64), ..TrainEncoderSpec::default() };
        let error = Plan::new(&spec, 10, 0).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.contains("at most 10"), "{error}");
    }
}
