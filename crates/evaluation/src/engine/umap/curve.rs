//! The curve `1 / (1 + a·x^2b)` that stands for similarity in the layout.

use crate::engine::error::{Result, invalid};

/// Parameters of the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// Steepness.
    pub a: f64,
    /// Half the exponent.
    pub b: f64,
}

/// Fits the curve to "1 up to `min_dist`, then falling exponentially with scale
/// `spread`" at 300 points of 0..3·spread, by least squares (Levenberg–Marquardt).
///
/// # Errors
/// When `spread` is not above 0, or `min_dist` is not in 0..=spread.
pub fn fit_curve(spread: f64, min_dist: f64) -> Result<Curve> {
    if !(spread > 0.0 && spread.is_finite()) {
        return Err(invalid("spread", format!("{spread} is not a finite number above 0")));
    }
    if !(0.0..=spread).contains(&min_dist) {
        return Err(invalid("min_dist", format!("{min_dist} is outside 0..{spread}")));
    }
    let targets: Vec<(f64, f64)> = (0..300)
        .map(|index| {
            let x = 3.0 * spread * f64::from(index) / 299.0;
            (x, if x < min_dist { 1.0 } else { (-(x - min_dist) / spread).exp() })
        })
        .collect();
    let mut curve = Curve { a: 1.0, b: 1.0 };
    let mut damping = 1e-3;
    let mut error = squared_error(curve, &targets);
    for _ in 0..500 {
        let (matrix, gradient) = normal_equations(curve, &targets);
        let (aa, bb) = (matrix[0] * (1.0 + damping), matrix[2] * (1.0 + damping));
        let determinant = aa * bb - matrix[1] * matrix[1];
        let step = [
            (bb * gradient[0] - matrix[1] * gradient[1]) / determinant,
            (aa * gradient[1] - matrix[1] * gradient[0]) / determinant,
        ];
        let next = Curve { a: (curve.a + step[0]).max(1e-6), b: (curve.b + step[1]).max(1e-6) };
        let next_error = squared_error(next, &targets);
        if next_error < error {
            let settled = step[0].abs() < 1e-12 * curve.a && step[1].abs() < 1e-12 * curve.b;
            (curve, error) = (next, next_error);
            damping /= 10.0;
            if settled {
                break;
            }
        } else {
            damping *= 10.0;
            if damping > 1e12 {
                break;
            }
        }
    }
    Ok(curve)
}

fn value(curve: Curve, x: f64) -> f64 {
    1.0 / (1.0 + curve.a * x.powf(2.0 * curve.b))
}

fn squared_error(curve: Curve, targets: &[(f64, f64)]) -> f64 {
    targets.iter().map(|&(x, y)| (value(curve, x) - y).powi(2)).sum()
}

/// `JᵀJ` as (aa, ab, bb) and `Jᵀ(y - f)`.
fn normal_equations(curve: Curve, targets: &[(f64, f64)]) -> ([f64; 3], [f64; 2]) {
    let (mut matrix, mut gradient) = ([0.0; 3], [0.0; 2]);
    for &(x, y) in targets.iter().filter(|target| target.0 > 0.0) {
        let f = value(curve, x);
        let power = x.powf(2.0 * curve.b);
        let by_a = -f * f * power;
        let by_b = -f * f * curve.a * power * 2.0 * x.ln();
        matrix[0] += by_a * by_a;
        matrix[1] += by_a * by_b;
        matrix[2] += by_b * by_b;
        gradient[0] += by_a * (y - f);
        gradient[1] += by_b * (y - f);
    }
    (matrix, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_default_is_found() {
        let curve = fit_curve(1.0, 0.1).unwrap();
        assert!((curve.a - 1.577).abs() < 1e-3 && (curve.b - 0.895).abs() < 1e-3, "{curve:?}");
        assert!(fit_curve(0.0, 0.0).is_err());
        assert!(fit_curve(1.0, 2.0).is_err());
    }
}
