//! Figures that depend on the order of scores: ROC, AUC, average precision.
//!
//! Samples with equal scores form one step of every curve, so a tie counts half in
//! the AUC (Mann–Whitney). Scores are sorted once; bootstrap resamples reuse the order
//! with a count for each sample.

use crate::engine::error::{Result, finite, invalid, labels_within, same_length, undefined};

/// Scores of a two-class problem, sorted from the highest down.
#[derive(Debug, Clone)]
pub struct RankedScores {
    /// Sample indices by falling score.
    order: Vec<usize>,
    /// End (exclusive) of each run of equal scores in `order`.
    ends: Vec<usize>,
    positive: Vec<bool>,
}

/// Points of a ROC curve from (0, 0) to (1, 1).
#[derive(Debug, Clone, PartialEq)]
pub struct RocCurve {
    /// Share of negatives above the threshold, rising.
    pub false_positive_rate: Vec<f64>,
    /// Share of positives above the threshold, rising.
    pub true_positive_rate: Vec<f64>,
}

impl RankedScores {
    /// Sorts the scores; a higher score speaks for the positive class.
    ///
    /// # Errors
    /// When lengths differ or a score is not finite.
    pub fn new(scores: &[f64], positive: &[bool]) -> Result<Self> {
        same_length("the scores", positive.len(), scores.len())?;
        finite("a score", scores)?;
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let ends = (1..=order.len())
            .filter(|&end| end == order.len() || scores[order[end]] != scores[order[end - 1]])
            .collect();
        Ok(Self { order, ends, positive: positive.to_vec() })
    }

    /// (positives, negatives) of each run of equal scores, from the highest down.
    fn steps(&self, times: Option<&[u32]>) -> Result<Vec<(u64, u64)>> {
        if let Some(times) = times {
            same_length("the sample counts", self.positive.len(), times.len())?;
        }
        let mut start = 0;
        let mut steps = Vec::with_capacity(self.ends.len());
        for &end in &self.ends {
            let (mut positives, mut negatives) = (0, 0);
            for &index in &self.order[start..end] {
                let count = times.map_or(1, |times| u64::from(times[index]));
                if self.positive[index] { positives += count } else { negatives += count }
            }
            steps.push((positives, negatives));
            start = end;
        }
        Ok(steps)
    }

    /// Area under the ROC curve, 0..1, every sample counted once.
    ///
    /// # Errors
    /// When one of the two classes has no sample.
    pub fn auc(&self) -> Result<f64> {
        auc_of(&self.steps(None)?)
    }

    /// As [`RankedScores::auc`] with sample `i` counted `times[i]` times.
    ///
    /// # Errors
    /// As [`RankedScores::auc`].
    pub fn auc_weighted(&self, times: &[u32]) -> Result<f64> {
        auc_of(&self.steps(Some(times))?)
    }

    /// Average precision, `Σ (Rₙ - Rₙ₋₁)·Pₙ` over the distinct thresholds.
    ///
    /// # Errors
    /// When there is no positive sample.
    pub fn average_precision(&self) -> Result<f64> {
        let steps = self.steps(None)?;
        let all: u64 = steps.iter().map(|step| step.0).sum();
        if all == 0 {
            return Err(undefined("average precision", "no sample is positive"));
        }
        let (mut positives, mut negatives, mut area) = (0, 0, 0.0);
        for (p, n) in steps {
            positives += p;
            negatives += n;
            if p > 0 {
                area += p as f64 / all as f64 * (positives as f64 / (positives + negatives) as f64);
            }
        }
        Ok(area)
    }

    /// The ROC curve: one point for each distinct score, and (0, 0) before them.
    ///
    /// # Errors
    /// When one of the two classes has no sample.
    pub fn roc_curve(&self) -> Result<RocCurve> {
        let steps = self.steps(None)?;
        let (all_positives, all_negatives) = both_classes(&steps)?;
        let (mut positives, mut negatives) = (0_u64, 0_u64);
        let mut curve = RocCurve { false_positive_rate: vec![0.0], true_positive_rate: vec![0.0] };
        for (p, n) in steps {
            positives += p;
            negatives += n;
            curve.false_positive_rate.push(negatives as f64 / all_negatives as f64);
            curve.true_positive_rate.push(positives as f64 / all_positives as f64);
        }
        Ok(curve)
    }
}

fn both_classes(steps: &[(u64, u64)]) -> Result<(u64, u64)> {
    let positives: u64 = steps.iter().map(|step| step.0).sum();
    let negatives: u64 = steps.iter().map(|step| step.1).sum();
    if positives == 0 || negatives == 0 {
        return Err(undefined("AUC", "it needs samples of both classes"));
    }
    Ok((positives, negatives))
}

fn auc_of(steps: &[(u64, u64)]) -> Result<f64> {
    let (positives, negatives) = both_classes(steps)?;
    // Twice the area in units of one (positive, negative) pair: an exact integer.
    let mut doubled = 0_u128;
    let mut above = 0_u128;
    for &(p, n) in steps {
        doubled += u128::from(n) * (2 * above + u128::from(p));
        above += u128::from(p);
    }
    Ok(doubled as f64 / (2.0 * positives as f64 * negatives as f64))
}

/// Scores of every class against the rest, each sorted once.
///
/// For two classes this is the one AUC of class 1; for more, the mean over classes.
#[derive(Debug, Clone)]
pub struct OneVersusRest {
    ranked: Vec<RankedScores>,
    truth: Vec<usize>,
}

impl OneVersusRest {
    /// `scores` is row-major `[samples, classes]`.
    ///
    /// # Errors
    /// When shapes do not match, a label is not below `classes`, there are fewer than
    /// two classes, or a score is not finite.
    pub fn new(truth: &[usize], scores: &[f64], classes: usize) -> Result<Self> {
        if classes < 2 {
            return Err(invalid("classes", "AUC needs at least two classes"));
        }
        labels_within(truth, classes)?;
        same_length("the scores", truth.len() * classes, scores.len())?;
        let ranked = (0..classes)
            .map(|class| {
                let column: Vec<f64> = scores.iter().skip(class).step_by(classes).copied().collect();
                let positive: Vec<bool> = truth.iter().map(|&label| label == class).collect();
                RankedScores::new(&column, &positive)
            })
            .collect::<Result<_>>()?;
        Ok(Self { ranked, truth: truth.to_vec() })
    }

    /// Two classes: AUC of class 1. More: mean AUC of the classes that occur (and are
    /// not all there is).
    ///
    /// # Errors
    /// When the truth holds a single class.
    pub fn auc_macro(&self) -> Result<f64> {
        self.macro_of(None)
    }

    /// As [`OneVersusRest::auc_macro`] with sample `i` counted `times[i]` times.
    ///
    /// # Errors
    /// As [`OneVersusRest::auc_macro`].
    pub fn auc_macro_weighted_samples(&self, times: &[u32]) -> Result<f64> {
        self.macro_of(Some(times))
    }

    fn macro_of(&self, times: Option<&[u32]>) -> Result<f64> {
        let auc = |ranked: &RankedScores| auc_of(&ranked.steps(times)?);
        if self.ranked.len() == 2 {
            return auc(&self.ranked[1]);
        }
        let defined: Vec<f64> = self.ranked.iter().filter_map(|ranked| auc(ranked).ok()).collect();
        if defined.is_empty() {
            return Err(undefined("AUC", "the truth holds a single class"));
        }
        Ok(defined.iter().sum::<f64>() / defined.len() as f64)
    }

    /// Mean AUC of the classes, weighted by how often each occurs.
    ///
    /// # Errors
    /// When the truth holds a single class.
    pub fn auc_prevalence(&self) -> Result<f64> {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (class, ranked) in self.ranked.iter().enumerate() {
            let support = self.truth.iter().filter(|&&label| label == class).count() as f64;
            if let Ok(auc) = ranked.auc() {
                sum += support * auc;
                weights += support;
            }
        }
        if weights == 0.0 {
            return Err(undefined("AUC", "the truth holds a single class"));
        }
        Ok(sum / weights)
    }
}

/// Mean over pairs of classes of the two AUCs that tell them apart (Hand & Till 2001).
///
/// `scores` is row-major `[samples, classes]`.
///
/// # Errors
/// When shapes do not match, a score is not finite, or fewer than two classes occur.
pub fn auc_one_versus_one(truth: &[usize], scores: &[f64], classes: usize) -> Result<f64> {
    labels_within(truth, classes)?;
    same_length("the scores", truth.len() * classes, scores.len())?;
    let (mut sum, mut pairs) = (0.0, 0_u32);
    for a in 0..classes {
        for b in a + 1..classes {
            let members: Vec<usize> = (0..truth.len()).filter(|&i| truth[i] == a || truth[i] == b).collect();
            let one = |class: usize| {
                let column: Vec<f64> = members.iter().map(|&i| scores[i * classes + class]).collect();
                let positive: Vec<bool> = members.iter().map(|&i| truth[i] == class).collect();
                RankedScores::new(&column, &positive).map(|ranked| ranked.auc())
            };
            if let (Ok(first), Ok(second)) = (one(a)?, one(b)?) {
                sum += (first + second) / 2.0;
                pairs += 1;
            }
        }
    }
    if pairs == 0 {
        return Err(undefined("AUC", "fewer than two classes occur in the truth"));
    }
    Ok(sum / f64::from(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tie_counts_half() {
        let ranked = RankedScores::new(&[0.5, 0.5], &[true, false]).unwrap();
        assert_eq!(ranked.auc().unwrap(), 0.5);
        let perfect = RankedScores::new(&[0.9, 0.8, 0.1], &[true, true, false]).unwrap();
        assert_eq!(perfect.auc().unwrap(), 1.0);
        assert_eq!(perfect.average_precision().unwrap(), 1.0);
    }

    #[test]
    fn one_class_or_a_nan_is_an_error() {
        assert!(RankedScores::new(&[0.1, 0.2], &[true, true]).unwrap().auc().is_err());
        assert!(RankedScores::new(&[f64::NAN, 0.2], &[true, false]).is_err());
        assert!(OneVersusRest::new(&[0, 0], &[1.0, 0.0, 1.0, 0.0], 2).unwrap().auc_macro().is_err());
    }

    #[test]
    fn a_missing_class_is_left_out_of_the_macro_auc() {
        let scores = [0.8, 0.1, 0.1, 0.2, 0.7, 0.1];
        let all = OneVersusRest::new(&[0, 1], &scores, 3).unwrap();
        assert_eq!(all.auc_macro().unwrap(), 1.0);
        assert_eq!(all.auc_macro_weighted_samples(&[2, 1]).unwrap(), 1.0);
        assert!(all.auc_macro_weighted_samples(&[2, 0]).is_err());
    }

    proptest! {
        #[test]
        fn auc_equals_the_share_of_ordered_pairs(
            samples in prop::collection::vec((0_u8..6, any::<bool>()), 2..50)
        ) {
            let scores: Vec<f64> = samples.iter().map(|sample| f64::from(sample.0)).collect();
            let positive: Vec<bool> = samples.iter().map(|sample| sample.1).collect();
            let (mut wins, mut pairs) = (0.0, 0.0);
            for i in 0..scores.len() {
                for j in 0..scores.len() {
                    if positive[i] && !positive[j] {
                        pairs += 1.0;
                        wins += if scores[i] > scores[j] { 1.0 } else if scores[i] == scores[j] { 0.5 } else { 0.0 };
                    }
                }
            }
            let ranked = RankedScores::new(&scores, &positive).unwrap();
            if pairs == 0.0 {
                prop_assert!(ranked.auc().is_err());
            } else {
                let auc = ranked.auc().unwrap();
                prop_assert!((auc - wins / pairs).abs() < 1e-12);
                let curve = ranked.roc_curve().unwrap();
                let trapezoid: f64 = (1..curve.true_positive_rate.len()).map(|i| {
                    (curve.false_positive_rate[i] - curve.false_positive_rate[i - 1])
                        * (curve.true_positive_rate[i] + curve.true_positive_rate[i - 1]) / 2.0
                }).sum();
                prop_assert!((auc - trapezoid).abs() < 1e-12);
            }
        }
    }
}
