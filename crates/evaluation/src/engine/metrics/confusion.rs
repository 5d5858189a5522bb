//! The confusion matrix and all that follows from it alone.
//!
//! Counts are integers, so a figure depends on neither the order of the samples nor
//! the number of threads.

use crate::engine::error::{Result, labels_within, same_length, undefined};

/// How often class `t` was called `p`: rows are the truth, columns the prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Counts each sample once.
    ///
    /// # Errors
    /// When the inputs differ in length, a label is not below `classes`, or there is
    /// no sample.
    pub fn new(truth: &[usize], predicted: &[usize], classes: usize) -> Result<Self> {
        Self::count(truth, predicted, None, classes)
    }

    /// Counts sample `i` `times[i]` times: what a bootstrap resample needs.
    ///
    /// # Errors
    /// As [`ConfusionMatrix::new`].
    pub fn weighted(truth: &[usize], predicted: &[usize], times: &[u32], classes: usize) -> Result<Self> {
        same_length("the sample counts", truth.len(), times.len())?;
        Self::count(truth, predicted, Some(times), classes)
    }

    fn count(truth: &[usize], predicted: &[usize], times: Option<&[u32]>, classes: usize) -> Result<Self> {
        same_length("the predictions", truth.len(), predicted.len())?;
        labels_within(truth, classes)?;
        labels_within(predicted, classes)?;
        let mut counts = vec![0_u64; classes * classes];
        for (index, (&t, &p)) in truth.iter().zip(predicted).enumerate() {
            counts[t * classes + p] += times.map_or(1, |times| u64::from(times[index]));
        }
        let matrix = Self { classes, counts };
        if matrix.total() == 0 {
            return Err(undefined("the confusion matrix", "there is no sample to count"));
        }
        Ok(matrix)
    }

    /// The number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Samples of class `truth` that were called `predicted`.
    #[must_use]
    pub fn get(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// One row for each true class.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<u64>> {
        self.counts.chunks(self.classes).map(<[u64]>::to_vec).collect()
    }

    /// The number of samples.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many samples each class truly has.
    #[must_use]
    pub fn support(&self) -> Vec<u64> {
        (0..self.classes).map(|t| (0..self.classes).map(|p| self.get(t, p)).sum()).collect()
    }

    /// How many samples were called each class.
    #[must_use]
    pub fn predicted(&self) -> Vec<u64> {
        (0..self.classes).map(|p| (0..self.classes).map(|t| self.get(t, p)).sum()).collect()
    }

    fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.get(class, class)).sum()
    }

    /// Share of samples that are right, 0..1.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.correct() as f64 / self.total() as f64
    }

    /// Mean recall of the classes that occur in the truth, 0..1.
    #[must_use]
    pub fn balanced_accuracy(&self) -> f64 {
        let support = self.support();
        let present: Vec<f64> = (0..self.classes)
            .filter(|&class| support[class] > 0)
            .map(|class| self.get(class, class) as f64 / support[class] as f64)
            .collect();
        present.iter().sum::<f64>() / present.len() as f64
    }

    /// Precision of each class; 0 where nothing was called that class.
    #[must_use]
    pub fn precision(&self) -> Vec<f64> {
        let predicted = self.predicted();
        (0..self.classes).map(|class| ratio(self.get(class, class), predicted[class])).collect()
    }

    /// Recall of each class; 0 where the class does not occur.
    #[must_use]
    pub fn recall(&self) -> Vec<f64> {
        let support = self.support();
        (0..self.classes).map(|class| ratio(self.get(class, class), support[class])).collect()
    }

    /// F1 of each class, `2·tp / (2·tp + fp + fn)`; 0 where that is 0/0.
    #[must_use]
    pub fn f1(&self) -> Vec<f64> {
        let (support, predicted) = (self.support(), self.predicted());
        (0..self.classes)
            .map(|class| ratio(2 * self.get(class, class), support[class] + predicted[class]))
            .collect()
    }

    /// Mean F1 of the classes that occur in the truth or among the predictions.
    #[must_use]
    pub fn f1_macro(&self) -> f64 {
        let (support, predicted, f1) = (self.support(), self.predicted(), self.f1());
        let present: Vec<f64> =
            (0..self.classes).filter(|&c| support[c] + predicted[c] > 0).map(|c| f1[c]).collect();
        present.iter().sum::<f64>() / present.len() as f64
    }

    /// Mean F1 weighted by how often each class occurs in the truth.
    #[must_use]
    pub fn f1_weighted(&self) -> f64 {
        let sum: f64 = self.support().iter().zip(self.f1()).map(|(&support, f1)| support as f64 * f1).sum();
        sum / self.total() as f64
    }

    /// Cohen's kappa, -1..1.
    ///
    /// # Errors
    /// When truth and prediction are both one and the same class.
    pub fn kappa(&self) -> Result<f64> {
        self.kappa_with(|t, p| if t == p { 0.0 } else { 1.0 })
    }

    /// Cohen's kappa with quadratic weights `(t - p)²`, for ordered classes.
    ///
    /// # Errors
    /// As [`ConfusionMatrix::kappa`].
    pub fn kappa_quadratic(&self) -> Result<f64> {
        self.kappa_with(|t, p| {
            let distance = t as f64 - p as f64;
            distance * distance
        })
    }

    fn kappa_with(&self, weight: impl Fn(usize, usize) -> f64) -> Result<f64> {
        let (support, predicted, total) = (self.support(), self.predicted(), self.total() as f64);
        let (mut observed, mut expected) = (0.0, 0.0);
        for (t, &support) in support.iter().enumerate() {
            for (p, &predicted) in predicted.iter().enumerate() {
                observed += weight(t, p) * self.get(t, p) as f64;
                expected += weight(t, p) * (support as f64 * predicted as f64 / total);
            }
        }
        if expected == 0.0 {
            return Err(undefined(
                "kappa",
                "truth and prediction are a single class, so chance agreement is complete",
            ));
        }
        Ok(1.0 - observed / expected)
    }

    /// Matthews correlation for any number of classes (Gorodkin 2004), -1..1; 0 where
    /// truth or prediction is constant.
    #[must_use]
    pub fn matthews(&self) -> f64 {
        let (support, predicted, total) = (self.support(), self.predicted(), self.total() as f64);
        let dot = |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(&a, &b)| a as f64 * b as f64).sum::<f64>();
        let covariance = self.correct() as f64 * total - dot(&support, &predicted);
        let spread =
            (total * total - dot(&support, &support)) * (total * total - dot(&predicted, &predicted));
        if spread == 0.0 { 0.0 } else { covariance / spread.sqrt() }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_class_that_never_occurs_is_left_out_of_the_means() {
        let matrix = ConfusionMatrix::new(&[0, 0, 1, 1], &[0, 1, 1, 1], 3).unwrap();
        assert_eq!(matrix.accuracy(), 0.75);
        assert_eq!(matrix.balanced_accuracy(), 0.75);
        let expected = (2.0 / 3.0 + 4.0 / 5.0) / 2.0;
        assert!((matrix.f1_macro() - expected).abs() < 1e-15);
        assert_eq!(matrix.precision()[2], 0.0);
    }

    #[test]
    fn a_constant_truth_has_no_kappa_and_a_zero_correlation() {
        let matrix = ConfusionMatrix::new(&[1, 1], &[1, 1], 2).unwrap();
        assert!(matrix.kappa().is_err());
        assert_eq!(matrix.matthews(), 0.0);
    }

    #[test]
    fn bad_input_is_named() {
        let error = ConfusionMatrix::new(&[0, 3], &[0, 1], 3).unwrap_err();
        assert_eq!(error.to_string(), "label 3 of sample 1 is outside the 3 classes");
        assert!(ConfusionMatrix::new(&[0], &[0, 1], 3).is_err());
        assert!(ConfusionMatrix::new(&[], &[], 3).is_err());
    }

    proptest! {
        #[test]
        fn counting_a_sample_twice_equals_listing_it_twice(
            samples in prop::collection::vec((0_usize..4, 0_usize..4, 0_u32..3), 1..60)
        ) {
            prop_assume!(samples.iter().any(|sample| sample.2 > 0));
            let (mut truth, mut predicted, mut times) = (vec![], vec![], vec![]);
            let (mut long_truth, mut long_predicted) = (vec![], vec![]);
            for &(t, p, n) in &samples {
                truth.push(t);
                predicted.push(p);
                times.push(n);
                for _ in 0..n {
                    long_truth.push(t);
                    long_predicted.push(p);
                }
            }
            let weighted = ConfusionMatrix::weighted(&truth, &predicted, &times, 4).unwrap();
            prop_assert_eq!(&weighted, &ConfusionMatrix::new(&long_truth, &long_predicted, 4).unwrap());
            for value in [weighted.accuracy(), weighted.balanced_accuracy(), weighted.f1_macro(), weighted.f1_weighted()] {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&value));
            }
            prop_assert!((-1.0 - 1e-12..=1.0 + 1e-12).contains(&weighted.matthews()));
        }
    }
}
