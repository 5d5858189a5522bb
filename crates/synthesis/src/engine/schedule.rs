//! Which samples a step sees, how they are flipped, and how fast it learns: all
//! functions of (seed, step), so there is nothing to save.

use counterstain_tile::random::Stream;

/// The order and length of a training run.
///
/// Epoch `e` visits every sample once, in a permutation drawn from (seed, e). Batch
/// `b` of it is the `b`-th slice of `batch_size`; the last slice of an epoch may be
/// smaller and is used too, so that every sample counts once per epoch.
#[derive(Debug, Clone)]
pub struct Schedule {
    samples: usize,
    batch_size: usize,
    epochs: u64,
    decay_epochs: u64,
    learning_rate: f64,
    flips: bool,
    seed: u64,
    streams: Streams,
}

/// Names of the random streams, which differ between the two domains of unpaired images.
#[derive(Debug, Clone, Copy)]
struct Streams {
    order: &'static str,
    flip: &'static str,
    crop: &'static str,
}

/// What [`Schedule::new`] is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleConfig {
    /// Samples of one step, at least 1.
    pub batch_size: usize,
    /// Passes over the samples, at least 1.
    pub epochs: u64,
    /// Last epochs of the linear decay; more than `epochs` counts as `epochs`.
    pub decay_epochs: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Whether pairs are flipped at random.
    pub flips: bool,
    /// Seed of order, flips and dropout.
    pub seed: u64,
}

/// One sample of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Position in the epoch's list of samples.
    pub sample: usize,
    /// Mirror left and right.
    pub horizontal: bool,
    /// Mirror top and bottom (tissue has no upright orientation).
    pub vertical: bool,
    /// Where in a larger image the crop lies, across and down: uniform over all of u32.
    pub place: [u32; 2],
}

impl Draw {
    /// The left and top edge of a crop of `side` px in an image of this size, which holds it.
    pub fn corner(&self, width: usize, height: usize, side: usize) -> (usize, usize) {
        let edge = |place: u32, length: usize| {
            let places = (length - side + 1) as u64;
            ((u64::from(place) * places) >> 32) as usize
        };
        (edge(self.place[0], width), edge(self.place[1], height))
    }
}

impl Schedule {
    /// A run over `samples` samples.
    ///
    /// # Panics
    /// When there is no sample, or `batch_size` is 0: callers refuse both first.
    pub fn new(samples: usize, config: ScheduleConfig) -> Self {
        assert!(samples > 0 && config.batch_size > 0, "a run needs samples and a batch size");
        Self {
            samples,
            batch_size: config.batch_size,
            epochs: config.epochs,
            decay_epochs: config.decay_epochs.min(config.epochs),
            learning_rate: config.learning_rate,
            flips: config.flips,
            seed: config.seed,
            streams: Streams { order: "order", flip: "flip", crop: "crop" },
        }
    }

    /// The same steps for the second domain of unpaired images, with an order, flips and crops of its own.
    pub fn second_domain(&self) -> Self {
        let streams = Streams { order: "second order", flip: "second flip", crop: "second crop" };
        Self { streams, ..self.clone() }
    }

    /// Steps of one epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.samples.div_ceil(self.batch_size) as u64
    }

    /// Steps of the run.
    pub fn total_steps(&self) -> u64 {
        self.epochs * self.steps_per_epoch()
    }

    /// The epoch that step `step` (from 0) belongs to.
    pub fn epoch(&self, step: u64) -> u64 {
        step / self.steps_per_epoch()
    }

    /// Constant, then falling linearly per epoch over the last `decay_epochs`, as the
    /// published code has it: the last epoch still learns, at 1 / (decay + 1) of the peak.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let constant = self.epochs - self.decay_epochs;
        let into_decay = (self.epoch(step) + 1).saturating_sub(constant);
        self.learning_rate * (1.0 - into_decay as f64 / (self.decay_epochs + 1) as f64)
    }

    /// The order of an epoch: a permutation of the samples.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        Stream::new(self.seed, self.streams.order, &[epoch]).permutation(self.samples)
    }

    /// The samples of step `step` (from 0), in order. `order` is that of its epoch,
    /// which callers keep: drawing it anew for every step would cost more than a step.
    pub fn batch(&self, step: u64, order: &[usize]) -> Vec<Draw> {
        let epoch = self.epoch(step);
        let first = (step % self.steps_per_epoch()) as usize * self.batch_size;
        let end = (first + self.batch_size).min(order.len());
        order[first..end].iter().map(|&sample| self.draw(epoch, sample)).collect()
    }

    /// The seed of libtorch's generator (dropout) in step `step`.
    pub fn dropout_seed(&self, step: u64) -> u64 {
        Stream::new(self.seed, "dropout", &[step]).next_u64()
    }

    fn draw(&self, epoch: u64, sample: usize) -> Draw {
        let position = [epoch, sample as u64];
        let mut crop = Stream::new(self.seed, self.streams.crop, &position);
        let place = [crop.next_u32(), crop.next_u32()];
        let mut flip = Stream::new(self.seed, self.streams.flip, &position);
        let horizontal = self.flips && flip.chance(0.5);
        Draw { sample, horizontal, vertical: self.flips && flip.chance(0.5), place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(run: &Schedule, step: u64) -> Vec<Draw> {
        run.batch(step, &run.order(run.epoch(step)))
    }

    fn schedule(samples: usize, epochs: u64, decay_epochs: u64) -> Schedule {
        let config =
            ScheduleConfig { batch_size: 4, epochs, decay_epochs, learning_rate: 1.0, flips: true, seed: 5 };
        Schedule::new(samples, config)
    }

    #[test]
    fn an_epoch_visits_every_sample_once_and_ends_with_a_smaller_batch() {
        let run = schedule(10, 2, 0);
        assert_eq!((run.steps_per_epoch(), run.total_steps()), (3, 6));
        for epoch in 0..2 {
            let batches: Vec<Vec<Draw>> = (0..3).map(|slice| batch(&run, epoch * 3 + slice)).collect();
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
            let mut seen: Vec<usize> = batches.concat().iter().map(|draw| draw.sample).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(batch(&run, 0), batch(&run, 3));
    }

    #[test]
    fn the_rate_is_constant_and_then_falls_by_equal_steps() {
        let run = schedule(4, 6, 3);
        let rates: Vec<f64> = (0..6).map(|step| run.learning_rate(step)).collect();
        assert_eq!(rates, [1.0, 1.0, 1.0, 0.75, 0.5, 0.25]);
        let constant = schedule(4, 3, 0);
        assert!((0..3).all(|step| constant.learning_rate(step) == 1.0));
        assert!((schedule(4, 2, 9).learning_rate(1) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn flips_and_dropout_depend_on_the_position_alone() {
        let run = schedule(64, 1, 0);
        assert_eq!(batch(&run, 7), batch(&run, 7));
        assert_ne!(run.dropout_seed(1), run.dropout_seed(2));
        let draws: Vec<Draw> = (0..16).flat_map(|step| batch(&run, step)).collect();
        assert!(draws.iter().any(|draw| draw.horizontal) && draws.iter().any(|draw| !draw.vertical));
    }

    #[test]
    fn crops_reach_every_corner_and_stay_inside() {
        let run = schedule(256, 1, 0);
        let draws: Vec<Draw> = (0..64).flat_map(|step| batch(&run, step)).collect();
        let corners: Vec<_> = draws.iter().map(|draw| draw.corner(10, 9, 8)).collect();
        let all = (0..3).flat_map(|left| (0..2).map(move |top| (left, top)));
        assert!(all.into_iter().all(|corner| corners.contains(&corner)));
        assert!(corners.iter().all(|&(left, top)| left < 3 && top < 2));
        assert!(draws.iter().all(|draw| draw.corner(8, 8, 8) == (0, 0)));
    }

    #[test]
    fn the_second_domain_has_an_order_of_its_own() {
        let run = schedule(16, 1, 0);
        assert_ne!(run.order(0), run.second_domain().order(0));
        assert_eq!(run.total_steps(), run.second_domain().total_steps());
    }
}
