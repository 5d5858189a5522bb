//! Learning rates as functions of the step: nothing to save, the same on any
//! number of workers.

use std::f64::consts::PI;

/// Linear warm-up, then half a cosine down to zero (the paper's; the authors'
/// `WarmUpCosine`).
///
/// `step` counts from 0, so that with `start` 0 the first update changes nothing.
/// After `warmup` steps the rate is `peak`; at `total` and beyond it is 0.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct WarmupCosine {
    /// Steps of the run.
    pub total: u64,
    /// Steps until the peak, at most `total`.
    pub warmup: u64,
    /// The highest rate.
    pub peak: f64,
    /// The rate at step 0.
    #[serde(default)]
    pub start: f64,
}

impl WarmupCosine {
    /// The rate of step `step`.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        let Self { total, warmup, peak, start } = *self;
        if step > total {
            0.0
        } else if step < warmup {
            start + (peak - start) / warmup as f64 * step as f64
        } else if total <= warmup {
            // No steps are left for the cosine.
            peak
        } else {
            peak * half_cosine((step - warmup) as f64 / (total - warmup) as f64)
        }
    }
}

/// [`WarmupCosine`] from 0, as a function.
#[must_use]
pub fn warmup_cosine(step: u64, total: u64, warmup: u64, peak: f64) -> f64 {
    WarmupCosine { total, warmup, peak, start: 0.0 }.at(step)
}

/// facebookresearch/vicreg's `adjust_learning_rate`, which goes with LARS: the
/// peak is `base` · batch size / 256, and the cosine ends at a thousandth of it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ScaledWarmupCosine {
    /// Steps of the run.
    pub total: u64,
    /// Steps until the peak, less than `total`.
    pub warmup: u64,
    /// The rate for a batch of 256.
    pub base: f64,
    /// Samples of one step.
    pub batch_size: u64,
}

impl ScaledWarmupCosine {
    /// The rate of step `step`; beyond `total` it stays at the end's.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        let peak = self.base * self.batch_size as f64 / 256.0;
        if step < self.warmup {
            return peak * step as f64 / self.warmup as f64;
        }
        let length = self.total.saturating_sub(self.warmup).max(1);
        let share = half_cosine((step - self.warmup).min(length) as f64 / length as f64);
        peak * share + peak * 0.001 * (1.0 - share)
    }
}

/// 1 at 0, 0 at 1.
fn half_cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rate_rises_from_zero_to_the_peak_and_falls_to_zero() {
        let schedule = WarmupCosine { total: 100, warmup: 10, peak: 1e-4, start: 0.0 };
        assert_eq!(schedule.at(0), 0.0);
        assert!((schedule.at(5) - 5e-5).abs() < 1e-18);
        assert_eq!(schedule.at(10), 1e-4);
        assert!(schedule.at(100).abs() < 1e-19);
        assert_eq!(schedule.at(101), 0.0);
    }

    #[test]
    fn a_run_without_warmup_or_without_decay_is_defined() {
        assert_eq!(warmup_cosine(0, 10, 0, 0.5), 0.5);
        assert_eq!(warmup_cosine(10, 10, 10, 0.5), 0.5);
        assert_eq!(warmup_cosine(0, 0, 0, 0.5), 0.5);
        let scaled = ScaledWarmupCosine { total: 0, warmup: 0, base: 0.2, batch_size: 256 };
        assert!(scaled.at(0).is_finite() && scaled.at(7).is_finite());
    }

    proptest! {
        #[test]
        fn rates_stay_between_zero_and_the_peak(step in 0u64..2000, total in 1u64..1000, share in 0.0f64..1.0) {
            let warmup = (total as f64 * share) as u64;
            let rate = warmup_cosine(step, total, warmup, 0.3);
            prop_assert!((0.0..=0.3).contains(&rate));
            let scaled = ScaledWarmupCosine { total, warmup, base: 0.3, batch_size: 256 }.at(step);
            prop_assert!((0.0..=0.3 + 1e-12).contains(&scaled));
        }
    }
}
