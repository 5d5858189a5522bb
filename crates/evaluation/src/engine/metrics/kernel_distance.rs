//! Kernel distance of two sets of activations (Bińkowski et al. 2018, "KID").

use counterstain_tile::random::Stream;
use tch::{Kind, Tensor};

use crate::engine::error::{Result, invalid};
use crate::engine::points;

/// Rows of a subset, and how many are drawn where a set has more.
const SUBSET: usize = 1000;
const SUBSETS: u64 = 100;

/// Unbiased squared maximum mean discrepancy of `[N, D]` and `[M, D]` under the kernel `(x·y / D + 1)³`. It is near 0
/// for sets of one distribution, and may be slightly negative.
///
/// # Errors
/// When widths differ, a value is not finite, or a set has fewer than two rows.
pub fn squared_discrepancy(first: &Tensor, second: &Tensor) -> Result<f64> {
    let (first, second) = (checked(first)?, checked(second)?);
    let width = first.size()[1];
    if second.size()[1] != width {
        return Err(invalid("the activations", format!("widths {width} and {} differ", second.size()[1])));
    }
    let kernel = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
        let product = a.f_matmul(&b.f_transpose(0, 1)?)?;
        let base = product.f_div_scalar(width as f64)?.f_add_scalar(1.0)?;
        // Two products cost a tenth of a general power.
        Ok(base.f_square()?.f_mul(&base)?)
    };
    // The diagonal of a set with itself would make the estimate biased.
    let within = |points: &Tensor| -> Result<f64> {
        let count = points.size()[0] as f64;
        let kernel = kernel(points, points)?;
        let off_diagonal = kernel.f_sum(Kind::Double)? - kernel.f_trace()?;
        Ok(f64::try_from(off_diagonal)? / (count * (count - 1.0)))
    };
    let across = f64::try_from(kernel(&first, &second)?.f_mean(Kind::Double)?)?;
    Ok(within(&first)? + within(&second)? - 2.0 * across)
}

/// The kernel distance: [`squared_discrepancy`] of all rows where neither set has more than 1,000, else its mean over
/// 100 random subsets of 1,000 rows of each.
///
/// # Errors
/// As [`squared_discrepancy`].
pub fn kernel_distance(first: &Tensor, second: &Tensor, seed: u64) -> Result<f64> {
    let counts = [first, second].map(|points| points.size().first().map_or(0, |&rows| rows as usize));
    if counts.iter().all(|&count| count <= SUBSET) {
        return squared_discrepancy(first, second);
    }
    let mut sum = 0.0;
    for subset in 0..SUBSETS {
        let draw = |points: &Tensor, side: u64, count: usize| {
            let mut order = Stream::new(seed, "kernel distance", &[subset, side]).permutation(count);
            order.truncate(SUBSET);
            points::select(points, &order)
        };
        sum += squared_discrepancy(&draw(first, 0, counts[0])?, &draw(second, 1, counts[1])?)?;
    }
    Ok(sum / SUBSETS as f64)
}

fn checked(points: &Tensor) -> Result<Tensor> {
    let points = points::as_f64("the activations", points)?;
    if points.size()[0] < 2 {
        return Err(invalid("the activations", "a kernel distance needs at least two rows"));
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn points(rows: &[[f64; 2]]) -> Tensor {
        let flat: Vec<f64> = rows.iter().flatten().copied().collect();
        Tensor::from_slice(&flat).view([rows.len() as i64, 2])
    }

    #[test]
    fn two_points_each_have_the_value_of_the_formula() {
        // k(a,b) = 1, k(c,d) = (1/2 + 1)³, all four cross terms by hand: 1, 1, 1.5³ and 1.
        let first = points(&[[1.0, 0.0], [0.0, 1.0]]);
        let second = points(&[[1.0, 0.0], [1.0, 0.0]]);
        let across = (1.5_f64.powi(3) * 2.0 + 1.0 * 2.0) / 4.0;
        let expected = 1.0 + 1.5_f64.powi(3) - 2.0 * across;
        assert!((squared_discrepancy(&first, &second).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn samples_of_one_distribution_are_near_and_others_far() {
        let draw = |name: &str, count: i64, shift: f64| {
            let mut stream = Stream::new(5, name, &[]);
            let values: Vec<f64> = (0..count * 4).map(|_| stream.normal_f64() + shift).collect();
            Tensor::from_slice(&values).view([count, 4]).to_device(Device::Cpu)
        };
        let near = kernel_distance(&draw("a", 1200, 0.0), &draw("b", 900, 0.0), 1).unwrap();
        let far = kernel_distance(&draw("a", 1200, 0.0), &draw("c", 900, 1.0), 1).unwrap();
        assert!(near.abs() < 0.05 && far > 1.0, "{near} {far}");
        assert!(kernel_distance(&draw("a", 1, 0.0), &draw("b", 9, 0.0), 1).is_err());
    }
}
