//! Nearest neighbours and the classifier that votes by them.
//!
//! Of equally far neighbours the one with the lower index comes first; of classes with
//! equal votes the lowest wins.

use tch::{Kind, Tensor};

use super::error::{Result, invalid, labels_within, same_length};
use super::points::{self, rows_to_vec};

/// How far apart two representations are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// `1 - cos`, 0..2; a zero vector is at distance 1 from everything.
    Cosine,
    /// Euclidean, by subtraction.
    Euclidean,
}

/// How neighbours vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    /// One neighbour, one vote.
    Uniform,
    /// `1 / distance`; neighbours at distance 0, where there are any, vote alone.
    InverseDistance,
}

/// The `k` nearest of a set for each query, nearest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// Neighbours of one query.
    pub k: usize,
    /// Row-major `[queries, k]`.
    pub distances: Vec<f64>,
    /// Row-major `[queries, k]`, rows of the searched set.
    pub indices: Vec<usize>,
}

const BLOCK: i64 = 512;

/// Unit rows; a zero row stays zero.
fn unit_rows(points: &Tensor) -> Result<Tensor> {
    let norms = points.f_mul(points)?.f_sum_dim_intlist(1_i64, true, Kind::Double)?.f_sqrt()?;
    let norms = norms.f_where_self(&norms.f_gt(0.0)?, &norms.f_ones_like()?)?;
    Ok(points.f_div(&norms)?)
}

/// Finds the `k` rows of `set` `[N, D]` nearest to each row of `queries` `[Q, D]`.
/// When the queries are the set itself, each is its own first neighbour.
///
/// # Errors
/// When widths differ, a value is not finite, or `k` is not in 1..=N.
pub fn neighbours(set: &Tensor, queries: &Tensor, k: usize, distance: Distance) -> Result<Neighbours> {
    let mut set = points::as_f64("the representations", set)?;
    let mut queries = points::as_f64("the queries", queries)?;
    let count = set.size()[0] as usize;
    same_length("a query", set.size()[1] as usize, queries.size()[1] as usize)?;
    if k == 0 || k > count {
        return Err(invalid("k", format!("{k} neighbours of {count} points cannot be found")));
    }
    if distance == Distance::Cosine {
        set = unit_rows(&set)?;
        queries = unit_rows(&queries)?;
    }
    let total = queries.size()[0];
    let mut found = Neighbours { k, distances: Vec::new(), indices: Vec::new() };
    for start in (0..total).step_by(BLOCK as usize) {
        let block = queries.f_narrow(0, start, BLOCK.min(total - start))?;
        let all = match distance {
            Distance::Cosine => {
                (block.f_matmul(&set.f_transpose(0, 1)?)?.f_neg()? + 1.0).f_clamp(0.0, 2.0)?
            }
            // Mode 2 forbids the inner-product shortcut, which loses close points.
            Distance::Euclidean => Tensor::f_cdist(&block, &set, 2.0, Some(2))?,
        };
        for row in rows_to_vec(&all)?.chunks(count) {
            let mut order: Vec<usize> = (0..count).collect();
            let nearer = |a: &usize, b: &usize| row[*a].total_cmp(&row[*b]).then(a.cmp(b));
            if k < count {
                order.select_nth_unstable_by(k - 1, nearer);
                order.truncate(k);
            }
            order.sort_unstable_by(nearer);
            found.distances.extend(order.iter().map(|&index| row[index]));
            found.indices.extend(order);
        }
    }
    Ok(found)
}

impl Neighbours {
    /// Shares of the votes, row-major `[queries, classes]`; `labels` are those of the
    /// searched set.
    ///
    /// # Errors
    /// When a label is not below `classes`, or `labels` misses a neighbour.
    pub fn vote(&self, labels: &[usize], classes: usize, vote: Vote) -> Result<Vec<f64>> {
        labels_within(labels, classes)?;
        labels_within(&self.indices, labels.len())?;
        let mut shares = vec![0.0; self.indices.len() / self.k * classes];
        let queries = self.indices.chunks(self.k).zip(self.distances.chunks(self.k));
        for (row, (indices, distances)) in shares.chunks_mut(classes).zip(queries) {
            let exact = distances.contains(&0.0);
            for (&index, &distance) in indices.iter().zip(distances) {
                row[labels[index]] += match vote {
                    Vote::Uniform => 1.0,
                    Vote::InverseDistance if exact => f64::from(u8::from(distance == 0.0)),
                    Vote::InverseDistance => 1.0 / distance,
                };
            }
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|share| *share /= sum);
        }
        Ok(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_index_and_the_lower_class() {
        let set = Tensor::from_slice(&[1.0_f64, -1.0, 3.0]).reshape([3, 1]);
        let query = Tensor::from_slice(&[0.0_f64]).reshape([1, 1]);
        let found = neighbours(&set, &query, 2, Distance::Euclidean).unwrap();
        assert_eq!(found.indices, vec![0, 1]);
        let shares = found.vote(&[1, 0, 0], 2, Vote::Uniform).unwrap();
        assert_eq!(shares, vec![0.5, 0.5]);
        assert_eq!(crate::engine::metrics::probability::argmax_rows(&shares, 2), vec![0]);
    }

    #[test]
    fn an_exact_match_outvotes_the_rest() {
        let set = Tensor::from_slice(&[0.0_f64, 0.1, 0.2]).reshape([3, 1]);
        let found = neighbours(&set, &set, 3, Distance::Euclidean).unwrap();
        assert_eq!(found.indices[0], 0);
        assert_eq!(found.vote(&[1, 0, 0], 2, Vote::InverseDistance).unwrap()[..2], [0.0, 1.0]);
    }

    #[test]
    fn a_zero_vector_is_as_far_from_everything() {
        let set = Tensor::from_slice(&[0.0_f64, 0.0, 1.0, 0.0]).reshape([2, 2]);
        let found = neighbours(&set, &set, 2, Distance::Cosine).unwrap();
        assert_eq!(found.distances[0], 1.0);
        assert!(neighbours(&set, &set, 3, Distance::Cosine).is_err());
        assert!(neighbours(&(&set * f64::NAN), &set, 1, Distance::Cosine).is_err());
    }
}
