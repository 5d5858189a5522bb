//! Sets of points as `f64` tensors `[N, D]` on the CPU: entry checks and conversions.

use tch::{Device, Kind, Tensor};

use super::error::{Error, Result, invalid};

/// The tensor as finite `f64` rows on the CPU.
///
/// # Errors
/// When it is not `[N, D]` with N and D at least 1, or holds NaN or infinity.
pub fn as_f64(what: &'static str, points: &Tensor) -> Result<Tensor> {
    let size = points.size();
    if size.len() != 2 || size.contains(&0) {
        return Err(invalid(what, format!("the shape is {size:?} where [N, D] with N, D >= 1 is needed")));
    }
    let points = points.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_contiguous()?;
    if bool::try_from(points.f_isfinite()?.f_all()?)? {
        return Ok(points);
    }
    let flat = points.f_isfinite()?.f_logical_not()?.f_reshape([-1])?.f_to_kind(Kind::Int)?;
    let index = i64::try_from(flat.f_argmax(None, false)?)? as usize;
    Err(Error::NotFinite { what, index })
}

/// All elements in row-major order.
///
/// # Errors
/// When libtorch cannot convert them.
pub fn rows_to_vec(tensor: &Tensor) -> Result<Vec<f64>> {
    let flat = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_contiguous()?.f_reshape([-1])?;
    Ok(Vec::<f64>::try_from(flat)?)
}

/// All elements as indices.
///
/// # Errors
/// When libtorch cannot convert them.
pub fn indices_to_vec(tensor: &Tensor) -> Result<Vec<usize>> {
    let flat = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Int64)?.f_contiguous()?.f_reshape([-1])?;
    Ok(Vec::<i64>::try_from(flat)?.into_iter().map(|value| value as usize).collect())
}

/// A tensor `[rows, columns]` of the values.
///
/// # Errors
/// When the number of values does not fit.
pub fn from_rows(values: &[f64], rows: usize, columns: usize) -> Result<Tensor> {
    Ok(Tensor::from_slice(values).f_reshape([rows as i64, columns as i64])?)
}

/// The rows at `indices`, in that order.
///
/// # Errors
/// When an index is out of range.
pub fn select(points: &Tensor, indices: &[usize]) -> Result<Tensor> {
    let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    Ok(points.f_index_select(0, &Tensor::from_slice(&indices))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_found_and_named_by_its_place() {
        let points = Tensor::from_slice(&[1.0_f32, 2.0, f32::NAN, 4.0]).reshape([2, 2]);
        let error = as_f64("the representations", &points).unwrap_err();
        assert!(matches!(error, Error::NotFinite { index: 2, .. }), "{error}");
        assert!(as_f64("the points", &Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))).is_err());
    }
}
