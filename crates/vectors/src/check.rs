//! The kinds of comparison, as the vectors' JSON names them.
//!
//! `a` is what the code computed, `b` the reference. Shapes must be equal, a NaN
//! or an infinity in `a` fails, empty tensors pass. All arithmetic is in f64, but
//! `exact` on two integer tensors, which compares int64.

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::description::TensorEntry;

/// How to compare one tensor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// |a − b| ≤ atol + rtol·|b| everywhere; with `center_axis`, after the mean
    /// along that axis is subtracted from each.
    Allclose {
        rtol: f64,
        atol: f64,
        #[serde(default)]
        center_axis: Option<i64>,
        #[serde(default)]
        ignore_indices: Vec<usize>,
    },
    /// max|a − b| ≤ tol · max|b| (tol itself where max|b| = 0).
    RelativeToMax {
        tol: f64,
        #[serde(default)]
        ignore_indices: Vec<usize>,
    },
    /// Equal in every element.
    Exact,
    /// The share of elements that differ (with tolerances: that are not close).
    MismatchFraction {
        max: f64,
        #[serde(default)]
        rtol: Option<f64>,
        #[serde(default)]
        atol: Option<f64>,
    },
    /// Each slice along `axis`, or its negative, is close.
    SignInvariantAllclose { axis: i64, rtol: f64, atol: f64 },
    /// Labels as a partition.
    PermutationInvariant { metric: String, min: f64 },
    /// a ≤ b + atol + rtol·|b|.
    AtMost { rtol: f64, atol: f64 },
    /// a ≥ b − atol − rtol·|b|.
    AtLeast { rtol: f64, atol: f64 },
    /// Not compared.
    Informative { why: String },
}

/// The arithmetic in which the code under test computed a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComputedIn {
    F32,
    F64,
    Integers,
}

impl ComputedIn {
    /// What a tensor's own type says about it.
    #[must_use]
    pub fn from_kind(kind: Kind) -> Self {
        match kind {
            Kind::Double => Self::F64,
            Kind::Float | Kind::Half | Kind::BFloat16 => Self::F32,
            _ => Self::Integers,
        }
    }
}

/// The check that holds for `entry` when computing in `computed_in`.
#[must_use]
pub fn choose(entry: &TensorEntry, computed_in: ComputedIn) -> Option<&Check> {
    let special = match computed_in {
        ComputedIn::F32 => entry.check_f32.as_ref(),
        ComputedIn::F64 => entry.check_f64.as_ref(),
        ComputedIn::Integers => None,
    };
    special.or(entry.check.as_ref())
}

/// The verdict on one comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub passed: bool,
    /// The largest error, in the check's own measure.
    pub error: f64,
    /// The tolerance, readable.
    pub tolerance: String,
    /// What else a reader needs, for instance differing shapes.
    pub detail: Option<String>,
}

impl Check {
    /// The tolerance in words.
    #[must_use]
    pub fn tolerance(&self) -> String {
        match self {
            Self::Allclose { rtol, atol, center_axis, .. } => {
                let centred = center_axis.map(|axis| format!(" centred on axis {axis}")).unwrap_or_default();
                format!("rtol {rtol:e} atol {atol:e}{centred}")
            }
            Self::RelativeToMax { tol, .. } => format!("{tol:e} of max"),
            Self::Exact => "exact".to_owned(),
            Self::MismatchFraction { max, .. } => format!("{max:e} of elements"),
            Self::SignInvariantAllclose { rtol, atol, .. } => {
                format!("rtol {rtol:e} atol {atol:e} up to sign")
            }
            Self::PermutationInvariant { metric, min } => format!("{metric} >= {min}"),
            Self::AtMost { rtol, atol } => format!("at most, rtol {rtol:e} atol {atol:e}"),
            Self::AtLeast { rtol, atol } => format!("at least, rtol {rtol:e} atol {atol:e}"),
            Self::Informative { .. } => "informative".to_owned(),
        }
    }

    /// Compares `a` (computed) with `b` (reference).
    #[must_use]
    pub fn compare(&self, a: &Tensor, b: &Tensor) -> Verdict {
        let fail = |error: f64, detail: String| Verdict {
            passed: false,
            error,
            tolerance: self.tolerance(),
            detail: Some(detail),
        };
        if a.size() != b.size() {
            return fail(
                f64::INFINITY,
                format!("shape {:?} where the reference has {:?}", a.size(), b.size()),
            );
        }
        if a.numel() == 0 {
            return Verdict { passed: true, error: 0.0, tolerance: self.tolerance(), detail: None };
        }
        let shape: Vec<usize> = a.size().iter().map(|&n| n as usize).collect();
        let (left, right) = (flat(a), flat(b));
        if let Some(at) = left.iter().position(|value| !value.is_finite()) {
            return fail(f64::INFINITY, format!("{} at flat index {at}", left[at]));
        }
        if *self == Self::Exact && is_integer(a) && is_integer(b) {
            let differing = a.to_device(Device::Cpu).to_kind(Kind::Int64).ne_tensor(&b.to_kind(Kind::Int64));
            let count = differing.sum(Kind::Int64).int64_value(&[]);
            return self.verdict(
                count == 0,
                largest_difference(&left, &right).max(count.min(1) as f64),
                None,
            );
        }
        self.compare_values(&shape, left, right)
    }

    fn verdict(&self, passed: bool, error: f64, detail: Option<String>) -> Verdict {
        Verdict { passed, error, tolerance: self.tolerance(), detail }
    }

    fn compare_values(&self, shape: &[usize], mut a: Vec<f64>, mut b: Vec<f64>) -> Verdict {
        match self {
            Self::Allclose { rtol, atol, center_axis, ignore_indices } => {
                if let Some(axis) = center_axis {
                    let Some(axis) = resolve_axis(*axis, shape) else {
                        return self.no_such_axis(*axis, shape);
                    };
                    centre(&mut a, shape, axis);
                    centre(&mut b, shape, axis);
                }
                leave_out(&mut a, &mut b, ignore_indices);
                let far = count_far(&a, &b, *rtol, *atol);
                let detail = (far > 0).then(|| format!("{far} of {} elements", a.len()));
                self.verdict(far == 0, largest_difference(&a, &b), detail)
            }
            Self::RelativeToMax { tol, ignore_indices } => {
                leave_out(&mut a, &mut b, ignore_indices);
                let largest = b.iter().fold(0.0f64, |most, value| most.max(value.abs()));
                let difference = largest_difference(&a, &b);
                let error = if largest == 0.0 { difference } else { difference / largest };
                // Written so that a NaN in the reference fails.
                self.verdict(error <= *tol, error, None)
            }
            Self::Exact => {
                let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
                let detail = (differing > 0).then(|| format!("{differing} of {} elements", a.len()));
                self.verdict(differing == 0, largest_difference(&a, &b), detail)
            }
            Self::MismatchFraction { max, rtol, atol } => {
                let far = count_far(&a, &b, rtol.unwrap_or(0.0), atol.unwrap_or(0.0));
                let share = far as f64 / a.len() as f64;
                self.verdict(share <= *max, share, Some(format!("{far} of {} elements", a.len())))
            }
            Self::SignInvariantAllclose { axis, rtol, atol } => {
                let Some(axis) = resolve_axis(*axis, shape) else { return self.no_such_axis(*axis, shape) };
                let mut passed = true;
                let mut error = 0.0f64;
                for index in 0..shape[axis] {
                    let left = slice(&a, shape, axis, index);
                    let right = slice(&b, shape, axis, index);
                    let negative: Vec<f64> = left.iter().map(|value| -value).collect();
                    let close = count_far(&left, &right, *rtol, *atol) == 0
                        || count_far(&negative, &right, *rtol, *atol) == 0;
                    passed &= close;
                    error = error
                        .max(largest_difference(&left, &right).min(largest_difference(&negative, &right)));
                }
                self.verdict(passed, error, None)
            }
            Self::PermutationInvariant { metric, min } => {
                if metric != "adjusted_rand_index" {
                    return self.verdict(false, f64::INFINITY, Some(format!("unknown metric {metric:?}")));
                }
                let index = adjusted_rand_index(&a, &b);
                self.verdict(index >= *min, 1.0 - index, Some(format!("adjusted rand index {index}")))
            }
            Self::AtMost { rtol, atol } => {
                let passed = a.iter().zip(&b).all(|(a, b)| *a <= b + atol + rtol * b.abs());
                let error = a.iter().zip(&b).map(|(a, b)| a - b).fold(0.0, f64::max);
                self.verdict(passed, error, None)
            }
            Self::AtLeast { rtol, atol } => {
                let passed = a.iter().zip(&b).all(|(a, b)| *a >= b - atol - rtol * b.abs());
                let error = a.iter().zip(&b).map(|(a, b)| b - a).fold(0.0, f64::max);
                self.verdict(passed, error, None)
            }
            Self::Informative { .. } => self.verdict(true, largest_difference(&a, &b), None),
        }
    }

    fn no_such_axis(&self, axis: i64, shape: &[usize]) -> Verdict {
        self.verdict(false, f64::INFINITY, Some(format!("axis {axis} of a tensor of shape {shape:?}")))
    }
}

fn is_integer(tensor: &Tensor) -> bool {
    ComputedIn::from_kind(tensor.kind()) == ComputedIn::Integers
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double).contiguous().view(-1);
    Vec::<f64>::try_from(tensor).expect("a contiguous one-dimensional f64 tensor on the CPU converts")
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    // `f64::max` drops a NaN, which must show instead.
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |most, error| if error.is_nan() { f64::INFINITY } else { most.max(error) })
}

fn count_far(a: &[f64], b: &[f64], rtol: f64, atol: f64) -> usize {
    let close = |a: f64, b: f64| (a - b).abs() <= atol + rtol * b.abs();
    a.iter().zip(b).filter(|(a, b)| !close(**a, **b)).count()
}

fn leave_out(a: &mut [f64], b: &mut [f64], indices: &[usize]) {
    for &index in indices {
        if let (Some(left), Some(right)) = (a.get_mut(index), b.get_mut(index)) {
            *left = 0.0;
            *right = 0.0;
        }
    }
}

fn resolve_axis(axis: i64, shape: &[usize]) -> Option<usize> {
    let rank = shape.len() as i64;
    let axis = if axis < 0 { axis + rank } else { axis };
    (0..rank).contains(&axis).then_some(axis as usize)
}

/// Flat indices of one line along `axis` start at `outer * shape[axis] * inner`.
fn extents(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

fn centre(values: &mut [f64], shape: &[usize], axis: usize) {
    let (outer, length, inner) = extents(shape, axis);
    for o in 0..outer {
        for i in 0..inner {
            let at = |k: usize| (o * length + k) * inner + i;
            let mean = (0..length).map(|k| values[at(k)]).sum::<f64>() / length as f64;
            for k in 0..length {
                values[at(k)] -= mean;
            }
        }
    }
}

fn slice(values: &[f64], shape: &[usize], axis: usize, index: usize) -> Vec<f64> {
    let (outer, length, inner) = extents(shape, axis);
    (0..outer)
        .flat_map(|o| {
            let start = (o * length + index) * inner;
            values[start..start + inner].iter().copied()
        })
        .collect()
}

/// Agreement of two partitions: 1 when they are the same up to names, about 0
/// for independent ones (Hubert and Arabie 1985).
#[must_use]
pub fn adjusted_rand_index(a: &[f64], b: &[f64]) -> f64 {
    use std::collections::BTreeMap;
    let mut cells: BTreeMap<(u64, u64), f64> = BTreeMap::new();
    let mut rows: BTreeMap<u64, f64> = BTreeMap::new();
    let mut columns: BTreeMap<u64, f64> = BTreeMap::new();
    for (a, b) in a.iter().zip(b) {
        *cells.entry((a.to_bits(), b.to_bits())).or_default() += 1.0;
        *rows.entry(a.to_bits()).or_default() += 1.0;
        *columns.entry(b.to_bits()).or_default() += 1.0;
    }
    let pairs = |n: f64| n * (n - 1.0) / 2.0;
    let total = pairs(a.len() as f64);
    let in_cells: f64 = cells.values().copied().map(pairs).sum();
    let in_rows: f64 = rows.values().copied().map(pairs).sum();
    let in_columns: f64 = columns.values().copied().map(pairs).sum();
    if total == 0.0 {
        return 1.0;
    }
    let expected = in_rows * in_columns / total;
    let most = (in_rows + in_columns) / 2.0;
    // Both partitions are trivial in the same way: they agree.
    if most == expected { 1.0 } else { (in_cells - expected) / (most - expected) }
}

#[cfg(test)]
mod tests;
