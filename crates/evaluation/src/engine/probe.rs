//! The linear probe and the k-means evaluation of frozen representations.
//!
//! Everything is learnt on the train split: the standardisation, the penalty (on a
//! validation part of that split), the coefficients, the clusters and their names. The
//! test split is scored once, at the end.

use tch::Tensor;

use super::error::{Result, invalid, same_length};
use super::kmeans::{KMeans, KMeansConfig, Naming};
use super::logistic::{LogisticConfig, LogisticRegression};
use super::metrics::probability::{argmax_rows, log_loss};
use super::points::select;
use super::split::{Parts, validation_parts};
use super::standardise::Standardiser;

/// One split: representations and what is known of each sample.
#[derive(Debug)]
pub struct Split<'a> {
    /// `[N, D]`.
    pub points: &'a Tensor,
    /// The class of each sample.
    pub labels: &'a [usize],
    /// The group id of each sample, where groups are known.
    pub groups: Option<&'a [usize]>,
}

impl Split<'_> {
    fn check(&self) -> Result<()> {
        let size = self.points.size();
        same_length("the labels", size.first().copied().unwrap_or(0) as usize, self.labels.len())?;
        match self.groups {
            Some(groups) => same_length("the groups", self.labels.len(), groups.len()),
            None => Ok(()),
        }
    }
}

/// Weaker penalties are not tried once this many in a row were worse than the best: on
/// wide representations they take the longest and only fit the train split closer.
const WORSE_IN_A_ROW: usize = 2;

/// How the penalty is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeConfig {
    /// Candidate values of C, each above 0.
    pub candidates: Vec<f64>,
    /// Share of the train split that compares them, inside 0..1.
    pub validation_fraction: f64,
    /// Tolerance and iterations of each fit (its `c` is not used).
    pub fit: LogisticConfig,
    /// Seed of the validation split.
    pub seed: u64,
}

impl Default for ProbeConfig {
    /// C from 1e-5 to 1,000 by powers of ten; a fifth of the train split validates.
    fn default() -> Self {
        Self {
            candidates: vec![1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0],
            validation_fraction: 0.2,
            fit: LogisticConfig::default(),
            seed: 0,
        }
    }
}

/// How a candidate did on the validation part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The value of C.
    pub c: f64,
    /// Mean log loss on the validation part, nats; the lowest wins.
    pub validation_loss: f64,
}

/// A classifier head that works on raw representations.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The standardisation of the train split.
    pub standardiser: Standardiser,
    /// The classifier on standardised representations.
    pub classifier: LogisticRegression,
    /// Number of classes.
    pub classes: usize,
    /// The chosen C.
    pub c: f64,
    /// The candidates that were compared, by rising C.
    pub candidates: Vec<Candidate>,
    /// The parts that compared them.
    pub parts: Parts,
}

impl Probe {
    /// Chooses the penalty on a validation part of `train`, then fits all of `train`.
    ///
    /// # Errors
    /// When shapes do not match, a value is not finite, fewer than two classes occur,
    /// or there is no candidate.
    pub fn train(train: &Split<'_>, classes: usize, config: &ProbeConfig) -> Result<Self> {
        train.check()?;
        let mut values = config.candidates.clone();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let parts = validation_parts(train.labels, train.groups, config.validation_fraction, config.seed)?;
        let candidates = compare(train, classes, &values, &parts, &config.fit)?;
        // Of equal losses the stronger penalty (the smaller C) wins.
        let best = candidates
            .iter()
            .copied()
            .reduce(|best, next| if next.validation_loss < best.validation_loss { next } else { best })
            .ok_or_else(|| invalid("candidates", "the probe needs at least one value of C"))?;
        let standardiser = Standardiser::fit(train.points)?;
        let points = standardiser.apply(train.points)?;
        let fit = LogisticConfig { c: best.c, ..config.fit };
        let classifier = LogisticRegression::fit(&points, train.labels, classes, &fit)?;
        Ok(Self { standardiser, classifier, classes, c: best.c, candidates, parts })
    }

    /// Class probabilities, row-major `[N, classes]`.
    ///
    /// # Errors
    /// When the width differs or a value is not finite.
    pub fn probabilities(&self, points: &Tensor) -> Result<Vec<f64>> {
        self.classifier.probabilities(&self.standardiser.apply(points)?, self.classes)
    }
}

fn compare(
    train: &Split<'_>,
    classes: usize,
    values: &[f64],
    parts: &Parts,
    fit: &LogisticConfig,
) -> Result<Vec<Candidate>> {
    let pick = |indices: &[usize]| indices.iter().map(|&index| train.labels[index]).collect::<Vec<_>>();
    let (fit_labels, validation_labels) = (pick(&parts.fit), pick(&parts.validation));
    let fit_points = select(train.points, &parts.fit)?;
    let standardiser = Standardiser::fit(&fit_points)?;
    let fit_points = standardiser.apply(&fit_points)?;
    let validation_points = standardiser.apply(&select(train.points, &parts.validation)?)?;
    let mut previous: Option<LogisticRegression> = None;
    let (mut best, mut worse) = (f64::INFINITY, 0);
    let mut candidates = Vec::with_capacity(values.len());
    for &c in values {
        let config = LogisticConfig { c, ..*fit };
        // Each solution starts the next: penalties only grow weaker.
        let fitted =
            LogisticRegression::fit_from(&fit_points, &fit_labels, classes, &config, previous.as_ref())?;
        let probabilities = fitted.probabilities(&validation_points, classes)?;
        let validation_loss = log_loss(&validation_labels, &probabilities, classes)?;
        if validation_loss < best {
            (best, worse) = (validation_loss, 0);
        } else {
            worse += 1;
        }
        candidates.push(Candidate { c, validation_loss });
        if worse == WORSE_IN_A_ROW {
            break;
        }
        previous = Some(fitted);
    }
    Ok(candidates)
}

/// Predictions on the test split.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The called class of each sample.
    pub classes: Vec<usize>,
    /// Row-major `[N, classes]`, where the method gives probabilities.
    pub probabilities: Option<Vec<f64>>,
}

/// Trains the probe on `train` and predicts `test`.
///
/// # Errors
/// As [`Probe::train`].
pub fn linear_probe(
    train: &Split<'_>,
    test: &Tensor,
    classes: usize,
    config: &ProbeConfig,
) -> Result<(Probe, Predictions)> {
    let probe = Probe::train(train, classes, config)?;
    let probabilities = probe.probabilities(test)?;
    let called = argmax_rows(&probabilities, classes);
    Ok((probe, Predictions { classes: called, probabilities: Some(probabilities) }))
}

/// Clusters `train` without labels, names the clusters after classes with its labels,
/// and predicts `test` by the nearest centre. Representations are standardised first,
/// so that no column dominates by its scale alone.
///
/// # Errors
/// When shapes do not match, a value is not finite, or there are fewer samples than
/// clusters.
pub fn k_means_probe(
    train: &Split<'_>,
    test: &Tensor,
    classes: usize,
    config: &KMeansConfig,
    naming: Naming,
) -> Result<(KMeans, Predictions)> {
    train.check()?;
    let standardiser = Standardiser::fit(train.points)?;
    let clustering = KMeans::fit(&standardiser.apply(train.points)?, config)?;
    let names = clustering.name_clusters(train.labels, classes, naming)?;
    let clusters = clustering.assign(&standardiser.apply(test)?)?;
    let called = clusters.into_iter().map(|cluster| names[cluster]).collect();
    Ok((clustering, Predictions { classes: called, probabilities: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::points::from_rows;
    use counterstain_tile::random::Stream;

    /// One informative column among noise; each group adds its own offset to another.
    fn data(count: usize, purpose: &str) -> (Tensor, Vec<usize>, Vec<usize>) {
        let mut stream = Stream::new(3, purpose, &[]);
        let labels: Vec<usize> = (0..count).map(|index| index % 2).collect();
        let groups: Vec<usize> = (0..count).map(|index| index / 2 % 10).collect();
        let mut values = Vec::new();
        for (label, group) in labels.iter().zip(&groups) {
            values.push(*label as f64 * 3.0 + stream.normal_f64());
            values.push(*group as f64);
            values.extend((0..20).map(|_| stream.normal_f64()));
        }
        (from_rows(&values, count, 22).unwrap(), labels, groups)
    }

    #[test]
    fn the_probe_finds_the_informative_column_and_repeats_itself() {
        let (points, labels, groups) = data(200, "train");
        let (test, truth, _) = data(100, "test");
        let train = Split { points: &points, labels: &labels, groups: Some(&groups) };
        let (probe, predictions) = linear_probe(&train, &test, 2, &ProbeConfig::default()).unwrap();
        let right = predictions.classes.iter().zip(&truth).filter(|(a, b)| a == b).count();
        assert!(right > 85, "{right} of 100");
        assert!(probe.parts.by_group);
        let losses = probe.candidates.iter().map(|candidate| candidate.validation_loss);
        let best = losses.clone().fold(f64::INFINITY, f64::min);
        assert!(
            probe
                .candidates
                .iter()
                .any(|candidate| candidate.c == probe.c && candidate.validation_loss == best)
        );
        let again = linear_probe(&train, &test, 2, &ProbeConfig::default()).unwrap();
        assert_eq!(again.0, probe);
        assert_eq!(again.1, predictions);
    }

    #[test]
    fn the_test_split_has_no_influence_on_the_probe() {
        let (points, labels, _) = data(120, "train");
        let train = Split { points: &points, labels: &labels, groups: None };
        let a = linear_probe(&train, &data(50, "test").0, 2, &ProbeConfig::default()).unwrap().0;
        let b = linear_probe(&train, &(data(50, "other").0 * 5.0), 2, &ProbeConfig::default()).unwrap().0;
        assert_eq!(a, b);
    }

    #[test]
    fn weaker_penalties_are_not_tried_once_they_only_overfit() {
        let points = data(60, "train").0;
        let noise: Vec<usize> = (0..60).map(|index| (index / 7 + index / 3) % 2).collect();
        let columns = points.narrow(1, 2, 20);
        let config = ProbeConfig::default();
        let probe =
            Probe::train(&Split { points: &columns, labels: &noise, groups: None }, 2, &config).unwrap();
        let tried = probe.candidates.len();
        assert!(tried < config.candidates.len(), "{:?}", probe.candidates);
        assert!(probe.c <= probe.candidates[tried - 1 - WORSE_IN_A_ROW].c);
    }

    #[test]
    fn k_means_names_clusters_on_the_train_split() {
        let mut stream = Stream::new(8, "clusters", &[]);
        let labels: Vec<usize> = (0..80).map(|index| index % 2).collect();
        let values: Vec<f64> = labels
            .iter()
            .flat_map(|&l| [l as f64 * 8.0 + stream.normal_f64(), stream.normal_f64()])
            .collect();
        let points = from_rows(&values, 80, 2).unwrap();
        let train = Split { points: &points, labels: &labels, groups: None };
        let (_, predictions) =
            k_means_probe(&train, &points, 2, &KMeansConfig::new(2, 0), Naming::Majority).unwrap();
        assert_eq!(predictions.classes, labels);
        assert!(predictions.probabilities.is_none());
    }

    #[test]
    fn mismatched_labels_are_an_error() {
        let (points, labels, _) = data(20, "train");
        let train = Split { points: &points, labels: &labels[1..], groups: None };
        assert!(Probe::train(&train, 2, &ProbeConfig::default()).is_err());
    }
}
