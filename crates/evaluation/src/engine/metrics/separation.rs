//! How well groups of points lie apart: silhouette, Calinski–Harabasz,
//! Davies–Bouldin, trustworthiness of a projection.
//!
//! Distances are Euclidean and computed by subtraction, not through inner products,
//! so that close points keep their precision. Pairwise figures cost O(N²·D) time and
//! a block of rows of memory.

use tch::{Kind, Tensor};

use crate::engine::error::{Result, invalid, labels_within, same_length, undefined};
use crate::engine::points::{self, rows_to_vec};

/// Rows whose distances are held at once.
const BLOCK: i64 = 256;

/// Distances of rows `start..start + length` of `points` to all rows, row-major.
fn distance_block(points: &Tensor, start: i64, length: i64) -> Result<Vec<f64>> {
    // Mode 2 forbids the inner-product shortcut.
    let block = Tensor::f_cdist(&points.f_narrow(0, start, length)?, points, 2.0, Some(2))?;
    rows_to_vec(&block)
}

fn blocks(count: i64) -> impl Iterator<Item = (i64, i64)> {
    (0..count).step_by(BLOCK as usize).map(move |start| (start, BLOCK.min(count - start)))
}

fn check(points: &Tensor, labels: &[usize]) -> Result<(Tensor, usize, Vec<usize>)> {
    let points = points::as_f64("the points", points)?;
    same_length("the labels", points.size()[0] as usize, labels.len())?;
    let classes = labels.iter().max().map_or(0, |&label| label + 1);
    labels_within(labels, classes)?;
    let mut sizes = vec![0; classes];
    labels.iter().for_each(|&label| sizes[label] += 1);
    let present = sizes.iter().filter(|&&size| size > 0).count();
    if present < 2 || present >= labels.len() {
        return Err(undefined(
            "a separation score",
            format!("it needs between 2 and {} groups, found {present}", labels.len().saturating_sub(1)),
        ));
    }
    Ok((points, classes, sizes))
}

/// Mean silhouette (Rousseeuw 1987), -1..1. `points` is `[N, D]`; a point alone in its
/// group scores 0.
///
/// # Errors
/// When shapes do not match, a value is not finite, or there are not 2..N-1 groups.
pub fn silhouette(points: &Tensor, labels: &[usize]) -> Result<f64> {
    let (points, classes, sizes) = check(points, labels)?;
    let count = labels.len();
    let mut sum = 0.0;
    for (start, length) in blocks(count as i64) {
        let block = distance_block(&points, start, length)?;
        for (offset, row) in block.chunks(count).enumerate() {
            let own = labels[start as usize + offset];
            if sizes[own] == 1 {
                continue;
            }
            let mut to_group = vec![0.0; classes];
            for (distance, &label) in row.iter().zip(labels) {
                to_group[label] += distance;
            }
            let within = to_group[own] / (sizes[own] - 1) as f64;
            let nearest = (0..classes)
                .filter(|&class| class != own && sizes[class] > 0)
                .map(|class| to_group[class] / sizes[class] as f64)
                .fold(f64::INFINITY, f64::min);
            let widest = within.max(nearest);
            if widest > 0.0 {
                sum += (nearest - within) / widest;
            }
        }
    }
    Ok(sum / count as f64)
}

/// Rows summed by group, then divided by the size of the group: `[classes, D]`.
fn centroids(points: &Tensor, labels: &[usize], sizes: &[usize]) -> Result<Vec<Vec<f64>>> {
    let width = points.size()[1] as usize;
    let rows = rows_to_vec(points)?;
    let mut sums = vec![vec![0.0; width]; sizes.len()];
    for (row, &label) in rows.chunks(width.max(1)).zip(labels) {
        sums[label].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    for (sum, &size) in sums.iter_mut().zip(sizes) {
        sum.iter_mut().for_each(|value| *value /= size.max(1) as f64);
    }
    Ok(sums)
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Ratio of the spread between groups to the spread within (Caliński & Harabasz 1974).
///
/// # Errors
/// As [`silhouette`].
pub fn calinski_harabasz(points: &Tensor, labels: &[usize]) -> Result<f64> {
    let (points, classes, sizes) = check(points, labels)?;
    let width = points.size()[1] as usize;
    let rows = rows_to_vec(&points)?;
    let centroids = centroids(&points, labels, &sizes)?;
    let overall = rows_to_vec(&points.f_mean_dim(0_i64, false, Kind::Double)?)?;
    let present = sizes.iter().filter(|&&size| size > 0).count() as f64;
    let between: f64 =
        (0..classes).map(|class| sizes[class] as f64 * squared_distance(&centroids[class], &overall)).sum();
    let within: f64 = rows
        .chunks(width.max(1))
        .zip(labels)
        .map(|(row, &label)| squared_distance(row, &centroids[label]))
        .sum();
    if within == 0.0 {
        return Ok(1.0);
    }
    Ok(between * (labels.len() as f64 - present) / (within * (present - 1.0)))
}

/// Mean similarity of each group to the one most like it (Davies & Bouldin 1979);
/// lower is better.
///
/// # Errors
/// As [`silhouette`].
pub fn davies_bouldin(points: &Tensor, labels: &[usize]) -> Result<f64> {
    let (points, classes, sizes) = check(points, labels)?;
    let width = points.size()[1] as usize;
    let rows = rows_to_vec(&points)?;
    let centroids = centroids(&points, labels, &sizes)?;
    let mut spread = vec![0.0; classes];
    for (row, &label) in rows.chunks(width.max(1)).zip(labels) {
        spread[label] += squared_distance(row, &centroids[label]).sqrt();
    }
    spread.iter_mut().zip(&sizes).for_each(|(spread, &size)| *spread /= size.max(1) as f64);
    let present: Vec<usize> = (0..classes).filter(|&class| sizes[class] > 0).collect();
    let worst = |a: usize| {
        present
            .iter()
            .filter(|&&b| b != a)
            .map(|&b| {
                let distance = squared_distance(&centroids[a], &centroids[b]).sqrt();
                if distance == 0.0 { 0.0 } else { (spread[a] + spread[b]) / distance }
            })
            .fold(0.0, f64::max)
    };
    Ok(present.iter().map(|&class| worst(class)).sum::<f64>() / present.len() as f64)
}

/// How far the `k` neighbours in a projection are neighbours in the original space
/// (Venna & Kaski 2001), 0..1.
///
/// # Errors
/// When shapes do not match, a value is not finite, or `k` is 0 or not below N/2.
pub fn trustworthiness(original: &Tensor, projected: &Tensor, k: usize) -> Result<f64> {
    let original = points::as_f64("the points", original)?;
    let projected = points::as_f64("the projection", projected)?;
    let count = original.size()[0] as usize;
    same_length("the projection", count, projected.size()[0] as usize)?;
    if k == 0 || 2 * k >= count {
        return Err(invalid("k", format!("trustworthiness of {count} points needs 1 <= k < {}", count / 2)));
    }
    let mut penalty = 0.0;
    for (start, length) in blocks(count as i64) {
        let far = distance_block(&original, start, length)?;
        let near = distance_block(&projected, start, length)?;
        for offset in 0..length as usize {
            let own = start as usize + offset;
            let ranked = |distances: &[f64]| {
                let row = &distances[offset * count..(offset + 1) * count];
                let mut order: Vec<usize> = (0..count).filter(|&index| index != own).collect();
                order.sort_by(|&a, &b| row[a].total_cmp(&row[b]).then(a.cmp(&b)));
                order
            };
            let mut rank = vec![0_usize; count];
            for (position, index) in ranked(&far).into_iter().enumerate() {
                rank[index] = position + 1;
            }
            for index in ranked(&near).into_iter().take(k) {
                penalty += rank[index].saturating_sub(k) as f64;
            }
        }
    }
    let (n, k) = (count as f64, k as f64);
    Ok(1.0 - penalty * 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_blobs() -> (Tensor, Vec<usize>) {
        let points = Tensor::from_slice(&[0.0_f64, 0.0, 0.0, 1.0, 10.0, 10.0, 10.0, 11.0]).reshape([4, 2]);
        (points, vec![0, 0, 1, 1])
    }

    #[test]
    fn groups_far_apart_score_well() {
        let (points, labels) = two_blobs();
        assert!(silhouette(&points, &labels).unwrap() > 0.9);
        assert!(calinski_harabasz(&points, &labels).unwrap() > 100.0);
        assert!(davies_bouldin(&points, &labels).unwrap() < 0.1);
    }

    #[test]
    fn one_group_or_nan_is_an_error() {
        let (points, _) = two_blobs();
        assert!(silhouette(&points, &[0, 0, 0, 0]).is_err());
        assert!(silhouette(&points, &[0, 1, 2, 3]).is_err());
        assert!(davies_bouldin(&(points * f64::NAN), &[0, 0, 1, 1]).is_err());
    }

    #[test]
    fn the_identity_projection_is_trustworthy() {
        let (points, _) = two_blobs();
        assert_eq!(trustworthiness(&points, &points, 1).unwrap(), 1.0);
        assert!(trustworthiness(&points, &points, 2).is_err());
    }
}
