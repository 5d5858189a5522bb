//! The two stains of an H&E image, estimated from it, and normalisation to a target.
//!
//! Macenko et al., "A method for normalizing histology slides for quantitative
//! analysis", ISBI 2009; with the parameters and roundings of torchstain's
//! NumPy backend (values are truncated to 8 bits).

use super::{percentile, percentile_of_sorted, require_rgb};
use crate::error::Error;
use crate::tile::Tile;

/// The constants of the method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// Intensity of unstained light.
    pub transmitted: f64,
    /// Percentile of the angles taken as the extreme stain directions.
    pub alpha: f64,
    /// Optical density below which (in any channel) a pixel is background.
    pub beta: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { transmitted: 240.0, alpha: 1.0, beta: 0.15 }
    }
}

/// Two stains and how strong they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stains {
    /// Rows red, green, blue; columns hematoxylin, eosin: optical densities of unit length.
    pub vectors: [[f64; 2]; 3],
    /// The 99th percentile of each stain's concentration.
    pub strongest: [f64; 2],
}

impl Stains {
    /// The reference of the method's published implementation.
    pub const REFERENCE: Self =
        Self { vectors: [[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]], strongest: [1.9705, 1.0308] };
}

/// A normalised image and its two stains alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalized {
    /// The image in the target's stains.
    pub image: Tile<u8>,
    /// Its hematoxylin alone.
    pub hematoxylin: Tile<u8>,
    /// Its eosin alone.
    pub eosin: Tile<u8>,
}

/// Estimates the stains of an image.
///
/// Fails unless it has three channels, and for an image that shows no two stains
/// (background only, or one colour).
pub fn estimate(tile: &Tile<u8>, parameters: &Parameters) -> Result<Stains, Error> {
    Ok(estimate_with_concentrations(tile, parameters)?.0)
}

fn estimate_with_concentrations(
    tile: &Tile<u8>,
    parameters: &Parameters,
) -> Result<(Stains, [Vec<f64>; 2]), Error> {
    require_rgb(tile, "stain estimation")?;
    let density: Vec<f64> =
        (0..=255).map(|value| -libm::log((f64::from(value) + 1.0) / parameters.transmitted)).collect();
    let densities: Vec<[f64; 3]> = tile
        .data
        .chunks_exact(3)
        .map(|pixel| std::array::from_fn(|channel| density[usize::from(pixel[channel])]))
        .collect();
    let stained: Vec<[f64; 3]> = densities
        .iter()
        .copied()
        .filter(|pixel| pixel.iter().all(|&value| value >= parameters.beta))
        .collect();
    if stained.len() < 2 {
        return Err(Error::NoStains { reason: "the image holds nothing but background" });
    }
    let vectors = stain_vectors(&stained, parameters.alpha);
    let concentrations = concentrations(&densities, &vectors)
        .ok_or(Error::NoStains { reason: "all stained pixels have the same colour" })?;
    let strongest = [0, 1].map(|stain| percentile(&mut concentrations[stain].clone(), 99.0));
    Ok((Stains { vectors, strongest }, concentrations))
}

/// The extreme directions in the plane of the two largest principal axes.
fn stain_vectors(stained: &[[f64; 3]], alpha: f64) -> [[f64; 2]; 3] {
    let [first, second] = principal_plane(stained);
    let dot = |a: &[f64; 3], b: &[f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let mut angles: Vec<f64> =
        stained.iter().map(|pixel| libm::atan2(dot(pixel, &first), dot(pixel, &second))).collect();
    angles.sort_unstable_by(f64::total_cmp);
    let direction = |angle: f64| -> [f64; 3] {
        std::array::from_fn(|channel| second[channel] * libm::cos(angle) + first[channel] * libm::sin(angle))
    };
    let low = direction(percentile_of_sorted(&angles, alpha));
    let high = direction(percentile_of_sorted(&angles, 100.0 - alpha));
    // Hematoxylin absorbs more red than eosin does.
    let (hematoxylin, eosin) = if low[0] > high[0] { (low, high) } else { (high, low) };
    std::array::from_fn(|channel| [hematoxylin[channel], eosin[channel]])
}

/// The eigenvectors of the covariance with the largest and second largest
/// eigenvalue; the first is flipped to point to more density.
fn principal_plane(points: &[[f64; 3]]) -> [[f64; 3]; 2] {
    let count = points.len() as f64;
    let means: [f64; 3] =
        std::array::from_fn(|channel| points.iter().map(|point| point[channel]).sum::<f64>() / count);
    let covariance: [[f64; 3]; 3] = std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let sum: f64 =
                points.iter().map(|point| (point[row] - means[row]) * (point[column] - means[column])).sum();
            sum / (count - 1.0)
        })
    });
    let (values, mut vectors) = symmetric_eigen(covariance);
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    if vectors[order[0]].iter().sum::<f64>() < 0.0 {
        vectors[order[0]] = vectors[order[0]].map(|value| -value);
    }
    [vectors[order[0]], vectors[order[1]]]
}

/// Eigenvalues and eigenvectors (one per row) by cyclic Jacobi rotations.
fn symmetric_eigen(mut matrix: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for _sweep in 0..30 {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if matrix[p][q] == 0.0 {
                continue;
            }
            let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
            let tangent = theta.signum() / (theta.abs() + libm::sqrt(theta * theta + 1.0));
            let cosine = 1.0 / libm::sqrt(tangent * tangent + 1.0);
            let sine = tangent * cosine;
            for row in &mut matrix {
                (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
            }
            for column in 0..3 {
                let (first, second) = (matrix[p][column], matrix[q][column]);
                matrix[p][column] = cosine * first - sine * second;
                matrix[q][column] = sine * first + cosine * second;
                let (first, second) = (vectors[p][column], vectors[q][column]);
                vectors[p][column] = cosine * first - sine * second;
                vectors[q][column] = sine * first + cosine * second;
            }
        }
    }
    ([matrix[0][0], matrix[1][1], matrix[2][2]], vectors)
}

/// Least-squares concentrations of the two stains; `None` when these coincide.
fn concentrations(densities: &[[f64; 3]], vectors: &[[f64; 2]; 3]) -> Option<[Vec<f64>; 2]> {
    let gram = |a: usize, b: usize| vectors.iter().map(|row| row[a] * row[b]).sum::<f64>();
    let (hh, he, ee) = (gram(0, 0), gram(0, 1), gram(1, 1));
    let determinant = hh * ee - he * he;
    if determinant.is_nan() || determinant <= 1e-9 * hh * ee {
        return None;
    }
    let project = |pixel: &[f64; 3], stain: usize| {
        vectors.iter().zip(pixel).map(|(row, value)| row[stain] * value).sum::<f64>()
    };
    let solve = |pixel: &[f64; 3]| {
        let (h, e) = (project(pixel, 0), project(pixel, 1));
        ((ee * h - he * e) / determinant, (hh * e - he * h) / determinant)
    };
    let (hematoxylin, eosin) = densities.iter().map(solve).unzip();
    Some([hematoxylin, eosin])
}

/// Moves an image's stains to the target's vectors and strengths.
///
/// Errors as [`estimate`]; an image in which one stain does not occur has none to move.
pub fn normalize(tile: &Tile<u8>, target: &Stains, parameters: &Parameters) -> Result<Normalized, Error> {
    let (own, concentrations) = estimate_with_concentrations(tile, parameters)?;
    if own.strongest.iter().any(|&strongest| strongest <= 0.0) {
        return Err(Error::NoStains { reason: "one of the two stains does not occur" });
    }
    let factors = [0, 1].map(|stain| target.strongest[stain] / own.strongest[stain]);
    let [h_factor, e_factor] = factors;
    let paint = |use_h: f64, use_e: f64| {
        let mut data = Vec::with_capacity(tile.data.len());
        for (&h, &e) in concentrations[0].iter().zip(&concentrations[1]) {
            let (h, e) = (h * h_factor * use_h, e * e_factor * use_e);
            data.extend(target.vectors.map(|[row_h, row_e]| {
                // The cast truncates and saturates as the reference does.
                (parameters.transmitted * libm::exp(-(row_h * h + row_e * e))) as u8
            }));
        }
        Tile { data, ..*tile }
    };
    Ok(Normalized { image: paint(1.0, 1.0), hematoxylin: paint(1.0, 0.0), eosin: paint(0.0, 1.0) })
}
