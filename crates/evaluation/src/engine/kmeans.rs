//! k-means: greedy k-means++ starts (Arthur & Vassilvitskii 2007), Lloyd's iterations,
//! the best of several starts, and clusters named after classes on the train split.
//!
//! Stopping rule, empty-cluster rule and the number of candidates for each centre are
//! scikit-learn's. The draws come from (seed, start), so a run repeats itself.

use counterstain_tile::random::Stream;
use tch::{Kind, Tensor};

use super::assignment;
use super::error::{Result, invalid, labels_within, same_length};
use super::points::{self, from_rows, indices_to_vec, rows_to_vec, select};

/// How a clustering is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KMeansConfig {
    /// Number of clusters.
    pub clusters: usize,
    /// Independent starts; the one with the lowest inertia wins.
    pub starts: u64,
    /// Most iterations of one start.
    pub iterations: usize,
    /// Stop when the squared shift of the centres is at most this share of the mean
    /// variance of the columns.
    pub tolerance: f64,
    /// Seed of the starts.
    pub seed: u64,
}

impl KMeansConfig {
    /// Ten starts of at most 300 iterations, tolerance 1e-4.
    #[must_use]
    pub fn new(clusters: usize, seed: u64) -> Self {
        Self { clusters, starts: 10, iterations: 300, tolerance: 1e-4, seed }
    }
}

/// A fitted clustering.
#[derive(Debug)]
pub struct KMeans {
    /// `[clusters, D]`, `f64`.
    pub centres: Tensor,
    /// The cluster of each point of the fit.
    pub labels: Vec<usize>,
    /// Summed squared distance of the points to their centres.
    pub inertia: f64,
    /// Iterations of the winning start.
    pub iterations: usize,
}

/// How clusters are named after classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Each cluster takes its most frequent class; several clusters may share one.
    Majority,
    /// Distinct classes so that the accuracy on the train split is highest.
    OneToOne,
}

/// Points and their squared lengths, which every distance needs.
struct Measured<'a> {
    points: &'a Tensor,
    squares: Tensor,
}

impl<'a> Measured<'a> {
    fn new(points: &'a Tensor) -> Result<Self> {
        Ok(Self { points, squares: row_squares(points)? })
    }

    fn count(&self) -> usize {
        self.points.size()[0] as usize
    }

    /// Squared distances to `centres` `[K, D]`, `[N, K]`, through inner products: one
    /// pass over the points however many centres there are.
    fn distances(&self, centres: &Tensor) -> Result<Tensor> {
        let products = self.points.f_matmul(&centres.f_transpose(0, 1)?)?;
        let sums = self.squares.f_unsqueeze(1)?.f_add(&row_squares(centres)?)?;
        Ok(sums.f_sub(&(products * 2.0))?.f_clamp_min(0.0)?)
    }

    /// Nearest centre of each point (the lowest of equally near ones) and the squared
    /// distance to it.
    fn nearest(&self, centres: &Tensor) -> Result<(Vec<usize>, Vec<f64>)> {
        let distances = self.distances(centres)?;
        let labels = distances.f_argmin(1, true)?;
        Ok((indices_to_vec(&labels)?, rows_to_vec(&distances.f_gather(1, &labels, false)?)?))
    }

    /// Summed squared distance of the points to their own centres, by subtraction.
    fn inertia(&self, centres: &Tensor, labels: &[usize]) -> Result<f64> {
        let offset = self.points.f_sub(&select(centres, labels)?)?;
        Ok(f64::try_from(offset.f_square()?.f_sum(Kind::Double)?)?)
    }
}

fn row_squares(points: &Tensor) -> Result<Tensor> {
    Ok(points.f_square()?.f_sum_dim_intlist(1_i64, false, Kind::Double)?)
}

impl KMeans {
    /// Clusters `points` `[N, D]`.
    ///
    /// # Errors
    /// When a value is not finite, or there are fewer points than clusters.
    pub fn fit(points: &Tensor, config: &KMeansConfig) -> Result<Self> {
        let points = points::as_f64("the representations", points)?;
        check(&points, config)?;
        let measured = Measured::new(&points)?;
        let mut best: Option<Self> = None;
        for start in 0..config.starts.max(1) {
            let mut stream = Stream::new(config.seed, "k-means++", &[start]);
            let centres = plus_plus(&measured, config.clusters, &mut stream)?;
            let candidate = lloyd(&measured, centres, config)?;
            if best.as_ref().is_none_or(|best| candidate.inertia < best.inertia) {
                best = Some(candidate);
            }
        }
        best.ok_or_else(|| invalid("starts", "at least one start is needed"))
    }

    /// Lloyd's iterations alone, from the points at `start`.
    ///
    /// # Errors
    /// As [`KMeans::fit`]; also when `start` does not name one point for each cluster.
    pub fn fit_from(points: &Tensor, start: &[usize], config: &KMeansConfig) -> Result<Self> {
        let points = points::as_f64("the representations", points)?;
        check(&points, config)?;
        same_length("the start", config.clusters, start.len())?;
        labels_within(start, points.size()[0] as usize)?;
        let centres = select(&points, start)?;
        lloyd(&Measured::new(&points)?, centres, config)
    }

    /// The cluster of each point of another split.
    ///
    /// # Errors
    /// When the width differs or a value is not finite.
    pub fn assign(&self, points: &Tensor) -> Result<Vec<usize>> {
        let points = points::as_f64("the representations", points)?;
        same_length("a representation", self.centres.size()[1] as usize, points.size()[1] as usize)?;
        Ok(Measured::new(&points)?.nearest(&self.centres)?.0)
    }

    /// The class that stands for each cluster, learnt from the labels of the points of
    /// the fit. A cluster without points takes the most frequent class.
    ///
    /// # Errors
    /// When lengths differ or a label is not below `classes`.
    pub fn name_clusters(&self, truth: &[usize], classes: usize, naming: Naming) -> Result<Vec<usize>> {
        same_length("the labels", self.labels.len(), truth.len())?;
        labels_within(truth, classes)?;
        let clusters = self.centres.size()[0] as usize;
        let mut counts = vec![0_u64; clusters * classes];
        let mut overall = vec![0_u64; classes];
        for (&cluster, &class) in self.labels.iter().zip(truth) {
            counts[cluster * classes + class] += 1;
            overall[class] += 1;
        }
        let most = |counts: &[u64]| {
            (0..classes).fold(0, |best, class| if counts[class] > counts[best] { class } else { best })
        };
        let majority: Vec<usize> = counts
            .chunks(classes)
            .map(|row| if row.iter().all(|&count| count == 0) { most(&overall) } else { most(row) })
            .collect();
        if naming == Naming::Majority {
            return Ok(majority);
        }
        let cost: Vec<f64> = counts.iter().map(|&count| -(count as f64)).collect();
        let assigned = assignment::minimise(&cost, clusters, classes);
        Ok(assigned.into_iter().zip(majority).map(|(own, majority)| own.unwrap_or(majority)).collect())
    }
}

fn check(points: &Tensor, config: &KMeansConfig) -> Result<()> {
    let count = points.size()[0] as usize;
    if config.clusters == 0 || config.clusters > count {
        return Err(invalid(
            "clusters",
            format!("{} clusters of {count} points cannot be made", config.clusters),
        ));
    }
    Ok(())
}

/// Greedy k-means++: of `2 + ln k` candidates drawn by squared distance, each new
/// centre is the one that lowers the total most.
fn plus_plus(measured: &Measured<'_>, clusters: usize, stream: &mut Stream) -> Result<Tensor> {
    let count = measured.count();
    let candidates = 2 + (clusters as f64).ln() as usize;
    let mut chosen = vec![stream.below(count as u64) as usize];
    let mut closest = rows_to_vec(&measured.distances(&select(measured.points, &chosen)?)?)?;
    while chosen.len() < clusters {
        let total: f64 = closest.iter().sum();
        let drawn: Vec<usize> = (0..candidates).map(|_| draw(&closest, stream.next_f64() * total)).collect();
        let distances = rows_to_vec(&measured.distances(&select(measured.points, &drawn)?)?)?;
        let lowered = |candidate: usize| {
            let own = distances.iter().skip(candidate).step_by(candidates);
            closest.iter().zip(own).map(|(old, new)| old.min(*new)).collect::<Vec<f64>>()
        };
        let potential = |candidate: usize| lowered(candidate).iter().sum::<f64>();
        let best = (0..candidates)
            .map(|candidate| (candidate, potential(candidate)))
            .reduce(|best, next| if next.1 < best.1 { next } else { best })
            .map_or(0, |best| best.0);
        let next = lowered(best);
        chosen.push(drawn[best]);
        closest = next;
    }
    select(measured.points, &chosen)
}

/// The position at which the running sum of the weights passes `threshold`.
fn draw(weights: &[f64], mut threshold: f64) -> usize {
    weights
        .iter()
        .position(|weight| {
            threshold -= weight;
            threshold < 0.0
        })
        // All points coincide, or rounding ran past the end.
        .unwrap_or(weights.len() - 1)
}

fn lloyd(measured: &Measured<'_>, start: Tensor, config: &KMeansConfig) -> Result<KMeans> {
    let (count, clusters) = (measured.count(), config.clusters);
    let variance = measured.points.f_var_dim(0_i64, false, false)?.f_mean(Kind::Double)?;
    let tolerance = config.tolerance * f64::try_from(variance)?;
    let mut centres = start;
    let mut before: Option<Vec<usize>> = None;
    let mut repeated = false;
    let mut iterations = 0;
    while iterations < config.iterations {
        iterations += 1;
        let (labels, distances) = measured.nearest(&centres)?;
        let mut sizes = vec![0_usize; clusters];
        labels.iter().for_each(|&label| sizes[label] += 1);
        let mut owners = labels.clone();
        relocate_empty(&mut owners, &mut sizes, &distances);
        let mut membership = vec![0.0; clusters * count];
        owners.iter().enumerate().for_each(|(index, &owner)| membership[owner * count + index] = 1.0);
        let sums = from_rows(&membership, clusters, count)?.f_matmul(measured.points)?;
        let divisors: Vec<f64> = sizes.iter().map(|&size| size.max(1) as f64).collect();
        let moved = sums.f_div(&from_rows(&divisors, clusters, 1)?)?;
        let shift = f64::try_from(moved.f_sub(&centres)?.f_square()?.f_sum(Kind::Double)?)?;
        centres = moved;
        repeated = before.as_ref() == Some(&labels);
        before = Some(labels);
        if repeated || shift <= tolerance {
            break;
        }
    }
    let labels = match before {
        // The assignment repeated itself, so the centres have not moved since.
        Some(labels) if repeated => labels,
        _ => measured.nearest(&centres)?.0,
    };
    let inertia = measured.inertia(&centres, &labels)?;
    Ok(KMeans { centres, labels, inertia, iterations })
}

/// Gives each empty cluster the point that is farthest from its own centre.
fn relocate_empty(owners: &mut [usize], sizes: &mut [usize], distances: &[f64]) {
    let empty: Vec<usize> = (0..sizes.len()).filter(|&cluster| sizes[cluster] == 0).collect();
    if empty.is_empty() {
        return;
    }
    let mut farthest: Vec<usize> = (0..distances.len()).collect();
    farthest.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]).then(a.cmp(&b)));
    let mut donors = farthest.into_iter();
    for cluster in empty {
        if let Some(point) = donors.find(|&point| sizes[owners[point]] > 1) {
            sizes[owners[point]] -= 1;
            owners[point] = cluster;
            sizes[cluster] = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_blobs() -> (Tensor, Vec<usize>) {
        let mut stream = Stream::new(11, "test blobs", &[]);
        let labels: Vec<usize> = (0..90).map(|index| index % 3).collect();
        let values: Vec<f64> = labels
            .iter()
            .flat_map(|&label| {
                let angle = label as f64 * 2.1;
                [10.0 * angle.cos() + stream.normal_f64(), 10.0 * angle.sin() + stream.normal_f64()]
            })
            .collect();
        (from_rows(&values, 90, 2).unwrap(), labels)
    }

    #[test]
    fn separate_blobs_are_found_and_named() {
        let (points, truth) = three_blobs();
        let fitted = KMeans::fit(&points, &KMeansConfig::new(3, 1)).unwrap();
        for naming in [Naming::Majority, Naming::OneToOne] {
            let names = fitted.name_clusters(&truth, 3, naming).unwrap();
            let named: Vec<usize> =
                fitted.assign(&points).unwrap().into_iter().map(|cluster| names[cluster]).collect();
            assert_eq!(named, truth);
        }
    }

    #[test]
    fn a_run_repeats_itself() {
        let (points, _) = three_blobs();
        let config = KMeansConfig { starts: 2, ..KMeansConfig::new(7, 4) };
        let (a, b) = (KMeans::fit(&points, &config).unwrap(), KMeans::fit(&points, &config).unwrap());
        assert_eq!(a.labels, b.labels);
        assert_eq!(a.inertia.to_bits(), b.inertia.to_bits());
    }

    #[test]
    fn constant_points_make_a_defined_clustering() {
        let points = Tensor::ones([5, 3], (Kind::Double, tch::Device::Cpu));
        let fitted = KMeans::fit(&points, &KMeansConfig::new(2, 0)).unwrap();
        assert_eq!(fitted.inertia, 0.0);
        assert!(KMeans::fit(&points, &KMeansConfig::new(6, 0)).is_err());
        assert!(KMeans::fit(&(points * f64::NAN), &KMeansConfig::new(2, 0)).is_err());
    }

    #[test]
    fn more_clusters_than_classes_fall_back_to_the_majority() {
        let (points, truth) = three_blobs();
        let fitted = KMeans::fit(&points, &KMeansConfig::new(5, 1)).unwrap();
        let names = fitted.name_clusters(&truth, 3, Naming::OneToOne).unwrap();
        assert_eq!(names.len(), 5);
        assert!(names.iter().all(|&name| name < 3));
    }
}
