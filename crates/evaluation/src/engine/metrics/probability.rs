//! Figures on predicted probabilities: log loss, Brier score, top-k accuracy.

use crate::engine::error::{Result, finite, invalid, labels_within, same_length, undefined};

fn check(truth: &[usize], probabilities: &[f64], classes: usize) -> Result<()> {
    labels_within(truth, classes)?;
    same_length("the probabilities", truth.len() * classes, probabilities.len())?;
    finite("a probability", probabilities)?;
    if truth.is_empty() {
        return Err(undefined("a score of probabilities", "there is no sample"));
    }
    Ok(())
}

/// Mean negative log-likelihood in nats. `probabilities` is row-major
/// `[samples, classes]`, rows summing to 1; each is clipped to `[eps, 1 - eps]` of
/// `f64`, as scikit-learn does.
///
/// # Errors
/// When shapes do not match, a value is not finite, or there is no sample.
pub fn log_loss(truth: &[usize], probabilities: &[f64], classes: usize) -> Result<f64> {
    check(truth, probabilities, classes)?;
    let sum: f64 = truth
        .iter()
        .enumerate()
        .map(|(index, &label)| {
            -probabilities[index * classes + label].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
        })
        .sum();
    Ok(sum / truth.len() as f64)
}

/// Mean squared distance between the score of the positive class and the truth (0 or 1).
///
/// # Errors
/// When lengths differ, a value is not finite, or there is no sample.
pub fn brier(positive: &[bool], scores: &[f64]) -> Result<f64> {
    same_length("the scores", positive.len(), scores.len())?;
    finite("a score", scores)?;
    if scores.is_empty() {
        return Err(undefined("the Brier score", "there is no sample"));
    }
    let sum: f64 = positive
        .iter()
        .zip(scores)
        .map(|(&positive, &score)| (score - f64::from(u8::from(positive))).powi(2))
        .sum();
    Ok(sum / scores.len() as f64)
}

/// Share of samples whose true class is among the `k` highest scores; of equal scores
/// the higher class counts as the higher one.
///
/// # Errors
/// When shapes do not match, `k` is 0 or above `classes`, or there is no sample.
pub fn top_k_accuracy(truth: &[usize], scores: &[f64], classes: usize, k: usize) -> Result<f64> {
    check(truth, scores, classes)?;
    if k == 0 || k > classes {
        return Err(invalid("k", format!("top-{k} accuracy needs 1 <= k <= {classes} classes")));
    }
    let hits = truth
        .iter()
        .zip(scores.chunks(classes))
        .filter(|(label, row)| {
            let own = row[**label];
            let above = (0..classes).filter(|&c| row[c] > own || (row[c] == own && c > **label)).count();
            above < k
        })
        .count();
    Ok(hits as f64 / truth.len() as f64)
}

/// The class of the highest score of each row; of equal scores the lowest class.
/// `scores` is row-major `[samples, classes]`.
#[must_use]
pub fn argmax_rows(scores: &[f64], classes: usize) -> Vec<usize> {
    scores
        .chunks(classes)
        .map(|row| (0..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certain_mistake_costs_a_finite_amount() {
        let loss = log_loss(&[0], &[0.0, 1.0], 2).unwrap();
        assert!((loss - -f64::EPSILON.ln()).abs() < 1e-12);
    }

    #[test]
    fn top_k_counts_ties_in_favour_of_the_higher_class() {
        assert_eq!(top_k_accuracy(&[0, 1], &[0.5, 0.5, 0.5, 0.5], 2, 1).unwrap(), 0.5);
        assert!(top_k_accuracy(&[0], &[0.5, 0.5], 2, 3).is_err());
    }

    #[test]
    fn empty_and_nan_input_are_errors() {
        assert!(log_loss(&[], &[], 2).is_err());
        assert!(brier(&[], &[]).is_err());
        assert!(brier(&[true], &[f64::NAN]).is_err());
    }
}
