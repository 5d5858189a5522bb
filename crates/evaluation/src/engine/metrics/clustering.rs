//! Agreement of a clustering with the truth: contingency, Rand, mutual information,
//! homogeneity, accuracy under the best one-to-one naming.
//!
//! Labels are arbitrary integers; definitions and edge cases are scikit-learn's.

use crate::engine::assignment;
use crate::engine::error::{Result, same_length, undefined};

/// How often a class and a cluster coincide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contingency {
    /// The distinct classes, rising: the rows.
    pub classes: Vec<i64>,
    /// The distinct clusters, rising: the columns.
    pub clusters: Vec<i64>,
    /// Row-major `[classes, clusters]`.
    pub counts: Vec<u64>,
}

fn distinct(labels: &[i64]) -> Vec<i64> {
    let mut values = labels.to_vec();
    values.sort_unstable();
    values.dedup();
    values
}

impl Contingency {
    /// Counts the pairs (class, cluster).
    ///
    /// # Errors
    /// When lengths differ or there is no sample.
    pub fn new(truth: &[i64], clusters: &[i64]) -> Result<Self> {
        same_length("the clusters", truth.len(), clusters.len())?;
        if truth.is_empty() {
            return Err(undefined("the contingency table", "there is no sample"));
        }
        let (rows, columns) = (distinct(truth), distinct(clusters));
        let mut counts = vec![0; rows.len() * columns.len()];
        for (class, cluster) in truth.iter().zip(clusters) {
            // Both searches succeed: the values were collected from the same slices.
            if let (Ok(row), Ok(column)) = (rows.binary_search(class), columns.binary_search(cluster)) {
                counts[row * columns.len() + column] += 1;
            }
        }
        Ok(Self { classes: rows, clusters: columns, counts })
    }

    /// The number of samples.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Samples of each class.
    #[must_use]
    pub fn class_sizes(&self) -> Vec<u64> {
        self.counts.chunks(self.clusters.len()).map(|row| row.iter().sum()).collect()
    }

    /// Samples of each cluster.
    #[must_use]
    pub fn cluster_sizes(&self) -> Vec<u64> {
        let columns = self.clusters.len();
        (0..columns).map(|column| self.counts.iter().skip(column).step_by(columns).sum()).collect()
    }

    /// Adjusted Rand index: 0 expected by chance, 1 for the same partition.
    #[must_use]
    pub fn adjusted_rand(&self) -> f64 {
        let squares = |values: &[u64]| values.iter().map(|&value| value as f64 * value as f64).sum::<f64>();
        let n = self.total() as f64;
        let (joint, classes, clusters) =
            (squares(&self.counts), squares(&self.class_sizes()), squares(&self.cluster_sizes()));
        let together = joint - n;
        let only_cluster = clusters - joint;
        let only_class = classes - joint;
        let apart = n * n - only_cluster - only_class - joint;
        if only_cluster == 0.0 && only_class == 0.0 {
            return 1.0;
        }
        2.0 * (together * apart - only_class * only_cluster)
            / ((together + only_class) * (only_class + apart)
                + (together + only_cluster) * (only_cluster + apart))
    }

    /// Mutual information in nats.
    #[must_use]
    pub fn mutual_information(&self) -> f64 {
        let (rows, columns, n) = (self.class_sizes(), self.cluster_sizes(), self.total() as f64);
        let mut sum = 0.0;
        for (row, &class) in rows.iter().enumerate() {
            for (column, &cluster) in columns.iter().enumerate() {
                let joint = self.counts[row * columns.len() + column] as f64;
                if joint > 0.0 {
                    sum += joint / n * (joint.ln() + n.ln() - (class as f64).ln() - (cluster as f64).ln());
                }
            }
        }
        sum.max(0.0)
    }

    fn entropies(&self) -> (f64, f64) {
        let entropy = |sizes: &[u64]| {
            let n = self.total() as f64;
            -sizes
                .iter()
                .filter(|&&size| size > 0)
                .map(|&size| size as f64 / n * (size as f64 / n).ln())
                .sum::<f64>()
        };
        (entropy(&self.class_sizes()), entropy(&self.cluster_sizes()))
    }

    fn trivial(&self) -> bool {
        let (rows, columns) = (self.classes.len(), self.clusters.len());
        rows == columns && (rows == 1 || rows as u64 == self.total())
    }

    /// Mutual information over the mean of the two entropies, 0..1.
    #[must_use]
    pub fn normalised_mutual_information(&self) -> f64 {
        let (classes, clusters) = self.entropies();
        if self.trivial() {
            return 1.0;
        }
        let mean = (classes + clusters) / 2.0;
        if mean == 0.0 { 0.0 } else { self.mutual_information() / mean }
    }

    /// Mutual information beyond what chance gives (Vinh et al. 2010), at most 1.
    #[must_use]
    pub fn adjusted_mutual_information(&self) -> f64 {
        if self.trivial() {
            return 1.0;
        }
        let (classes, clusters) = self.entropies();
        let expected = self.expected_mutual_information();
        let denominator = (classes + clusters) / 2.0 - expected;
        let denominator =
            if denominator.abs() < f64::EPSILON { f64::EPSILON.copysign(denominator) } else { denominator };
        (self.mutual_information() - expected) / denominator
    }

    /// Mean mutual information of all tables with the same margins.
    fn expected_mutual_information(&self) -> f64 {
        let (rows, columns, n) = (self.class_sizes(), self.cluster_sizes(), self.total());
        if rows.len() == 1 || columns.len() == 1 {
            return 0.0;
        }
        let mut log_factorial = vec![0.0_f64; n as usize + 1];
        for k in 2..=n as usize {
            log_factorial[k] = log_factorial[k - 1] + (k as f64).ln();
        }
        let log_factorial = |k: u64| log_factorial[k as usize];
        let total = n as f64;
        let mut sum = 0.0;
        for &a in &rows {
            for &b in &columns {
                let first = (a + b).saturating_sub(n).max(1);
                for joint in first..=a.min(b) {
                    let information =
                        joint as f64 / total * ((total * joint as f64).ln() - (a as f64 * b as f64).ln());
                    let log_probability =
                        log_factorial(a) + log_factorial(b) + log_factorial(n - a) + log_factorial(n - b)
                            - log_factorial(n)
                            - log_factorial(joint)
                            - log_factorial(a - joint)
                            - log_factorial(b - joint)
                            - log_factorial(n + joint - a - b);
                    sum += information * log_probability.exp();
                }
            }
        }
        sum
    }

    /// Share of the classes' entropy that the clusters explain: 1 when each cluster
    /// holds one class.
    #[must_use]
    pub fn homogeneity(&self) -> f64 {
        let (classes, _) = self.entropies();
        if classes == 0.0 { 1.0 } else { self.mutual_information() / classes }
    }

    /// Share of the clusters' entropy that the classes explain: 1 when each class lies
    /// in one cluster.
    #[must_use]
    pub fn completeness(&self) -> f64 {
        let (_, clusters) = self.entropies();
        if clusters == 0.0 { 1.0 } else { self.mutual_information() / clusters }
    }

    /// Accuracy under the one-to-one naming of clusters that maximises it.
    #[must_use]
    pub fn best_assignment_accuracy(&self) -> f64 {
        let columns = self.clusters.len();
        let cost: Vec<f64> = self.counts.iter().map(|&count| -(count as f64)).collect();
        let hits: u64 = assignment::minimise(&cost, self.classes.len(), columns)
            .into_iter()
            .enumerate()
            .filter_map(|(row, column)| column.map(|column| self.counts[row * columns + column]))
            .sum();
        hits as f64 / self.total() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn renamed_clusters_agree_completely() {
        let table = Contingency::new(&[0, 0, 1, 1, 2], &[7, 7, -1, -1, 3]).unwrap();
        assert_eq!(table.adjusted_rand(), 1.0);
        assert_eq!(table.best_assignment_accuracy(), 1.0);
        for value in [
            table.normalised_mutual_information(),
            table.adjusted_mutual_information(),
            table.homogeneity(),
            table.completeness(),
        ] {
            assert!((value - 1.0).abs() < 1e-12, "{value}");
        }
    }

    #[test]
    fn one_cluster_says_nothing() {
        let table = Contingency::new(&[0, 0, 1, 1], &[0, 0, 0, 0]).unwrap();
        assert_eq!(table.adjusted_rand(), 0.0);
        assert_eq!(table.normalised_mutual_information(), 0.0);
        assert_eq!(table.homogeneity(), 0.0);
        assert_eq!(table.completeness(), 1.0);
        assert!(Contingency::new(&[], &[]).is_err());
    }

    proptest! {
        #[test]
        fn agreement_is_symmetric_and_bounded(pairs in prop::collection::vec((0_i64..4, 0_i64..5), 1..80)) {
            let (a, b): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
            let (ab, ba) = (Contingency::new(&a, &b).unwrap(), Contingency::new(&b, &a).unwrap());
            prop_assert!((ab.adjusted_rand() - ba.adjusted_rand()).abs() < 1e-12);
            prop_assert!((ab.homogeneity() - ba.completeness()).abs() < 1e-12);
            prop_assert!((ab.adjusted_mutual_information() - ba.adjusted_mutual_information()).abs() < 1e-9);
            prop_assert!(ab.adjusted_rand() <= 1.0 + 1e-12);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&ab.normalised_mutual_information()));
        }
    }
}
