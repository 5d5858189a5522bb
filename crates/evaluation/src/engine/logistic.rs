//! Logistic regression with an L2 penalty, the classifier of the linear probe.
//!
//! Minimises what scikit-learn's `LogisticRegression(C)` minimises,
//! `C · Σ loss + ½ ‖coefficients‖²` with free intercepts: a sigmoid for two classes,
//! a softmax for more. The problem is strictly convex in the coefficients, so the
//! solution does not depend on the solver; here it is L-BFGS, with the products of the
//! objective on `f64` tensors.

use tch::{Kind, Tensor};

use super::error::{Result, finite, invalid, labels_within, same_length, undefined};
use super::lbfgs::{self, Stop};
use super::points::{self, from_rows, rows_to_vec};

/// How a fit is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogisticConfig {
    /// Inverse strength of the penalty, above 0; larger means weaker.
    pub c: f64,
    /// Largest gradient component of the mean objective that counts as zero.
    pub tolerance: f64,
    /// Most iterations.
    pub iterations: usize,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        Self { c: 1.0, tolerance: 1e-5, iterations: 1000 }
    }
}

/// A fitted classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    /// The classes that occurred in the train split, rising.
    pub classes: Vec<usize>,
    /// Row-major `[rows, width]`; one row for two classes (towards the second), else
    /// one row for each class.
    pub coefficients: Vec<f64>,
    /// One for each row of `coefficients`.
    pub intercepts: Vec<f64>,
    /// Width of a representation.
    pub width: usize,
    /// Iterations of the fit.
    pub iterations: usize,
    /// Whether the fit reached the tolerance.
    pub converged: bool,
}

struct Objective {
    points: Tensor,
    /// `[N]` of 0/1 for two classes, one-hot `[N, rows]` for more.
    target: Tensor,
    rows: usize,
    penalty: f64,
}

impl Objective {
    /// Mean loss plus penalty, and its gradient: coefficients first, intercepts last.
    fn at(&self, parameters: &[f64]) -> Result<(f64, Vec<f64>)> {
        let count = self.points.size()[0] as f64;
        let width = self.points.size()[1] as usize;
        let (coefficients, intercepts) = parameters.split_at(self.rows * width);
        let weights = from_rows(coefficients, self.rows, width)?;
        let logits =
            self.points.f_matmul(&weights.f_transpose(0, 1)?)?.f_add(&Tensor::from_slice(intercepts))?;
        let (loss, residual) = if self.rows == 1 {
            // softplus(z) - y·z, written so that large |z| neither overflows nor cancels.
            let positive = logits.f_clamp_min(0.0)?;
            let tail = logits.f_abs()?.f_neg()?.f_exp()?.f_log1p()?;
            let losses = positive.f_add(&tail)?.f_sub(&logits.f_mul(&self.target)?)?;
            (losses.f_sum(Kind::Double)?, logits.f_sigmoid()?.f_sub(&self.target)?)
        } else {
            let log_probabilities = logits.f_log_softmax(1, Kind::Double)?;
            let losses = log_probabilities.f_mul(&self.target)?.f_sum(Kind::Double)?.f_neg()?;
            (losses, log_probabilities.f_exp()?.f_sub(&self.target)?)
        };
        let gradient = residual.f_transpose(0, 1)?.f_matmul(&self.points)?;
        let intercept_gradient = residual.f_sum_dim_intlist(0_i64, false, Kind::Double)?;
        let mut gradients = rows_to_vec(&gradient)?;
        for (gradient, coefficient) in gradients.iter_mut().zip(coefficients) {
            *gradient = *gradient / count + self.penalty * coefficient;
        }
        gradients.extend(rows_to_vec(&intercept_gradient)?.into_iter().map(|value| value / count));
        let squares: f64 = coefficients.iter().map(|value| value * value).sum();
        Ok((f64::try_from(loss)? / count + 0.5 * self.penalty * squares, gradients))
    }
}

impl LogisticRegression {
    /// Fits `points` `[N, D]` (standardise them first) to `labels`, each below
    /// `classes`. A class that does not occur gets no coefficients and probability 0.
    ///
    /// # Errors
    /// When shapes do not match, a value is not finite, fewer than two classes occur,
    /// or `c` is not above 0.
    pub fn fit(points: &Tensor, labels: &[usize], classes: usize, config: &LogisticConfig) -> Result<Self> {
        Self::fit_from(points, labels, classes, config, None)
    }

    /// As [`LogisticRegression::fit`], from the solution of a similar problem on the
    /// same classes: the same minimum sooner.
    ///
    /// # Errors
    /// As [`LogisticRegression::fit`].
    pub fn fit_from(
        points: &Tensor,
        labels: &[usize],
        classes: usize,
        config: &LogisticConfig,
        start: Option<&LogisticRegression>,
    ) -> Result<Self> {
        let points = points::as_f64("the representations", points)?;
        let (count, width) = (points.size()[0] as usize, points.size()[1] as usize);
        same_length("the labels", count, labels.len())?;
        labels_within(labels, classes)?;
        if !(config.c > 0.0 && config.c.is_finite()) {
            return Err(invalid("c", format!("{} is not a finite number above 0", config.c)));
        }
        let present: Vec<usize> = (0..classes).filter(|class| labels.contains(class)).collect();
        if present.len() < 2 {
            return Err(undefined(
                "logistic regression",
                format!(
                    "the train split holds {} of the {classes} classes; a probe needs two",
                    present.len()
                ),
            ));
        }
        let rows = if present.len() == 2 { 1 } else { present.len() };
        let mut target = vec![0.0; count * rows];
        for (index, label) in labels.iter().enumerate() {
            if rows == 1 {
                target[index] = f64::from(u8::from(*label == present[1]));
            } else if let Ok(row) = present.binary_search(label) {
                target[index * rows + row] = 1.0;
            }
        }
        let objective = Objective {
            target: from_rows(&target, count, rows)?,
            points,
            rows,
            penalty: 1.0 / (config.c * count as f64),
        };
        let parameters = match start {
            Some(start) if start.classes == present && start.width == width => {
                start.coefficients.iter().chain(&start.intercepts).copied().collect()
            }
            _ => vec![0.0; rows * (width + 1)],
        };
        let stop = Stop { gradient: config.tolerance, iterations: config.iterations };
        let found = lbfgs::minimise(parameters, stop, |parameters| objective.at(parameters))?;
        finite("a coefficient of the probe", &found.point)?;
        let (coefficients, intercepts) = found.point.split_at(rows * width);
        Ok(Self {
            classes: present,
            coefficients: coefficients.to_vec(),
            intercepts: intercepts.to_vec(),
            width,
            iterations: found.iterations,
            converged: found.converged,
        })
    }

    /// Class probabilities, row-major `[N, classes]` with rows summing to 1.
    ///
    /// # Errors
    /// When the width differs or a value is not finite.
    pub fn probabilities(&self, points: &Tensor, classes: usize) -> Result<Vec<f64>> {
        let points = points::as_f64("the representations", points)?;
        same_length("a representation", self.width, points.size()[1] as usize)?;
        labels_within(&self.classes, classes)?;
        let weights = from_rows(&self.coefficients, self.intercepts.len(), self.width)?;
        let logits =
            points.f_matmul(&weights.f_transpose(0, 1)?)?.f_add(&Tensor::from_slice(&self.intercepts))?;
        let own = if self.intercepts.len() == 1 {
            let positive = logits.f_sigmoid()?;
            Tensor::f_cat(&[logits.f_neg()?.f_sigmoid()?, positive], 1)?
        } else {
            logits.f_softmax(1, Kind::Double)?
        };
        let own = rows_to_vec(&own)?;
        let mut all = vec![0.0; own.len() / self.classes.len() * classes];
        for (all, own) in all.chunks_mut(classes).zip(own.chunks(self.classes.len())) {
            self.classes.iter().zip(own).for_each(|(&class, &probability)| all[class] = probability);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::metrics::probability::argmax_rows;
    use counterstain_tile::random::Stream;

    /// Gaussian blobs, one for each class, in `width` dimensions.
    fn blobs(count: usize, width: usize, classes: usize) -> (Tensor, Vec<usize>) {
        let mut stream = Stream::new(5, "test blobs", &[]);
        let labels: Vec<usize> = (0..count).map(|index| index % classes).collect();
        let mut values = Vec::with_capacity(count * width);
        for label in &labels {
            for column in 0..width {
                let centre = if column % classes == *label { 0.7 } else { 0.0 };
                values.push(centre + stream.normal_f64());
            }
        }
        (from_rows(&values, count, width).unwrap(), labels)
    }

    #[test]
    fn the_gradient_is_the_derivative_of_the_objective() {
        for classes in [2, 3] {
            let (points, labels) = blobs(30, 4, classes);
            let rows = if classes == 2 { 1 } else { 3 };
            let mut target = vec![0.0; 30 * rows];
            for (index, &label) in labels.iter().enumerate() {
                if rows == 1 { target[index] = label as f64 } else { target[index * rows + label] = 1.0 }
            }
            let objective =
                Objective { points, target: from_rows(&target, 30, rows).unwrap(), rows, penalty: 0.3 };
            let at: Vec<f64> = (0..rows * 5).map(|i| (i as f64 * 0.7).sin()).collect();
            let (_, gradient) = objective.at(&at).unwrap();
            for index in 0..at.len() {
                let mut shifted = at.clone();
                shifted[index] += 1e-6;
                let above = objective.at(&shifted).unwrap().0;
                shifted[index] -= 2e-6;
                let below = objective.at(&shifted).unwrap().0;
                assert!(((above - below) / 2e-6 - gradient[index]).abs() < 1e-8);
            }
        }
    }

    #[test]
    fn two_classes_are_fitted_as_scikit_learn_does() {
        // LogisticRegression(C=0.5, tol=1e-12) of scikit-learn 1.9 on these points.
        let points = [
            [0.13, -0.13],
            [0.64, 0.1],
            [-0.54, 0.36],
            [1.3, 0.95],
            [-0.7, -1.27],
            [-0.62, 0.04],
            [-2.33, -0.22],
            [-1.25, -0.73],
            [-0.54, -0.32],
            [0.41, 1.04],
            [-0.13, 1.37],
            [-0.67, 0.35],
            [0.9, 0.09],
            [-0.74, -0.92],
        ];
        let labels = [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1];
        let points = from_rows(points.as_flattened(), 14, 2).unwrap();
        let config = LogisticConfig { c: 0.5, tolerance: 1e-10, iterations: 1000 };
        let fitted = LogisticRegression::fit(&points, &labels, 2, &config).unwrap();
        let probabilities = fitted.probabilities(&points, 2).unwrap();
        let found = [
            fitted.coefficients[0],
            fitted.coefficients[1],
            fitted.intercepts[0],
            probabilities[1],
            probabilities[3],
        ];
        let expected =
            [0.729_814_461_309, 0.516_139_602_647, 0.188_678_835_256, 0.553_903_840_833, 0.669_820_661_600];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
    }

    #[test]
    fn a_class_that_does_not_occur_has_probability_zero() {
        let (points, labels) = blobs(40, 3, 2);
        let labels: Vec<usize> = labels.into_iter().map(|label| label * 2).collect();
        let fitted = LogisticRegression::fit(&points, &labels, 3, &LogisticConfig::default()).unwrap();
        let probabilities = fitted.probabilities(&points, 3).unwrap();
        assert!(
            probabilities.chunks(3).all(|row| row[1] == 0.0 && (row.iter().sum::<f64>() - 1.0).abs() < 1e-12)
        );
    }

    #[test]
    fn separable_classes_are_told_apart_and_the_penalty_keeps_weights_finite() {
        let points = Tensor::from_slice(&[-1.0_f64, -2.0, 1.0, 2.0]).reshape([4, 1]);
        let fitted = LogisticRegression::fit(&points, &[0, 0, 1, 1], 2, &LogisticConfig::default()).unwrap();
        assert!(fitted.converged && fitted.coefficients[0] < 10.0);
        assert_eq!(argmax_rows(&fitted.probabilities(&points, 2).unwrap(), 2), vec![0, 0, 1, 1]);
    }

    #[test]
    fn one_class_a_nan_or_a_bad_c_is_an_error() {
        let (points, labels) = blobs(10, 3, 2);
        let config = LogisticConfig::default();
        assert!(LogisticRegression::fit(&points, &[0; 10], 2, &config).is_err());
        assert!(LogisticRegression::fit(&(&points * f64::NAN), &labels, 2, &config).is_err());
        assert!(LogisticRegression::fit(&points, &labels, 2, &LogisticConfig { c: 0.0, ..config }).is_err());
    }

    #[test]
    fn ten_thousand_representations_of_width_512_take_seconds() {
        let (points, labels) = blobs(10_000, 512, 9);
        let begin = std::time::Instant::now();
        let fitted = LogisticRegression::fit(&points, &labels, 9, &LogisticConfig::default()).unwrap();
        let elapsed = begin.elapsed();
        println!("10,000 x 512, 9 classes: {elapsed:?}, {} iterations", fitted.iterations);
        assert!(fitted.converged);
        assert!(elapsed.as_secs() < 60, "{elapsed:?}");
    }
}
