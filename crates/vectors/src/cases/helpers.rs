//! Conversions that several modules need.

use anyhow::ensure;
use tch::{Kind, Tensor};

/// All elements in row-major order.
pub fn numbers(tensor: &Tensor) -> anyhow::Result<Vec<f64>> {
    Ok(Vec::<f64>::try_from(tensor.f_to_kind(Kind::Double)?.f_contiguous()?.f_reshape([-1])?)?)
}

/// All elements as whole numbers.
pub fn integers(tensor: &Tensor) -> anyhow::Result<Vec<i64>> {
    Ok(Vec::<i64>::try_from(tensor.f_to_kind(Kind::Int64)?.f_contiguous()?.f_reshape([-1])?)?)
}

/// All elements as indices; a negative one is an error.
pub fn indices(tensor: &Tensor) -> anyhow::Result<Vec<usize>> {
    let values = integers(tensor)?;
    ensure!(values.iter().all(|&value| value >= 0), "an index is negative");
    Ok(values.into_iter().map(|value| value as usize).collect())
}

/// A tensor `[N]` of indices.
pub fn from_indices(values: &[usize]) -> Tensor {
    Tensor::from_slice(&values.iter().map(|&value| value as i64).collect::<Vec<_>>())
}
