//! Which samples an epoch visits: all of them, or all with signal and some of the background.
//!
//! Where a marker is rare most tiles show nothing, and a generator learns to paint
//! nothing. Burlingame et al. 2020 choose tiles so that signal is not drowned.

use counterstain_tile::random::Stream;
use std::borrow::Cow;

/// The samples that epochs are drawn from.
///
/// Invariant: every epoch has the same number of samples.
#[derive(Debug, Clone)]
pub struct Sampling {
    always: Vec<usize>,
    background: Vec<usize>,
    drawn: usize,
    seed: u64,
}

impl Sampling {
    /// All of `count` samples.
    pub fn all(count: usize) -> Self {
        Self { always: (0..count).collect(), background: Vec::new(), drawn: 0, seed: 0 }
    }

    /// All samples with signal, and as many of the background (`is_background`, by position) as make at most
    /// `share` of the epoch, drawn anew for each epoch. All samples, where none has signal.
    pub fn balanced(is_background: &[bool], share: f64, seed: u64) -> Self {
        let positions = |wanted: bool| -> Vec<usize> {
            (0..is_background.len()).filter(|&position| is_background[position] == wanted).collect()
        };
        let (always, background) = (positions(false), positions(true));
        if always.is_empty() {
            return Self::all(is_background.len());
        }
        // drawn / (drawn + always) <= share
        let most = always.len() as f64 * share / (1.0 - share);
        let drawn = background.len().min(most as usize);
        Self { always, background, drawn, seed }
    }

    /// Samples of each epoch.
    pub fn len(&self) -> usize {
        self.always.len() + self.drawn
    }

    /// Whether epochs have no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples of an epoch, before they are shuffled.
    pub fn epoch(&self, epoch: u64) -> Cow<'_, [usize]> {
        if self.drawn == 0 {
            return Cow::Borrowed(&self.always);
        }
        let order = Stream::new(self.seed, "background", &[epoch]).permutation(self.background.len());
        let drawn = order[..self.drawn].iter().map(|&position| self.background[position]);
        Cow::Owned(self.always.iter().copied().chain(drawn).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_is_limited_to_its_share_and_changes_from_epoch_to_epoch() {
        let is_background: Vec<bool> = (0..100).map(|position| position % 10 != 0).collect();
        let sampling = Sampling::balanced(&is_background, 0.5, 3);
        assert_eq!(sampling.len(), 20);
        let epochs = [sampling.epoch(0), sampling.epoch(1)];
        for epoch in &epochs {
            assert_eq!(epoch.iter().filter(|&&sample| !is_background[sample]).count(), 10);
            let mut distinct = epoch.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), 20);
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_eq!(sampling.epoch(1), epochs[1]);
    }

    #[test]
    fn without_signal_or_surplus_all_samples_are_visited() {
        assert_eq!(Sampling::balanced(&[true; 5], 0.5, 0).epoch(0), Sampling::all(5).epoch(0));
        assert_eq!(Sampling::balanced(&[true, false, false], 0.5, 0).len(), 3);
        assert_eq!(Sampling::balanced(&[true, false, false], 0.0, 0).len(), 2);
    }
}
