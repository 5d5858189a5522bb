//! Columns to zero mean and unit variance, as scikit-learn's `StandardScaler`.

use tch::{Kind, Tensor};

use super::error::{Result, same_length};
use super::points::{self, rows_to_vec};

/// Mean and standard deviation of each column of a train split.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardiser {
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Standard deviation (N in the denominator); 1 for a constant column.
    pub scale: Vec<f64>,
}

impl Standardiser {
    /// Measures the columns of `points` `[N, D]`.
    ///
    /// # Errors
    /// When the shape is not `[N, D]` or a value is not finite.
    pub fn fit(points: &Tensor) -> Result<Self> {
        let points = points::as_f64("the representations", points)?;
        let count = points.size()[0] as f64;
        let mean = points.f_mean_dim(0_i64, true, Kind::Double)?;
        let centred = points.f_sub(&mean)?;
        let variance = centred.f_mul(&centred)?.f_mean_dim(0_i64, false, Kind::Double)?;
        let mean = rows_to_vec(&mean)?;
        let scale = rows_to_vec(&variance)?
            .into_iter()
            .zip(&mean)
            .map(|(variance, mean)| {
                // What rounding alone can leave of a constant column counts as zero.
                let rounding = count * f64::EPSILON * variance + (count * mean * f64::EPSILON).powi(2);
                if variance <= rounding { 1.0 } else { variance.sqrt() }
            })
            .collect();
        Ok(Self { mean, scale })
    }

    /// `(points - mean) / scale` in `f64`, `[N, D]`.
    ///
    /// # Errors
    /// When the width differs or a value is not finite.
    pub fn apply(&self, points: &Tensor) -> Result<Tensor> {
        let points = points::as_f64("the representations", points)?;
        same_length("a representation", self.mean.len(), points.size()[1] as usize)?;
        Ok(points.f_sub(&Tensor::from_slice(&self.mean))?.f_div(&Tensor::from_slice(&self.scale))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_column_becomes_zero() {
        let points = Tensor::from_slice(&[0.1_f64, 1.0, 0.1, 3.0, 0.1, 5.0]).reshape([3, 2]);
        let standardiser = Standardiser::fit(&points).unwrap();
        assert_eq!(standardiser.scale[0], 1.0);
        let applied = rows_to_vec(&standardiser.apply(&points).unwrap()).unwrap();
        assert!(applied[0].abs() < 1e-15 && applied[3].abs() < 1e-15);
        assert!((applied[5] - 1.5_f64.sqrt()).abs() < 1e-12);
        assert!(standardiser.apply(&Tensor::from_slice(&[1.0, 2.0, 3.0]).reshape([1, 3])).is_err());
    }
}
