//! When a run reports, and how fast it went since it last did.

use std::time::Instant;

/// Spreads the reports of a run evenly over its steps, and measures samples per second between them.
#[derive(Debug)]
pub struct Pace {
    stride: u64,
    total: u64,
    samples: usize,
    since: Instant,
}

impl Pace {
    /// A run of `total` steps that reports at most about `reports` times.
    pub fn new(total: u64, reports: u64) -> Self {
        let stride = total.div_ceil(reports.max(1)).max(1);
        Self { stride, total, samples: 0, since: Instant::now() }
    }

    /// Counts the samples of a step.
    pub fn add(&mut self, samples: usize) {
        self.samples += samples;
    }

    /// Whether the run reports after `done` steps. The same steps report in every attempt.
    pub fn reports(&self, done: u64) -> bool {
        done.is_multiple_of(self.stride) || done == self.total
    }

    /// Samples per second since the last call.
    pub fn samples_per_second(&mut self) -> f64 {
        let rate = self.samples as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        self.samples = 0;
        self.since = Instant::now();
        rate
    }
}
