//! How like two images are: mean errors, PSNR, SSIM and multi-scale SSIM (Wang et al.
//! 2003, 2004), and the Fréchet distance of two sets of activations (Heusel et al.
//! 2017).
//!
//! Images are `[N, C, H, W]` tensors of equal shape and any floating kind; figures are
//! computed in `f64` where the inputs are, and stay differentiable. The variants of
//! SSIM differ only in window, covariance and border; each is named after the library
//! whose numbers it gives.

use tch::{Kind, Tensor};

use crate::engine::error::{Result, invalid};
use crate::engine::points;

const K1: f64 = 0.01;
const K2: f64 = 0.03;
/// Weights of the five scales of MS-SSIM.
const SCALE_WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// The window and the border rule of SSIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SsimVariant {
    /// Gaussian of sigma 1.5 over 11×11, reflected border, mean of the whole map
    /// (torchmetrics).
    GaussianReflected,
    /// The same window on the interior only (scikit-image with `gaussian_weights` and
    /// population covariance).
    GaussianInterior,
    /// 7×7 box on the interior, sample covariance (scikit-image's default).
    UniformInterior,
}

fn check(prediction: &Tensor, target: &Tensor) -> Result<()> {
    let (a, b) = (prediction.size(), target.size());
    if a != b || a.len() != 4 || a.contains(&0) {
        return Err(invalid(
            "the images",
            format!("shapes {a:?} and {b:?}: two equal [N, C, H, W] are needed"),
        ));
    }
    if !bool::try_from(prediction.f_isfinite()?.f_all()?)? || !bool::try_from(target.f_isfinite()?.f_all()?)?
    {
        return Err(invalid("the images", "a pixel is not finite"));
    }
    Ok(())
}

fn check_range(data_range: f64) -> Result<()> {
    if data_range > 0.0 && data_range.is_finite() {
        return Ok(());
    }
    Err(invalid("data range", format!("{data_range} is not a finite number above 0")))
}

/// Mean absolute difference.
///
/// # Errors
/// When shapes differ or a pixel is not finite.
pub fn mean_absolute_error(prediction: &Tensor, target: &Tensor) -> Result<f64> {
    check(prediction, target)?;
    Ok(f64::try_from(prediction.f_sub(target)?.f_abs()?.f_mean(Kind::Double)?)?)
}

/// Mean squared difference.
///
/// # Errors
/// When shapes differ or a pixel is not finite.
pub fn mean_squared_error(prediction: &Tensor, target: &Tensor) -> Result<f64> {
    check(prediction, target)?;
    Ok(f64::try_from(prediction.f_sub(target)?.f_square()?.f_mean(Kind::Double)?)?)
}

/// Peak signal-to-noise ratio in dB; infinite for equal images.
///
/// # Errors
/// When shapes differ, a pixel is not finite, or the range is not above 0.
pub fn psnr(prediction: &Tensor, target: &Tensor, data_range: f64) -> Result<f64> {
    check_range(data_range)?;
    let error = mean_squared_error(prediction, target)?;
    Ok(10.0 * (data_range * data_range / error).log10())
}

/// Weights of one axis of the window, summing to 1.
fn window(variant: SsimVariant) -> Vec<f64> {
    match variant {
        SsimVariant::UniformInterior => vec![1.0 / 7.0; 7],
        SsimVariant::GaussianReflected | SsimVariant::GaussianInterior => {
            let weights: Vec<f64> = (-5..=5).map(|x| (-0.5 * (f64::from(x) / 1.5).powi(2)).exp()).collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(|weight| weight / sum).collect()
        }
    }
}

/// Windowed mean of each channel without border, as two one-dimensional convolutions.
fn filter(images: &Tensor, weights: &[f64]) -> Result<Tensor> {
    let size = images.size();
    let length = weights.len() as i64;
    let kernel = Tensor::from_slice(weights).f_to_kind(images.kind())?.f_to_device(images.device())?;
    let planes = images.f_reshape([size[0] * size[1], 1, size[2], size[3]])?;
    let convolve =
        |planes: &Tensor, kernel: Tensor| planes.f_conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
    let across = convolve(&planes, kernel.f_reshape([1, 1, 1, length])?)?;
    let both = convolve(&across, kernel.f_reshape([1, 1, length, 1])?)?;
    let out = both.size();
    Ok(both.f_reshape([size[0], size[1], out[2], out[3]])?)
}

/// The maps of similarity and of contrast sensitivity, `[N, C, H', W']`.
fn maps(
    prediction: &Tensor,
    target: &Tensor,
    data_range: f64,
    variant: SsimVariant,
) -> Result<(Tensor, Tensor)> {
    let weights = window(variant);
    let (length, size) = (weights.len() as i64, prediction.size());
    let radius = length / 2;
    if size[2] < length || size[3] < length {
        return Err(invalid(
            "the images",
            format!("{} x {} px is smaller than the window of {length} px", size[3], size[2]),
        ));
    }
    let bordered = |images: &Tensor| -> Result<Tensor> {
        match variant {
            SsimVariant::GaussianReflected => {
                Ok(images.f_reflection_pad2d([radius, radius, radius, radius])?)
            }
            _ => Ok(images.shallow_clone()),
        }
    };
    let (a, b) = (bordered(prediction)?, bordered(target)?);
    let mean_a = filter(&a, &weights)?;
    let mean_b = filter(&b, &weights)?;
    let (aa, bb, ab) = (mean_a.f_square()?, mean_b.f_square()?, mean_a.f_mul(&mean_b)?);
    let samples = (length * length) as f64;
    let correction = if variant == SsimVariant::UniformInterior { samples / (samples - 1.0) } else { 1.0 };
    let mut variance_a = (filter(&a.f_square()?, &weights)? - &aa) * correction;
    let mut variance_b = (filter(&b.f_square()?, &weights)? - &bb) * correction;
    if variant == SsimVariant::GaussianReflected {
        variance_a = variance_a.f_clamp_min(0.0)?;
        variance_b = variance_b.f_clamp_min(0.0)?;
    }
    let covariance = (filter(&a.f_mul(&b)?, &weights)? - &ab) * correction;
    let (c1, c2) = ((K1 * data_range).powi(2), (K2 * data_range).powi(2));
    let contrast = (covariance * 2.0 + c2) / (variance_a + variance_b + c2);
    let similarity = (ab * 2.0 + c1) / (aa + bb + c1) * &contrast;
    Ok((similarity, contrast))
}

/// Structural similarity of each image pair, `[N]`, at most 1; differentiable.
///
/// # Errors
/// When shapes differ, a pixel is not finite, an image is smaller than the window, or
/// the range is not above 0.
pub fn ssim(prediction: &Tensor, target: &Tensor, data_range: f64, variant: SsimVariant) -> Result<Tensor> {
    check(prediction, target)?;
    check_range(data_range)?;
    let (similarity, _) = maps(prediction, target, data_range, variant)?;
    Ok(similarity.f_mean_dim([1_i64, 2, 3].as_slice(), false, prediction.kind())?)
}

/// Structural similarity over five scales of each image pair, `[N]`, 0..1.
///
/// # Errors
/// As [`ssim`]; the image must be at least 176 px in both directions.
pub fn multi_scale_ssim(prediction: &Tensor, target: &Tensor, data_range: f64) -> Result<Tensor> {
    check(prediction, target)?;
    check_range(data_range)?;
    let (mut a, mut b) = (prediction.shallow_clone(), target.shallow_clone());
    let mut product: Option<Tensor> = None;
    for (scale, weight) in SCALE_WEIGHTS.into_iter().enumerate() {
        let (similarity, contrast) = maps(&a, &b, data_range, SsimVariant::GaussianReflected)?;
        let figure = if scale + 1 == SCALE_WEIGHTS.len() {
            similarity
        } else {
            let (height, width) = (contrast.size()[2], contrast.size()[3]);
            if height <= 10 || width <= 10 {
                return Err(invalid("the images", "five scales need at least 176 px in both directions"));
            }
            contrast.f_narrow(2, 5, height - 10)?.f_narrow(3, 5, width - 10)?
        };
        let figure = figure.f_mean_dim([1_i64, 2, 3].as_slice(), false, a.kind())?.f_relu()?;
        let factor = figure.f_pow_tensor_scalar(weight)?;
        product = Some(match product {
            None => factor,
            Some(product) => product.f_mul(&factor)?,
        });
        if scale + 1 < SCALE_WEIGHTS.len() {
            let pool =
                |images: &Tensor| images.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>);
            (a, b) = (pool(&a)?, pool(&b)?);
        }
    }
    product.ok_or_else(|| invalid("the scales", "there is none"))
}

/// Mean `[D]` and sample covariance `[D, D]` of activations `[N, D]`.
fn moments(activations: &Tensor) -> Result<(Tensor, Tensor)> {
    let activations = points::as_f64("the activations", activations)?;
    let count = activations.size()[0];
    if count < 2 {
        return Err(invalid("the activations", "a covariance needs at least two rows"));
    }
    let mean = activations.f_mean_dim(0_i64, false, Kind::Double)?;
    let centred = activations.f_sub(&mean)?;
    let covariance = centred.f_transpose(0, 1)?.f_matmul(&centred)? / (count - 1) as f64;
    Ok((mean, covariance))
}

/// Fréchet distance of the Gaussians fitted to two sets of activations `[N, D]` and
/// `[M, D]`: `‖μ₁-μ₂‖² + Tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)`; the FID when the activations are
/// Inception's pool3.
///
/// The trace of the square root is taken through the symmetric `Σ₁^½ Σ₂ Σ₁^½`, so
/// nothing complex can appear.
///
/// # Errors
/// When widths differ, a value is not finite, or a set has fewer than two rows.
pub fn frechet_distance(first: &Tensor, second: &Tensor) -> Result<f64> {
    let (mean_a, covariance_a) = moments(first)?;
    let (mean_b, covariance_b) = moments(second)?;
    if mean_a.size() != mean_b.size() {
        return Err(invalid(
            "the activations",
            format!("widths {:?} and {:?} differ", mean_a.size(), mean_b.size()),
        ));
    }
    let (values, vectors) = covariance_a.f_linalg_eigh("L")?;
    let root = vectors.f_mul(&values.f_clamp_min(0.0)?.f_sqrt()?)?.f_matmul(&vectors.f_transpose(0, 1)?)?;
    let product = root.f_matmul(&covariance_b)?.f_matmul(&root)?;
    let symmetric = (product.f_transpose(0, 1)? + &product) * 0.5;
    let cross = symmetric.f_linalg_eigvalsh("L")?.f_clamp_min(0.0)?.f_sqrt()?.f_sum(Kind::Double)?;
    let shift = mean_a.f_sub(&mean_b)?.f_square()?.f_sum(Kind::Double)?;
    let total = shift + covariance_a.f_trace()? + covariance_b.f_trace()? - cross * 2.0;
    Ok(f64::try_from(total)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn images(side: i64) -> Tensor {
        let count = 3 * side * side;
        (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.37).sin().reshape([1, 3, side, side]) * 0.5
            + 0.5
    }

    #[test]
    fn equal_images_are_alike() {
        let image = images(180);
        for variant in
            [SsimVariant::GaussianReflected, SsimVariant::GaussianInterior, SsimVariant::UniformInterior]
        {
            let value = f64::try_from(ssim(&image, &image, 1.0, variant).unwrap()).unwrap();
            assert!((value - 1.0).abs() < 1e-12);
        }
        assert!((f64::try_from(multi_scale_ssim(&image, &image, 1.0).unwrap()).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(psnr(&image, &image, 1.0).unwrap(), f64::INFINITY);
    }

    #[test]
    fn small_constant_and_nan_images_have_a_defined_result_or_an_error() {
        let variant = SsimVariant::GaussianReflected;
        assert!(ssim(&images(6), &images(6), 1.0, variant).is_err());
        assert!(multi_scale_ssim(&images(100), &images(100), 1.0).is_err());
        let constant = Tensor::ones([1, 3, 20, 20], (Kind::Double, Device::Cpu));
        assert!(f64::try_from(ssim(&constant, &(&constant * 0.0), 1.0, variant).unwrap()).unwrap() < 0.01);
        assert!(psnr(&(&constant * f64::NAN), &constant, 1.0).is_err());
        assert!(psnr(&constant, &constant, 0.0).is_err());
        assert!(mean_absolute_error(&constant, &images(8)).is_err());
    }

    #[test]
    fn a_shift_alone_costs_its_square() {
        let points = images(12).reshape([-1, 6]);
        // The square root turns a rounding error of 1e-16 in a zero eigenvalue into 1e-8.
        assert!(frechet_distance(&points, &points).unwrap().abs() < 1e-6);
        let distance = frechet_distance(&points, &(&points + 2.0)).unwrap();
        assert!((distance - 24.0).abs() < 1e-6, "{distance}");
        assert!(frechet_distance(&points, &points.narrow(1, 0, 3)).is_err());
    }
}
