//! L-BFGS (Nocedal & Wright, *Numerical Optimization*, algorithms 7.4, 3.5 and 3.6)
//! on a plain vector, for smooth convex objectives.
//!
//! Written here because tch has no L-BFGS and the probe must converge to the same
//! point as scikit-learn's; the vectors it handles are small (classes × width), the
//! objective does the heavy work.

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// Largest absolute component of the gradient that counts as zero.
    pub gradient: f64,
    /// Most iterations.
    pub iterations: usize,
}

/// Where the search ended.
#[derive(Debug, Clone)]
pub struct Minimum {
    /// The point.
    pub point: Vec<f64>,
    /// The objective there.
    pub value: f64,
    /// Largest absolute component of the gradient there.
    pub gradient: f64,
    /// Iterations made.
    pub iterations: usize,
    /// Whether the gradient is below the tolerance, or no step lowers the objective in
    /// `f64` any further.
    pub converged: bool,
}

/// How many steps the curvature estimate remembers.
const MEMORY: usize = 10;
const SUFFICIENT_DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
const LINE_SEARCH_STEPS: usize = 30;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| f64::max(largest, value.abs()))
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse: f64,
}

/// The direction `-H·gradient` from the remembered steps (two-loop recursion).
fn direction(gradient: &[f64], memory: &[Pair]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|value| -value).collect();
    let mut weights = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let weight = pair.inverse * dot(&pair.step, &q);
        q.iter_mut().zip(&pair.change).for_each(|(q, y)| *q -= weight * y);
        weights.push(weight);
    }
    if let Some(last) = memory.last() {
        let scale = 1.0 / (last.inverse * dot(&last.change, &last.change));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for (pair, weight) in memory.iter().zip(weights.into_iter().rev()) {
        let correction = weight - pair.inverse * dot(&pair.change, &q);
        q.iter_mut().zip(&pair.step).for_each(|(q, s)| *q += correction * s);
    }
    q
}

struct Trial {
    length: f64,
    point: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    slope: f64,
}

/// Minimises `objective`, which returns the value and the gradient at a point.
///
/// # Errors
/// Whatever the objective returns.
pub fn minimise<E>(
    start: Vec<f64>,
    stop: Stop,
    mut objective: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
) -> Result<Minimum, E> {
    let mut point = start;
    let (mut value, mut gradient) = objective(&point)?;
    let mut memory: Vec<Pair> = Vec::new();
    let mut iterations = 0;
    let mut converged = largest(&gradient) <= stop.gradient;
    while !converged && iterations < stop.iterations {
        let mut towards = direction(&gradient, &memory);
        let mut slope = dot(&gradient, &towards);
        if slope >= 0.0 || slope.is_nan() {
            // Rounding has spoilt the curvature estimate: start it afresh.
            memory.clear();
            towards = gradient.iter().map(|value| -value).collect();
            slope = dot(&gradient, &towards);
        }
        let first = if memory.is_empty() { (1.0 / dot(&gradient, &gradient).sqrt()).min(1.0) } else { 1.0 };
        let Some(trial) = line_search(&point, value, slope, &towards, first, &mut objective)? else {
            if memory.is_empty() {
                converged = true;
                break;
            }
            memory.clear();
            continue;
        };
        iterations += 1;
        let step: Vec<f64> = trial.point.iter().zip(&point).map(|(new, old)| new - old).collect();
        let change: Vec<f64> = trial.gradient.iter().zip(&gradient).map(|(new, old)| new - old).collect();
        let curvature = dot(&step, &change);
        if curvature > f64::EPSILON * dot(&change, &change) {
            if memory.len() == MEMORY {
                memory.remove(0);
            }
            memory.push(Pair { step, change, inverse: 1.0 / curvature });
        }
        point = trial.point;
        value = trial.value;
        gradient = trial.gradient;
        converged = largest(&gradient) <= stop.gradient;
    }
    Ok(Minimum { gradient: largest(&gradient), point, value, iterations, converged })
}

/// A step length that satisfies the strong Wolfe conditions, or the best one that
/// lowers the objective; `None` where no step does.
fn line_search<E>(
    origin: &[f64],
    value: f64,
    slope: f64,
    towards: &[f64],
    first: f64,
    objective: &mut impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
) -> Result<Option<Trial>, E> {
    let mut evaluate = |length: f64| -> Result<Trial, E> {
        let point: Vec<f64> =
            origin.iter().zip(towards).map(|(origin, towards)| origin + length * towards).collect();
        let (value, gradient) = objective(&point)?;
        let slope = dot(&gradient, towards);
        Ok(Trial { length, point, value, gradient, slope })
    };
    let decreases = |trial: &Trial| trial.value <= value + SUFFICIENT_DECREASE * trial.length * slope;
    let flat = |trial: &Trial| trial.slope.abs() <= CURVATURE * slope.abs();

    // (length, value, slope) of the better end of the bracket, and its trial.
    let mut low = (0.0, value, slope);
    let mut best: Option<Trial> = None;
    let mut high: Option<(f64, f64, f64)> = None;
    let mut length = first;
    for _ in 0..LINE_SEARCH_STEPS {
        let trial = evaluate(length)?;
        let worse = !trial.value.is_finite() || !decreases(&trial) || trial.value >= low.1 && low.0 > 0.0;
        if worse {
            high = Some((trial.length, trial.value, trial.slope));
        } else {
            if flat(&trial) {
                return Ok(Some(trial));
            }
            let outward = high.map_or(1.0, |high| high.0 - low.0);
            if trial.slope * outward >= 0.0 {
                high = Some(low);
            }
            low = (trial.length, trial.value, trial.slope);
            best = Some(trial);
        }
        length = match high {
            None => low.0 * 2.0,
            Some(high) => between(low, high),
        };
        if let Some(high) = high
            && (high.0 - low.0).abs() <= 1e-16 * high.0.abs().max(low.0.abs())
        {
            break;
        }
    }
    Ok(best.filter(|trial| trial.value < value))
}

/// The minimum of the cubic through both ends, kept inside the middle 80 % of the
/// bracket; its middle where the cubic has none.
fn between(low: (f64, f64, f64), high: (f64, f64, f64)) -> f64 {
    let (a, fa, da) = low;
    let (b, fb, db) = high;
    let middle = (a + b) / 2.0;
    let d1 = da + db - 3.0 * (fa - fb) / (a - b);
    let radicand = d1 * d1 - da * db;
    if !fb.is_finite() || !radicand.is_finite() || radicand < 0.0 {
        return middle;
    }
    let d2 = (b - a).signum() * radicand.sqrt();
    let length = b - (b - a) * (db + d2 - d1) / (db - da + 2.0 * d2);
    let (from, to) = (a + 0.1 * (b - a), b - 0.1 * (b - a));
    if length.is_finite() && length >= from.min(to) && length <= from.max(to) { length } else { middle }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn an_ill_conditioned_quadratic_is_solved() {
        let scales: Vec<f64> = (0..40).map(|i| 10_f64.powf(f64::from(i) / 10.0)).collect();
        let found = minimise(vec![1.0; 40], Stop { gradient: 1e-9, iterations: 2000 }, |x| {
            let value = x.iter().zip(&scales).map(|(x, s)| 0.5 * s * (x - 2.0) * (x - 2.0)).sum();
            Ok::<_, Infallible>((value, x.iter().zip(&scales).map(|(x, s)| s * (x - 2.0)).collect()))
        })
        .unwrap();
        assert!(found.converged, "{found:?}");
        assert!(found.point.iter().all(|x| (x - 2.0).abs() < 1e-8));
    }

    #[test]
    fn the_rosenbrock_valley_is_followed_to_its_end() {
        let found = minimise(vec![-1.2, 1.0], Stop { gradient: 1e-8, iterations: 500 }, |p| {
            let (x, y) = (p[0], p[1]);
            let value = 100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2);
            Ok::<_, Infallible>((
                value,
                vec![-400.0 * x * (y - x * x) - 2.0 * (1.0 - x), 200.0 * (y - x * x)],
            ))
        })
        .unwrap();
        assert!(found.converged && found.iterations < 100, "{found:?}");
        assert!((found.point[0] - 1.0).abs() < 1e-6 && (found.point[1] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_start_at_the_minimum_stays() {
        let found = minimise(vec![0.0], Stop { gradient: 1e-9, iterations: 10 }, |x| {
            Ok::<_, Infallible>((x[0] * x[0], vec![2.0 * x[0]]))
        })
        .unwrap();
        assert_eq!((found.iterations, found.converged), (0, true));
    }
}
