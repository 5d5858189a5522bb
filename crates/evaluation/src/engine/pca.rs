//! Principal components, from the eigenvectors of the smaller of the covariance and
//! the Gram matrix.
//!
//! A component is defined up to its sign; here its largest loading is positive, so
//! that pictures do not flip between runs.

use tch::{Kind, Tensor};

use super::error::{Result, invalid, same_length};
use super::points::{self, rows_to_vec};

/// Fitted principal components.
#[derive(Debug)]
pub struct Pca {
    /// `[components, D]`, orthonormal rows by falling variance.
    pub components: Tensor,
    /// Variance along each component (N - 1 in the denominator).
    pub explained_variance: Vec<f64>,
    /// Share of the total variance of each component.
    pub explained_variance_ratio: Vec<f64>,
    /// Mean of each column, `[D]`.
    pub mean: Tensor,
}

impl Pca {
    /// Fits `components` components to `points` `[N, D]`.
    ///
    /// # Errors
    /// When a value is not finite, or `components` is not in 1..=min(N - 1, D).
    pub fn fit(points: &Tensor, components: usize) -> Result<Self> {
        let points = points::as_f64("the representations", points)?;
        let (count, width) = (points.size()[0], points.size()[1]);
        let most = (count - 1).min(width) as usize;
        if components == 0 || components > most {
            return Err(invalid(
                "components",
                format!("{components} components of a {count} x {width} matrix: at most {most}"),
            ));
        }
        let mean = points.f_mean_dim(0_i64, false, Kind::Double)?;
        let centred = points.f_sub(&mean)?;
        let freedom = (count - 1) as f64;
        let total = f64::try_from(centred.f_mul(&centred)?.f_sum(Kind::Double)?)? / freedom;
        let wide = width > count;
        let product = if wide {
            centred.f_matmul(&centred.f_transpose(0, 1)?)?
        } else {
            centred.f_transpose(0, 1)?.f_matmul(&centred)?
        };
        // Eigenvalues rise; the last ones are wanted, from the last back.
        let (values, vectors) = product.f_linalg_eigh("L")?;
        let values = values.f_flip([0])?.f_narrow(0, 0, components as i64)?.f_clamp_min(0.0)?;
        let vectors = vectors.f_flip([1])?.f_narrow(1, 0, components as i64)?;
        let rows =
            if wide { centred.f_transpose(0, 1)?.f_matmul(&vectors)? } else { vectors }.f_transpose(0, 1)?;
        let norms = rows
            .f_mul(&rows)?
            .f_sum_dim_intlist(1_i64, true, Kind::Double)?
            .f_sqrt()?
            .f_clamp_min(f64::MIN_POSITIVE)?;
        let rows = rows.f_div(&norms)?;
        let largest = rows.f_abs()?.f_argmax(1, true)?;
        let signs = rows.f_gather(1, &largest, false)?.f_sign()?;
        let components = rows.f_mul(&signs)?.f_contiguous()?;
        let explained_variance: Vec<f64> =
            rows_to_vec(&values)?.into_iter().map(|value| value / freedom).collect();
        let explained_variance_ratio =
            explained_variance.iter().map(|value| if total > 0.0 { value / total } else { 0.0 }).collect();
        Ok(Self { components, explained_variance, explained_variance_ratio, mean })
    }

    /// Coordinates along the components, `[N, components]`.
    ///
    /// # Errors
    /// When the width differs or a value is not finite.
    pub fn transform(&self, points: &Tensor) -> Result<Tensor> {
        let points = points::as_f64("the representations", points)?;
        same_length("a representation", self.mean.size()[0] as usize, points.size()[1] as usize)?;
        Ok(points.f_sub(&self.mean)?.f_matmul(&self.components.f_transpose(0, 1)?)?)
    }

    /// As [`Pca::transform`], each coordinate divided by its standard deviation.
    ///
    /// # Errors
    /// As [`Pca::transform`].
    pub fn transform_whitened(&self, points: &Tensor) -> Result<Tensor> {
        let scale: Vec<f64> =
            self.explained_variance.iter().map(|value| value.sqrt().max(f64::EPSILON)).collect();
        Ok(self.transform(points)?.f_div(&Tensor::from_slice(&scale))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::points::from_rows;
    use counterstain_tile::random::Stream;

    fn points(count: usize, width: usize) -> Tensor {
        let mut stream = Stream::new(2, "test points", &[]);
        let values: Vec<f64> =
            (0..count * width).map(|i| stream.normal_f64() * (1.0 + (i % width) as f64)).collect();
        from_rows(&values, count, width).unwrap()
    }

    #[test]
    fn both_routes_agree_on_a_matrix_and_span_orthonormal_axes() {
        for (count, width) in [(30, 6), (6, 30)] {
            let points = points(count, width);
            let pca = Pca::fit(&points, 4).unwrap();
            let gram = rows_to_vec(&pca.components.matmul(&pca.components.transpose(0, 1))).unwrap();
            for (index, value) in gram.iter().enumerate() {
                let expected = if index % 5 == 0 { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 1e-10);
            }
            let scores = pca.transform(&points).unwrap();
            let variance = rows_to_vec(&scores.var_dim(0_i64, true, false)).unwrap();
            for (measured, stated) in variance.iter().zip(&pca.explained_variance) {
                assert!((measured - stated).abs() < 1e-9 * stated);
            }
        }
    }

    #[test]
    fn constant_points_have_no_variance_and_no_nan() {
        let pca = Pca::fit(&Tensor::ones([4, 3], (Kind::Double, tch::Device::Cpu)), 2).unwrap();
        assert_eq!(pca.explained_variance_ratio, vec![0.0, 0.0]);
        assert!(Pca::fit(&points(4, 3), 4).is_err());
    }
}
