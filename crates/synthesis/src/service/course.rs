//! The training loop under a lease, with its checkpoints.

use super::checkpoint;
use super::collection::Collection;
use super::health::Health;
use crate::engine::adversarial::{Adversarial, Update};
use crate::engine::images::to_tiles;
use crate::engine::range::Range;
use crate::engine::sampling::Sampling;
use crate::engine::schedule::{Draw, Schedule};
use counterstain_api::proto::synthesis::v1::FailurePolicy;
use counterstain_compute::Pace;
use counterstain_worker::prefetch::prefetch;
use counterstain_worker::{Task, TaskError};
use tch::Tensor;

/// Batches that are read ahead of the step that needs them.
const AHEAD: usize = 4;
/// A run reports the metrics of at most about this many steps, evenly spread.
const REPORTED_STEPS: u64 = 5_000;

/// What a run goes through.
pub struct Course<'a> {
    /// The lease.
    pub task: &'a Task,
    /// Steps and rates.
    pub schedule: Schedule,
    /// The samples of each epoch.
    pub sampling: Sampling,
    /// The images.
    pub collection: &'a Collection<'a>,
    /// The intensities of the targets, where these are not the full range.
    pub range: Option<&'a Range>,
    /// What to do about a generator that fails.
    pub policy: FailurePolicy,
}

impl Course<'_> {
    /// Goes back to the job's last checkpoint, if it has one.
    ///
    /// # Errors
    /// When the checkpoint belongs to another spec or does not fit, and the store's.
    pub fn resume(&self, model: &mut dyn Adversarial) -> Result<(), TaskError> {
        match checkpoint::last(self.task)? {
            Some((state, step)) => Ok(model.restore(&state, step)?),
            None => Ok(()),
        }
    }

    /// Trains to the end.
    ///
    /// # Errors
    /// Those of reading, computing and committing, and the task's word to stop.
    pub fn train(&self, model: &mut dyn Adversarial) -> Result<(), TaskError> {
        let (task, total) = (self.task, self.schedule.total_steps());
        self.announce(model.step());
        let mut orders = Orders::new(&self.schedule, &self.sampling);
        let mut health = Health::new(self.policy);
        let mut pace = Pace::new(total, REPORTED_STEPS);
        task.progress("training", model.step(), total, "steps");
        let read = |step: u64| self.collection.batch(&orders.draws(step));
        prefetch(model.step()..total, AHEAD, read, |step, batch| {
            let learning_rate = self.schedule.learning_rate(step);
            let input = batch.input.to_tensor(model.device())?;
            let mut target = batch.target.to_tensor(model.device())?;
            if let Some(range) = self.range {
                target = range.narrow(&target);
            }
            let update = model.update(&input, &target, learning_rate, self.schedule.dropout_seed(step))?;
            let done = step + 1;
            pace.add(batch.input.len());
            if pace.reports(done) {
                self.report(done, &update, learning_rate, pace.samples_per_second());
            }
            health.look(task, done, &update, &target)?;
            if task.picture_due() {
                self.show(done, [&input, &update.painted, &target])?;
            }
            task.progress("training", done, total, "steps");
            if task.checkpoint_due() && done < total {
                checkpoint::save(task, done, self.schedule.epoch(done), model.save()?)?;
            }
            task.check()
        })
    }

    fn announce(&self, step: u64) {
        let shape = self.collection.input_shape;
        self.task.info(&format!(
            "{} {} of {} x {} px an epoch, {} steps{}",
            self.sampling.len(),
            if self.collection.paired() { "pairs" } else { "unpaired images of each domain" },
            shape.width,
            shape.height,
            self.schedule.total_steps(),
            if step > 0 { format!(", going on from step {step}") } else { String::new() }
        ));
    }

    /// Shows the step's first sample: input, what was painted for it, and the target, which is its own where the
    /// method learns from pairs.
    fn show(&self, step: u64, images: [&Tensor; 3]) -> Result<(), TaskError> {
        let target = if self.collection.paired() { "real" } else { "another real one" };
        let mut panels = Vec::new();
        for (name, images) in ["input", "painted", target].into_iter().zip(images) {
            panels.extend(to_tiles(&images.narrow(0, 0, 1))?.into_iter().map(|tile| (name, tile)));
        }
        self.task.picture("training", step, &panels);
        Ok(())
    }

    fn report(&self, step: u64, update: &Update, learning_rate: f64, samples_per_second: f64) {
        for (name, value) in &update.terms {
            self.task.metric(step, name, *value);
        }
        self.task.metric(step, "learning_rate", learning_rate);
        self.task.metric(step, "samples_per_second", samples_per_second);
    }
}

/// The order of the epoch in hand, for both domains.
struct Orders<'a> {
    schedules: [Schedule; 2],
    sampling: &'a Sampling,
    epoch: Option<u64>,
    samples: Vec<usize>,
    orders: [Vec<usize>; 2],
}

impl<'a> Orders<'a> {
    fn new(schedule: &Schedule, sampling: &'a Sampling) -> Self {
        let schedules = [schedule.clone(), schedule.second_domain()];
        Self { schedules, sampling, epoch: None, samples: Vec::new(), orders: [Vec::new(), Vec::new()] }
    }

    /// The draws of a step, by position in the collection.
    fn draws(&mut self, step: u64) -> [Vec<Draw>; 2] {
        let epoch = self.schedules[0].epoch(step);
        if self.epoch != Some(epoch) {
            self.samples = self.sampling.epoch(epoch).into_owned();
            self.orders = [self.schedules[0].order(epoch), self.schedules[1].order(epoch)];
            self.epoch = Some(epoch);
        }
        [0, 1].map(|domain| {
            let draws = self.schedules[domain].batch(step, &self.orders[domain]);
            draws.into_iter().map(|draw| Draw { sample: self.samples[draw.sample], ..draw }).collect()
        })
    }
}
