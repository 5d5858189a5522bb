//! The fuzzy simplicial set: nearest neighbours to memberships to their union.

use crate::engine::error::{Result, invalid};
use crate::engine::knn::Neighbours;

const TOLERANCE: f64 = 1e-5;
const LEAST_SHARE_OF_MEAN: f64 = 1e-3;
const BISECTIONS: u32 = 64;

/// Bandwidth and offset of each point.
#[derive(Debug, Clone, PartialEq)]
pub struct Smoothed {
    /// Scale of the exponential of each point.
    pub sigmas: Vec<f64>,
    /// Distance to the nearest other neighbour of each point.
    pub rhos: Vec<f64>,
}

/// A symmetric sparse matrix of memberships, by row, then by column.
#[derive(Debug, Clone, PartialEq)]
pub struct FuzzyGraph {
    /// Number of points.
    pub points: usize,
    /// (row, column, membership in 0..1], membership above 0.
    pub edges: Vec<(usize, usize, f64)>,
}

/// Finds for each point the sigma with which the memberships of its neighbours sum to
/// `log2(k)`. Neighbour 0 is the point itself.
///
/// # Errors
/// When `connectivity` is negative or not finite, or there are fewer than two
/// neighbours.
pub fn smooth_distances(neighbours: &Neighbours, connectivity: f64) -> Result<Smoothed> {
    let k = neighbours.k;
    if k < 2 {
        return Err(invalid("neighbours", "UMAP needs at least two, the point itself included"));
    }
    if !(connectivity >= 0.0 && connectivity.is_finite()) {
        return Err(invalid(
            "local connectivity",
            format!("{connectivity} is not a finite number from 0 up"),
        ));
    }
    let target = (k as f64).log2();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mean_of_all = mean(&neighbours.distances);
    let mut smoothed = Smoothed { sigmas: Vec::new(), rhos: Vec::new() };
    for distances in neighbours.distances.chunks(k) {
        let rho = offset(distances, connectivity);
        let sigma = bandwidth(&distances[1..], rho, target);
        let floor = LEAST_SHARE_OF_MEAN * if rho > 0.0 { mean(distances) } else { mean_of_all };
        smoothed.sigmas.push(sigma.max(floor));
        smoothed.rhos.push(rho);
    }
    Ok(smoothed)
}

/// The distance at which `connectivity` neighbours are fully connected.
fn offset(distances: &[f64], connectivity: f64) -> f64 {
    let apart: Vec<f64> = distances.iter().copied().filter(|&distance| distance > 0.0).collect();
    if apart.is_empty() {
        return 0.0;
    }
    if (apart.len() as f64) < connectivity {
        return apart.iter().copied().fold(0.0, f64::max);
    }
    let index = connectivity.floor() as usize;
    let rest = connectivity - connectivity.floor();
    if index == 0 {
        return rest * apart[0];
    }
    match apart.get(index) {
        Some(next) if rest > TOLERANCE => apart[index - 1] + rest * (next - apart[index - 1]),
        _ => apart[index - 1],
    }
}

fn bandwidth(distances: &[f64], rho: f64, target: f64) -> f64 {
    let (mut low, mut high, mut middle) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..BISECTIONS {
        let sum: f64 = distances
            .iter()
            .map(|distance| if *distance > rho { (-(distance - rho) / middle).exp() } else { 1.0 })
            .sum();
        if (sum - target).abs() < TOLERANCE {
            break;
        }
        if sum > target {
            high = middle;
            middle = (low + high) / 2.0;
        } else {
            low = middle;
            middle = if high.is_infinite() { middle * 2.0 } else { (low + high) / 2.0 };
        }
    }
    middle
}

/// The fuzzy union of all neighbourhoods: `mix·(A + Aᵀ - A∘Aᵀ) + (1 - mix)·A∘Aᵀ`.
///
/// # Errors
/// As [`smooth_distances`]; also when `mix` is outside 0..1.
pub fn fuzzy_graph(neighbours: &Neighbours, connectivity: f64, mix: f64) -> Result<FuzzyGraph> {
    if !(0.0..=1.0).contains(&mix) {
        return Err(invalid("set operation mix", format!("{mix} is outside 0..1")));
    }
    let smoothed = smooth_distances(neighbours, connectivity)?;
    let k = neighbours.k;
    let points = neighbours.indices.len() / k;
    let mut directed = std::collections::BTreeMap::new();
    for point in 0..points {
        let (rho, sigma) = (smoothed.rhos[point], smoothed.sigmas[point]);
        for slot in point * k..(point + 1) * k {
            let (other, distance) = (neighbours.indices[slot], neighbours.distances[slot]);
            if other != point {
                let beyond = distance - rho;
                let membership = if beyond <= 0.0 || sigma == 0.0 { 1.0 } else { (-beyond / sigma).exp() };
                directed.insert((point, other), membership);
            }
        }
    }
    let mut united = std::collections::BTreeMap::new();
    for (&(row, column), &there) in &directed {
        let back = directed.get(&(column, row)).copied().unwrap_or(0.0);
        let both = there * back;
        let membership = mix * (there + back - both) + (1.0 - mix) * both;
        if membership > 0.0 {
            united.insert((row, column), membership);
            united.insert((column, row), membership);
        }
    }
    let edges = united.into_iter().map(|((row, column), membership)| (row, column, membership)).collect();
    Ok(FuzzyGraph { points, edges })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coinciding_points_make_a_defined_graph() {
        let neighbours =
            Neighbours { k: 3, distances: vec![0.0; 9], indices: vec![0, 1, 2, 1, 0, 2, 2, 0, 1] };
        let graph = fuzzy_graph(&neighbours, 1.0, 1.0).unwrap();
        assert_eq!(graph.edges.len(), 6);
        assert!(graph.edges.iter().all(|edge| edge.2 == 1.0));
    }

    #[test]
    fn bad_parameters_are_errors() {
        let neighbours = Neighbours { k: 1, distances: vec![0.0], indices: vec![0] };
        assert!(smooth_distances(&neighbours, 1.0).is_err());
        let neighbours = Neighbours { k: 2, distances: vec![0.0, 1.0, 0.0, 1.0], indices: vec![0, 1, 1, 0] };
        assert!(smooth_distances(&neighbours, f64::NAN).is_err());
        assert!(fuzzy_graph(&neighbours, 1.0, 2.0).is_err());
    }
}
