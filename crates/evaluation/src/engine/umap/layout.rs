//! The layout: stochastic descent on the cross-entropy between the fuzzy graph and the
//! curve, with negative samples.
//!
//! Points move one edge at a time in a fixed order; only the negative samples are
//! drawn, from (seed, epoch). One thread, so the same input gives the same bits.

use counterstain_tile::random::Stream;
use tch::Tensor;

use super::{Curve, fit_curve, fuzzy_graph};
use crate::engine::error::{Result, invalid};
use crate::engine::knn::{Distance, neighbours};
use crate::engine::pca::Pca;
use crate::engine::points::{self, from_rows, rows_to_vec};

/// How a layout is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UmapConfig {
    /// Neighbours of each point, itself included; at least 2.
    pub neighbours: usize,
    /// Least distance between points of the layout.
    pub min_dist: f64,
    /// Scale of the layout.
    pub spread: f64,
    /// Passes over the edges; 0 means 500 up to 10,000 points, 200 above.
    pub epochs: usize,
    /// Negative samples for each edge.
    pub negatives: u32,
    /// How distances between representations are measured.
    pub distance: Distance,
    /// Seed of the starting noise and of the negative samples.
    pub seed: u64,
}

impl Default for UmapConfig {
    /// 15 neighbours, `min_dist` 0.1, Euclidean.
    fn default() -> Self {
        Self {
            neighbours: 15,
            min_dist: 0.1,
            spread: 1.0,
            epochs: 0,
            negatives: 5,
            distance: Distance::Euclidean,
            seed: 0,
        }
    }
}

/// No single pull or push moves a coordinate farther.
const LARGEST_MOVE: f64 = 4.0;

/// Lays `points` `[N, D]` out in the plane: `[N, 2]`.
///
/// # Errors
/// When a value is not finite, there are fewer than three points, or a parameter is
/// outside its range. With fewer points than neighbours, all are neighbours.
pub fn embed(points: &Tensor, config: &UmapConfig) -> Result<Tensor> {
    let points = points::as_f64("the representations", points)?;
    let count = points.size()[0] as usize;
    if count < 3 {
        return Err(invalid(
            "the representations",
            format!("a layout needs at least 3 points, found {count}"),
        ));
    }
    let curve = fit_curve(config.spread, config.min_dist)?;
    let nearest = neighbours(&points, &points, config.neighbours.min(count), config.distance)?;
    let graph = fuzzy_graph(&nearest, 1.0, 1.0)?;
    let epochs = match config.epochs {
        0 if count > 10_000 => 200,
        0 => 500,
        epochs => epochs,
    };
    let mut layout = start(&points, config.seed)?;
    descend(&mut layout, &graph.edges, curve, epochs, config);
    from_rows(&layout.concat(), count, 2)
}

/// Two principal components scaled to 0..10, with a little noise so that coinciding
/// points can part.
fn start(points: &Tensor, seed: u64) -> Result<Vec<[f64; 2]>> {
    let components = (points.size()[1] as usize).min(2);
    let scores = rows_to_vec(&Pca::fit(points, components)?.transform(points)?)?;
    let mut stream = Stream::new(seed, "umap start", &[]);
    let mut layout: Vec<[f64; 2]> =
        scores.chunks(components).map(|row| [row[0], row.get(1).copied().unwrap_or(0.0)]).collect();
    for axis in 0..2 {
        let low = layout.iter().map(|point| point[axis]).fold(f64::INFINITY, f64::min);
        let high = layout.iter().map(|point| point[axis]).fold(f64::NEG_INFINITY, f64::max);
        let extent = if high > low { high - low } else { 1.0 };
        for point in &mut layout {
            point[axis] = 10.0 * (point[axis] - low) / extent + 1e-4 * stream.normal_f64();
        }
    }
    Ok(layout)
}

fn descend(
    layout: &mut [[f64; 2]],
    edges: &[(usize, usize, f64)],
    curve: Curve,
    epochs: usize,
    config: &UmapConfig,
) {
    let strongest = edges.iter().map(|edge| edge.2).fold(0.0, f64::max);
    // An edge acts in proportion to its membership; the weakest never act.
    let active: Vec<(usize, usize, f64)> = edges
        .iter()
        .filter(|edge| edge.2 >= strongest / epochs as f64)
        .map(|&(from, to, membership)| (from, to, strongest / membership))
        .collect();
    let mut due: Vec<f64> = active.iter().map(|edge| edge.2).collect();
    let mut negatives_due: Vec<f64> =
        active.iter().map(|edge| edge.2 / f64::from(config.negatives.max(1))).collect();
    for epoch in 0..epochs {
        let rate = 1.0 - epoch as f64 / epochs as f64;
        let now = epoch as f64;
        let mut stream = Stream::new(config.seed, "umap negatives", &[epoch as u64]);
        for (slot, &(from, to, period)) in active.iter().enumerate() {
            if due[slot] > now {
                continue;
            }
            attract(layout, from, to, curve, rate);
            due[slot] += period;
            if config.negatives == 0 {
                continue;
            }
            let negative_period = period / f64::from(config.negatives);
            let draws = ((now - negatives_due[slot]) / negative_period).max(0.0) as u32;
            for _ in 0..draws {
                let other = stream.below(layout.len() as u64) as usize;
                repel(layout, from, other, curve, rate);
            }
            negatives_due[slot] += f64::from(draws) * negative_period;
        }
    }
}

fn squared_distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

/// The force along the line from `b` to `a`, each coordinate limited.
fn limited(force: f64, a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [0, 1].map(|axis: usize| (force * (a[axis] - b[axis])).clamp(-LARGEST_MOVE, LARGEST_MOVE))
}

fn moved(point: [f64; 2], rate: f64, by: [f64; 2]) -> [f64; 2] {
    [point[0] + rate * by[0], point[1] + rate * by[1]]
}

fn attract(layout: &mut [[f64; 2]], from: usize, to: usize, curve: Curve, rate: f64) {
    let squared = squared_distance(layout[from], layout[to]);
    if squared <= 0.0 {
        return;
    }
    let power = squared.powf(curve.b);
    let force = -2.0 * curve.a * curve.b * (power / squared) / (curve.a * power + 1.0);
    let pull = limited(force, layout[from], layout[to]);
    layout[from] = moved(layout[from], rate, pull);
    layout[to] = moved(layout[to], -rate, pull);
}

fn repel(layout: &mut [[f64; 2]], from: usize, other: usize, curve: Curve, rate: f64) {
    if from == other {
        return;
    }
    let squared = squared_distance(layout[from], layout[other]);
    if squared <= 0.0 {
        return;
    }
    let force = 2.0 * curve.b / ((0.001 + squared) * (curve.a * squared.powf(curve.b) + 1.0));
    let push = limited(force, layout[from], layout[other]);
    layout[from] = moved(layout[from], rate, push);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::metrics::separation::{silhouette, trustworthiness};

    fn blobs() -> (Tensor, Vec<usize>) {
        let mut stream = Stream::new(4, "test blobs", &[]);
        let labels: Vec<usize> = (0..90).map(|index| index % 3).collect();
        let values: Vec<f64> = labels
            .iter()
            .flat_map(|&l| (0..6).map(move |c| (l, c)))
            .map(|(l, c)| if c == l { 8.0 } else { 0.0 })
            .map(|v: f64| v + stream.normal_f64())
            .collect();
        (from_rows(&values, 90, 6).unwrap(), labels)
    }

    #[test]
    fn groups_stay_apart_and_the_layout_repeats_itself() {
        let (points, labels) = blobs();
        let config = UmapConfig { epochs: 200, ..UmapConfig::default() };
        let layout = embed(&points, &config).unwrap();
        assert!(silhouette(&layout, &labels).unwrap() > 0.6);
        assert!(trustworthiness(&points, &layout, 10).unwrap() > 0.8);
        assert!(layout.equal(&embed(&points, &config).unwrap()));
    }

    #[test]
    fn few_or_coinciding_points_have_a_defined_layout_or_an_error() {
        let options = (tch::Kind::Double, tch::Device::Cpu);
        assert!(embed(&Tensor::ones([2, 4], options), &UmapConfig::default()).is_err());
        let layout = embed(&Tensor::ones([5, 4], options), &UmapConfig::default()).unwrap();
        assert!(bool::try_from(layout.isfinite().all()).unwrap());
    }
}
