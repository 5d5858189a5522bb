//! Percentile bootstrap intervals (Efron 1979), resampled by group where groups are
//! known.
//!
//! Tiles of one patient resemble each other: drawing tiles alone would make intervals
//! too narrow, so whole groups are drawn. A resample is a count for each sample, not a
//! list of indices; draw *r* depends only on (seed, *r*), never on the figure.

use counterstain_tile::random::Stream;

use super::error::{Result, invalid, same_length, undefined};

/// What is drawn.
#[derive(Debug, Clone)]
pub struct Resampler {
    samples: usize,
    /// Samples of each group; `None` draws samples one by one.
    groups: Option<Vec<Vec<usize>>>,
    seed: u64,
}

/// A percentile interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Resampler {
    /// Draws samples, or whole groups when `groups` gives a group id for each sample.
    ///
    /// # Errors
    /// When there is no sample or the groups have another length.
    pub fn new(samples: usize, groups: Option<&[usize]>, seed: u64) -> Result<Self> {
        if samples == 0 {
            return Err(undefined("a bootstrap interval", "there is no sample"));
        }
        let groups = match groups {
            None => None,
            Some(groups) => {
                same_length("the groups", samples, groups.len())?;
                let count = groups.iter().max().map_or(0, |&group| group + 1);
                let mut members = vec![Vec::new(); count];
                groups.iter().enumerate().for_each(|(sample, &group)| members[group].push(sample));
                members.retain(|group| !group.is_empty());
                Some(members)
            }
        };
        Ok(Self { samples, groups, seed })
    }

    /// The number of units drawn: groups where known, samples otherwise. With fewer
    /// than about ten units an interval says little.
    #[must_use]
    pub fn units(&self) -> usize {
        self.groups.as_ref().map_or(self.samples, Vec::len)
    }

    /// How often each sample occurs in resample `round`.
    #[must_use]
    pub fn counts(&self, round: u64) -> Vec<u32> {
        let mut stream = Stream::new(self.seed, "bootstrap", &[round]);
        let units = self.units();
        let mut counts = vec![0; self.samples];
        for _ in 0..units {
            let drawn = stream.below(units as u64) as usize;
            match &self.groups {
                None => counts[drawn] += 1,
                Some(groups) => groups[drawn].iter().for_each(|&sample| counts[sample] += 1),
            }
        }
        counts
    }

    /// The central `level` (such as 0.95) of the figure over `rounds` resamples.
    /// Resamples on which the figure is undefined (an AUC without positives) are left
    /// out.
    ///
    /// # Errors
    /// When there is one unit only, so that every resample is the same, the figure is undefined on half of the
    /// resamples or more, `rounds` is 0 or `level` is outside 0..1.
    pub fn interval(
        &self,
        rounds: u32,
        level: f64,
        mut figure: impl FnMut(&[u32]) -> Option<f64>,
    ) -> Result<Interval> {
        if self.units() < 2 {
            return Err(undefined("a bootstrap interval", "all samples are of one group"));
        }
        let figures: Vec<f64> = (0..u64::from(rounds))
            .filter_map(|round| figure(&self.counts(round)))
            .filter(|v| !v.is_nan())
            .collect();
        if figures.is_empty() || figures.len() * 2 <= rounds as usize {
            return Err(undefined(
                "a bootstrap interval",
                format!("the figure has a value on only {} of {rounds} resamples", figures.len()),
            ));
        }
        interval_of(&figures, level)
    }
}

/// How often each of `samples` samples occurs in a list of drawn indices.
///
/// # Errors
/// When an index is not below `samples`.
pub fn counts_of_indices(indices: &[usize], samples: usize) -> Result<Vec<u32>> {
    let mut counts = vec![0; samples];
    for &index in indices {
        *counts.get_mut(index).ok_or_else(|| {
            invalid("a resample", format!("index {index} is outside the {samples} samples"))
        })? += 1;
    }
    Ok(counts)
}

/// The central `level` of the figures of all resamples.
///
/// # Errors
/// When there is no figure or `level` is outside 0..1.
pub fn interval_of(figures: &[f64], level: f64) -> Result<Interval> {
    if !(0.0..=1.0).contains(&level) {
        return Err(invalid("level", format!("{level} is outside 0..1")));
    }
    let tail = (1.0 - level) / 2.0 * 100.0;
    Ok(Interval { low: percentile(figures, tail)?, high: percentile(figures, 100.0 - tail)? })
}

/// The `percent`-th percentile with linear interpolation, as numpy's default.
///
/// # Errors
/// When there is no value or `percent` is outside 0..100.
pub fn percentile(values: &[f64], percent: f64) -> Result<f64> {
    if values.is_empty() {
        return Err(undefined("a percentile", "there is no value"));
    }
    if !(0.0..=100.0).contains(&percent) {
        return Err(invalid("percent", format!("{percent} is outside 0..100")));
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = percent / 100.0 * (sorted.len() - 1) as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    Ok(sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64))
}

/// Standard deviation of the figures with `ddof` degrees of freedom taken off.
///
/// # Errors
/// When there are not more than `ddof` values.
pub fn standard_error(values: &[f64], ddof: usize) -> Result<f64> {
    if values.len() <= ddof {
        return Err(undefined("a standard error", format!("it needs more than {ddof} values")));
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    Ok((squares / (values.len() - ddof) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_group_has_no_interval() {
        let resampler = Resampler::new(4, Some(&[0, 0, 0, 0]), 1).unwrap();
        let error = resampler.interval(100, 0.95, |_| Some(1.0)).unwrap_err().to_string();
        assert!(error.contains("one group"), "{error}");
    }

    #[test]
    fn whole_groups_are_drawn() {
        let groups = [0, 0, 1, 1, 1, 4];
        let resampler = Resampler::new(6, Some(&groups), 7).unwrap();
        assert_eq!(resampler.units(), 3);
        for round in 0..50 {
            let counts = resampler.counts(round);
            assert_eq!(counts[0], counts[1]);
            assert!(counts[2] == counts[3] && counts[3] == counts[4]);
            assert_eq!(counts[0] + counts[2] + counts[5], 3);
        }
    }

    #[test]
    fn a_resample_depends_on_seed_and_round_alone() {
        let resampler = Resampler::new(50, None, 1).unwrap();
        assert_eq!(resampler.counts(3), Resampler::new(50, None, 1).unwrap().counts(3));
        assert_ne!(resampler.counts(3), resampler.counts(4));
        assert_ne!(resampler.counts(3), Resampler::new(50, None, 2).unwrap().counts(3));
        assert_eq!(resampler.counts(9).iter().sum::<u32>(), 50);
    }

    #[test]
    fn the_interval_of_a_mean_has_the_width_theory_gives() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let resampler = Resampler::new(400, None, 3).unwrap();
        let interval = resampler
            .interval(2000, 0.95, |counts| {
                Some(counts.iter().zip(&values).map(|(&n, v)| f64::from(n) * v).sum::<f64>() / 400.0)
            })
            .unwrap();
        let width = interval.high - interval.low;
        assert!((width - 2.0 * 1.96 * 0.025).abs() < 0.012, "{width}");
        assert!(interval.low < 0.5 && interval.high > 0.5);
    }

    #[test]
    fn a_figure_without_a_value_is_an_error() {
        let resampler = Resampler::new(3, None, 0).unwrap();
        assert!(resampler.interval(20, 0.95, |_| None).is_err());
        assert!(Resampler::new(0, None, 0).is_err());
        assert!(percentile(&[], 50.0).is_err());
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 50.0).unwrap(), 2.0);
        assert_eq!(percentile(&[0.0, 10.0], 2.5).unwrap(), 0.25);
    }
}
