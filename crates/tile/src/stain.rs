//! Stain arithmetic: colour deconvolution and stain normalisation.
//!
//! [`hed`] separates hematoxylin, eosin and DAB by fixed vectors; [`macenko`]
//! estimates the two stains of an H&E image and moves them to a target's;
//! [`reinhard`] moves the colour statistics instead. All compute in double precision.

pub mod hed;
pub mod macenko;
pub mod reinhard;

use crate::error::Error;
use crate::tile::Tile;

type Matrix3 = [[f64; 3]; 3];

/// The product of a row vector and a matrix.
#[inline]
fn row_times(row: [f64; 3], matrix: &Matrix3) -> [f64; 3] {
    std::array::from_fn(|column| {
        row[0] * matrix[0][column] + row[1] * matrix[1][column] + row[2] * matrix[2][column]
    })
}

/// The inverse by cofactors; the matrices here are far from singular.
fn inverse(m: &Matrix3) -> Matrix3 {
    let cofactor = |row: usize, column: usize| {
        let (r1, r2) = ((row + 1) % 3, (row + 2) % 3);
        let (c1, c2) = ((column + 1) % 3, (column + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant = (0..3).map(|column| m[0][column] * cofactor(0, column)).sum::<f64>();
    std::array::from_fn(|row| std::array::from_fn(|column| cofactor(column, row) / determinant))
}

fn require_rgb<T>(tile: &Tile<T>, what: &'static str) -> Result<(), Error> {
    if tile.channels != 3 {
        return Err(Error::WrongChannels { what, expected: "3", found: tile.channels });
    }
    Ok(())
}

/// The percentile (0..100) with linear interpolation between order statistics, as
/// NumPy's default; sorts the values. 0 for no values.
pub(crate) fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    percentile_of_sorted(values, percent)
}

pub(crate) fn percentile_of_sorted(values: &[f64], percent: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let position = last as f64 * percent / 100.0;
    let lower = (position.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    values[lower] + (values[upper] - values[lower]) * (position - lower as f64)
}

#[cfg(test)]
mod tests;
