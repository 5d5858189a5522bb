//! Figures of predictions on a test split, each with its bootstrap interval.
//!
//! All figures of one split share their resamples, and so do different encoders with
//! one seed: differences between encoders are compared on the same draws.

use super::bootstrap::{Interval, Resampler, interval_of};
use super::error::Result;
use super::metrics::ConfusionMatrix;
use super::metrics::ranking::OneVersusRest;
use super::probe::Predictions;

/// How intervals are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoringConfig {
    /// Resamples; 0 for no intervals.
    pub resamples: u32,
    /// Share of the resamples inside the interval, such as 0.95.
    pub level: f64,
    /// Seed of the resamples.
    pub seed: u64,
}

/// A figure and its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// `accuracy`, `balanced_accuracy`, `f1` (macro) or `auc` (macro one-versus-rest).
    pub name: &'static str,
    /// The value on the whole split.
    pub value: f64,
    /// The interval; none without resamples, with a single group, or where the figure
    /// is undefined on half of the resamples.
    pub interval: Option<Interval>,
}

/// What a split says about predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The confusion matrix.
    pub confusion: ConfusionMatrix,
    /// The figures. The AUC is there only for probabilities and two or more classes.
    pub figures: Vec<Figure>,
}

/// Scores predictions; `groups` are the group ids of the samples where known.
///
/// # Errors
/// When lengths differ, a label is not below `classes`, or there is no sample.
pub fn score(
    truth: &[usize],
    predictions: &Predictions,
    groups: Option<&[usize]>,
    classes: usize,
    config: &ScoringConfig,
) -> Result<Scores> {
    let confusion = ConfusionMatrix::new(truth, &predictions.classes, classes)?;
    let ranked = match &predictions.probabilities {
        Some(probabilities) => Some(OneVersusRest::new(truth, probabilities, classes)?),
        None => None,
    };
    let resampler = Resampler::new(truth.len(), groups, config.seed)?;
    let mut values = vec![
        ("accuracy", confusion.accuracy()),
        ("balanced_accuracy", confusion.balanced_accuracy()),
        ("f1", confusion.f1_macro()),
    ];
    let auc = ranked.as_ref().and_then(|ranked| ranked.auc_macro().ok());
    values.extend(auc.map(|auc| ("auc", auc)));

    let mut drawn: Vec<Vec<f64>> = vec![Vec::new(); values.len()];
    let rounds = if resampler.units() < 2 { 0 } else { config.resamples };
    for round in 0..u64::from(rounds) {
        let counts = resampler.counts(round);
        let matrix = ConfusionMatrix::weighted(truth, &predictions.classes, &counts, classes)?;
        drawn[0].push(matrix.accuracy());
        drawn[1].push(matrix.balanced_accuracy());
        drawn[2].push(matrix.f1_macro());
        if let (Some(ranked), Some(auc)) = (&ranked, drawn.get_mut(3)) {
            auc.extend(ranked.auc_macro_weighted_samples(&counts).ok());
        }
    }
    let figures = values
        .into_iter()
        .zip(drawn)
        .map(|((name, value), drawn)| {
            let enough = drawn.len() * 2 > rounds as usize;
            let interval = if enough { Some(interval_of(&drawn, config.level)?) } else { None };
            Ok(Figure { name, value, interval })
        })
        .collect::<Result<_>>()?;
    Ok(Scores { confusion, figures })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: ScoringConfig = ScoringConfig { resamples: 200, level: 0.95, seed: 1 };

    fn predictions(classes: Vec<usize>) -> Predictions {
        let probabilities =
            classes.iter().flat_map(|&class| if class == 1 { [0.2, 0.8] } else { [0.7, 0.3] }).collect();
        Predictions { classes, probabilities: Some(probabilities) }
    }

    #[test]
    fn every_figure_lies_in_its_interval() {
        let truth: Vec<usize> = (0..60).map(|index| index % 2).collect();
        let called =
            truth.iter().enumerate().map(|(index, &label)| if index % 7 == 0 { 1 - label } else { label });
        let scores = score(&truth, &predictions(called.collect()), None, 2, &CONFIG).unwrap();
        let names: Vec<&str> = scores.figures.iter().map(|figure| figure.name).collect();
        assert_eq!(names, ["accuracy", "balanced_accuracy", "f1", "auc"]);
        for figure in &scores.figures {
            let interval = figure.interval.unwrap();
            assert!(interval.low <= figure.value && figure.value <= interval.high, "{figure:?}");
            assert!(interval.low < interval.high);
        }
    }

    #[test]
    fn groups_widen_the_interval_and_a_single_one_has_none() {
        let truth: Vec<usize> = (0..80).map(|index| index % 2).collect();
        // Whole groups of ten are right or wrong together.
        let groups: Vec<usize> = (0..80).map(|index| index / 10).collect();
        let called: Vec<usize> = truth
            .iter()
            .zip(&groups)
            .map(|(&label, group)| if group % 2 == 0 { 1 - label } else { label })
            .collect();
        let predicted = Predictions { classes: called, probabilities: None };
        let width = |groups: Option<&[usize]>| {
            let scores = score(&truth, &predicted, groups, 2, &CONFIG).unwrap();
            assert_eq!(scores.figures.len(), 3);
            scores.figures[0].interval.map(|interval| interval.high - interval.low)
        };
        assert!(width(Some(&groups)).unwrap() > 2.0 * width(None).unwrap());
        assert_eq!(width(Some(&[0; 80])), None);
    }

    #[test]
    fn a_single_class_has_an_accuracy_but_no_auc() {
        let scores = score(&[1, 1, 1], &predictions(vec![1, 1, 0]), None, 2, &CONFIG).unwrap();
        assert_eq!(scores.figures.len(), 3);
        assert!(score(&[], &predictions(vec![]), None, 2, &CONFIG).is_err());
    }
}
