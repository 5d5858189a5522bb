//! The two phases of training, and the patches of each step: all functions of (seed, step).

use counterstain_tile::random::Stream;
use counterstain_torch::optim::schedule::warmup_cosine;

/// Which layers learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The decoders alone; the encoder is frozen.
    Decoders,
    /// All layers.
    All,
}

/// One phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhasePlan {
    /// Passes over the tiles.
    pub epochs: u64,
    /// Patches of one step, at least 1.
    pub batch_size: usize,
}

/// How the learning rate changes within each phase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decay {
    /// A tenth from this epoch of the phase on, as published; 0 keeps it.
    Step(u64),
    /// Linear rise over this share of the phase's steps, then half a cosine down to 0.
    Cosine {
        /// Share of the steps, 0 to 1.
        warmup: f64,
    },
}

/// The whole run.
///
/// Epochs are counted through both phases. Epoch `e` cuts `patches` patches from every tile, in an order drawn
/// from (seed, e).
#[derive(Debug, Clone)]
pub struct Phases {
    tiles: usize,
    patches: usize,
    plans: [PhasePlan; 2],
    learning_rate: f64,
    decay: Decay,
    seed: u64,
}

/// A patch to cut: the tile's position, and which of its patches in this epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchDraw {
    /// Position of the tile.
    pub tile: usize,
    /// Which of the tile's patches.
    pub patch: usize,
    /// The epoch.
    pub epoch: u64,
}

impl Phases {
    /// A run over `tiles` tiles, whose learning rate begins each phase anew.
    ///
    /// # Panics
    /// Without tiles, patches or batch sizes: callers refuse these first.
    pub fn new(
        tiles: usize,
        patches: usize,
        plans: [PhasePlan; 2],
        learning_rate: f64,
        decay: Decay,
        seed: u64,
    ) -> Self {
        assert!(tiles > 0 && patches > 0, "a run needs tiles and patches");
        assert!(plans.iter().all(|plan| plan.batch_size > 0), "a step needs a batch size");
        Self { tiles, patches, plans, learning_rate, decay, seed }
    }

    /// Patches of one epoch.
    pub fn patches_per_epoch(&self) -> usize {
        self.tiles * self.patches
    }

    fn steps_per_epoch(&self, phase: usize) -> u64 {
        self.patches_per_epoch().div_ceil(self.plans[phase].batch_size) as u64
    }

    /// Steps of the first phase: the second begins with the step of this number.
    pub fn first_steps(&self) -> u64 {
        self.plans[0].epochs * self.steps_per_epoch(0)
    }

    /// Steps of the run.
    pub fn total_steps(&self) -> u64 {
        self.first_steps() + self.plans[1].epochs * self.steps_per_epoch(1)
    }

    /// The phase of a step (from 0).
    pub fn phase(&self, step: u64) -> Phase {
        if step < self.first_steps() { Phase::Decoders } else { Phase::All }
    }

    /// The epoch of a step, through both phases.
    pub fn epoch(&self, step: u64) -> u64 {
        match self.phase(step) {
            Phase::Decoders => step / self.steps_per_epoch(0),
            Phase::All => self.plans[0].epochs + (step - self.first_steps()) / self.steps_per_epoch(1),
        }
    }

    /// The learning rate of a step.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let (first_step, first_epoch, steps) = match self.phase(step) {
            Phase::Decoders => (0, 0, self.first_steps()),
            Phase::All => (self.first_steps(), self.plans[0].epochs, self.total_steps() - self.first_steps()),
        };
        match self.decay {
            Decay::Step(after) if after > 0 && self.epoch(step) - first_epoch >= after => {
                self.learning_rate * 0.1
            }
            Decay::Step(_) => self.learning_rate,
            Decay::Cosine { warmup } => {
                let warmup = (steps as f64 * warmup) as u64;
                warmup_cosine(step - first_step, steps, warmup, self.learning_rate)
            }
        }
    }

    /// The order of an epoch's patches.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        Stream::new(self.seed, "patch order", &[epoch]).permutation(self.patches_per_epoch())
    }

    /// The patches of a step. `order` is that of its epoch, which callers keep.
    pub fn batch(&self, step: u64, order: &[usize]) -> Vec<PatchDraw> {
        let (phase, first_step) = match self.phase(step) {
            Phase::Decoders => (0, 0),
            Phase::All => (1, self.first_steps()),
        };
        let batch_size = self.plans[phase].batch_size;
        let first = ((step - first_step) % self.steps_per_epoch(phase)) as usize * batch_size;
        let end = (first + batch_size).min(order.len());
        let epoch = self.epoch(step);
        let draw = |&place: &usize| PatchDraw { tile: place % self.tiles, patch: place / self.tiles, epoch };
        order[first..end].iter().map(draw).collect()
    }

    /// The random draws of a patch.
    pub fn stream(&self, draw: &PatchDraw) -> Stream {
        Stream::new(self.seed, "patch", &[draw.epoch, draw.tile as u64, draw.patch as u64])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(first: u64, second: u64) -> Phases {
        with_decay(first, second, Decay::Step(2))
    }

    fn with_decay(first: u64, second: u64, decay: Decay) -> Phases {
        let plan = |epochs, batch_size| PhasePlan { epochs, batch_size };
        Phases::new(5, 2, [plan(first, 4), plan(second, 3)], 1.0, decay, 9)
    }

    #[test]
    fn every_epoch_cuts_every_patch_once_in_both_phases() {
        let run = phases(2, 3);
        assert_eq!((run.first_steps(), run.total_steps()), (6, 18));
        for (epoch, steps) in [(0, 0..3), (1, 3..6), (2, 6..10), (4, 14..18)] {
            let order = run.order(epoch);
            let draws: Vec<_> = steps.clone().flat_map(|step| run.batch(step, &order)).collect();
            assert!(steps.into_iter().all(|step| run.epoch(step) == epoch));
            let mut seen: Vec<_> = draws.iter().map(|draw| (draw.tile, draw.patch)).collect();
            seen.sort_unstable();
            let all = (0..5).flat_map(|tile| (0..2).map(move |patch| (tile, patch)));
            assert_eq!(seen, all.collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_rate_falls_to_a_tenth_in_each_phase() {
        let run = phases(3, 3);
        let rates: Vec<f64> = [0, 5, 6, 9, 16, 17].map(|step| run.learning_rate(step)).to_vec();
        assert_eq!(rates, [1.0, 1.0, 0.1, 1.0, 1.0, 0.1]);
        assert_eq!((run.phase(8), run.phase(9)), (Phase::Decoders, Phase::All));
    }

    #[test]
    fn a_cosine_rises_and_falls_in_each_phase() {
        // 12 steps of the first phase, 20 of the second.
        let run = with_decay(4, 5, Decay::Cosine { warmup: 0.25 });
        assert_eq!((run.first_steps(), run.total_steps()), (12, 32));
        let rates =
            |steps: std::ops::Range<u64>| -> Vec<f64> { steps.map(|step| run.learning_rate(step)).collect() };
        for (rates, peak) in [(rates(0..12), 3), (rates(12..32), 5)] {
            assert_eq!((rates[0], rates[peak]), (0.0, 1.0));
            assert!(rates[..=peak].is_sorted() && rates[peak..].is_sorted_by(|a, b| a > b));
            assert!(*rates.last().unwrap() > 0.0 && *rates.last().unwrap() < 0.05);
        }
    }

    #[test]
    fn a_phase_may_be_left_out() {
        assert_eq!(phases(0, 1).phase(0), Phase::All);
        assert_eq!(phases(1, 0).total_steps(), 3);
    }
}
