//! Detection and typing of nuclei, pooled over images (HoVer-Net's F_d and F_c; Graham et al. 2019,
//! `compute_stats.py` of vqdang/hover_net).

use super::nuclei::pair_centres;
use crate::engine::error::Result;

/// Largest distance of the centres of a pair, in pixels at 40×.
pub const RADIUS: f64 = 12.0;

/// A nucleus: its centre (x, y) in pixels, and its type.
pub type Centre = ([f64; 2], u32);

/// What was found of one image's nuclei, or of several images'.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detections {
    /// Nuclei that are in both, by (true type, predicted type).
    pub paired: Vec<(u32, u32)>,
    /// Types of true nuclei that were missed.
    pub missed: Vec<u32>,
    /// Types of predicted nuclei that do not exist.
    pub invented: Vec<u32>,
}

impl Detections {
    /// Pairs the nuclei of one image.
    ///
    /// # Errors
    /// When a coordinate is not finite.
    pub fn of(truth: &[Centre], predicted: &[Centre]) -> Result<Self> {
        let places = |nuclei: &[Centre]| nuclei.iter().map(|nucleus| nucleus.0).collect::<Vec<_>>();
        let pairing = pair_centres(&places(truth), &places(predicted), RADIUS)?;
        let kinds = |alone: &[usize], nuclei: &[Centre]| alone.iter().map(|&n| nuclei[n].1).collect();
        Ok(Self {
            paired: pairing.pairs.iter().map(|&(t, p)| (truth[t].1, predicted[p].1)).collect(),
            missed: kinds(&pairing.alone_first, truth),
            invented: kinds(&pairing.alone_second, predicted),
        })
    }

    /// The counts that the detection score needs.
    pub fn detection(&self) -> Counts {
        let of = |count: usize| count as f64;
        Counts { right: 2.0 * of(self.paired.len()), wrong: of(self.missed.len()) + of(self.invented.len()) }
    }

    /// The counts that the score of one type needs: among paired nuclei a wrong type counts twice.
    pub fn typing(&self, kind: u32) -> Counts {
        let mut counts = Counts::default();
        for &(truth, predicted) in &self.paired {
            match (truth == kind, predicted == kind) {
                (true, true) => counts.right += 2.0,
                (false, false) => {}
                _ => counts.wrong += 2.0,
            }
        }
        let alone = self.missed.iter().chain(&self.invented).filter(|other| **other == kind).count();
        counts.wrong += alone as f64;
        counts
    }
}

/// Weighted counts; those of several images add up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// Twice the nuclei that are right.
    pub right: f64,
    /// The faults.
    pub wrong: f64,
}

impl Counts {
    /// F1, `right / (right + wrong)`; none where there is nothing to find and nothing was found.
    pub fn f1(self) -> Option<f64> {
        let all = self.right + self.wrong;
        (all > 0.0).then(|| self.right / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detection_and_typing_are_those_of_the_publication() {
        let truth = [([0.0, 0.0], 1), ([50.0, 0.0], 1), ([0.0, 50.0], 2), ([50.0, 50.0], 2)];
        // Right, wrong type, too far away, missed; and one that does not exist.
        let predicted = [([3.0, 4.0], 1), ([50.0, 0.0], 2), ([0.0, 63.0], 2), ([90.0, 90.0], 1)];
        let found = Detections::of(&truth, &predicted).unwrap();
        assert_eq!((found.paired.len(), found.missed.len(), found.invented.len()), (2, 2, 2));
        assert_eq!(found.detection().f1(), Some(4.0 / 8.0));
        // Type 1: one pair right, one pair wrong (twice), one invented.
        assert_eq!(found.typing(1).f1(), Some(2.0 / (2.0 + 2.0 + 1.0)));
        // Type 2: none right, one pair wrong, two missed, one invented.
        assert_eq!(found.typing(2).f1(), Some(0.0));
        assert_eq!(found.typing(3).f1(), None);
    }

    #[test]
    fn an_image_without_nuclei_counts_nothing() {
        assert_eq!(Detections::of(&[], &[]).unwrap().detection().f1(), None);
        let invented = Detections::of(&[], &[([1.0, 1.0], 1)]).unwrap();
        assert_eq!(invented.detection().f1(), Some(0.0));
    }
}
