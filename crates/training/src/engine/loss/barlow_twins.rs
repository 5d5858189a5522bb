//! Barlow Twins (Zbontar et al. 2021), normalised as in
//! lucasfarndale/More-From-Less `compute_loss`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Error, checked_shape, in_full_precision, not_negative, without_autocast};

const LOSS: &str = "barlow_twins";

/// The numbers of Barlow Twins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BarlowTwinsConfig {
    /// λ, the weight of the redundancy term.
    pub redundancy: f64,
    /// Added to a feature's standard deviation before dividing by it.
    pub epsilon: f64,
}

impl Default for BarlowTwinsConfig {
    fn default() -> Self {
        Self { redundancy: 0.005, epsilon: 1e-4 }
    }
}

/// The loss and its unweighted terms, shape [] each, with their graph.
#[derive(Debug)]
pub struct BarlowTwinsTerms {
    /// What to minimise. The loss is one number per batch: there is no choice of
    /// reduction.
    pub total: Tensor,
    /// Σ (1 − c_dd)², summed over unordered pairs of branches.
    pub on_diagonal: Tensor,
    /// Σ c²_de off the diagonal, summed over unordered pairs of branches.
    pub off_diagonal: Tensor,
}

impl BarlowTwinsTerms {
    /// The figures to record: `loss`, `on_diagonal`, `off_diagonal`; detached.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, Tensor)> {
        vec![
            ("loss", self.total.detach()),
            ("on_diagonal", self.on_diagonal.detach()),
            ("off_diagonal", self.off_diagonal.detach()),
        ]
    }
}

/// Barlow Twins of `branches`: embeddings [N, D] of the same samples in the same
/// order, N ≥ 2. With more than two branches, the sum over unordered pairs.
///
/// # Errors
/// For fewer than two branches or samples, shapes that differ, or a negative
/// number in the configuration.
pub fn barlow_twins(branches: &[Tensor], config: &BarlowTwinsConfig) -> Result<BarlowTwinsTerms, Error> {
    checked_shape(LOSS, branches, "a feature has no deviation within a batch of one")?;
    not_negative(LOSS, "redundancy", config.redundancy)?;
    not_negative(LOSS, "epsilon", config.epsilon)?;
    Ok(without_autocast(&branches[0], || {
        let standard: Vec<Tensor> =
            in_full_precision(branches).iter().map(|z| standardised(z, config.epsilon)).collect();
        let mut terms: Option<(Tensor, Tensor)> = None;
        for (at, left) in standard.iter().enumerate() {
            for right in &standard[at + 1..] {
                let (on, off) = cross_correlation(left, right);
                terms = Some(match terms {
                    None => (on, off),
                    Some((sum_on, sum_off)) => (sum_on + on, sum_off + off),
                });
            }
        }
        let (on_diagonal, off_diagonal) = terms.expect("there is at least one pair");
        BarlowTwinsTerms {
            total: &on_diagonal + &off_diagonal * config.redundancy,
            on_diagonal,
            off_diagonal,
        }
    }))
}

/// (z − mean) / (biased deviation + ε), feature by feature.
fn standardised(embeddings: &Tensor, epsilon: f64) -> Tensor {
    let kind = embeddings.kind();
    let centred = embeddings - embeddings.mean_dim(&[0i64][..], true, kind);
    let variance = centred.square().mean_dim(&[0i64][..], true, kind);
    // A constant feature has no slope; the root's would be infinite there.
    let deviation = variance.clamp_min(1e-30).sqrt();
    centred / (deviation + epsilon)
}

/// Σ (1 − c_dd)² and Σ c²_de of the cross-correlation c = AᵀB / N. As
/// ‖AᵀB‖² = Σ AAᵀ ∘ BBᵀ, two N×N matrices do it when there are fewer samples than
/// features.
fn cross_correlation(a: &Tensor, b: &Tensor) -> (Tensor, Tensor) {
    let (samples, features) = a.size2().expect("the shape was checked");
    let kind = a.kind();
    let count = samples as f64;
    let diagonal = (a * b).sum_dim_intlist(&[0i64][..], false, kind) / count;
    let on = (&diagonal - 1.0).square().sum(kind);
    let off = if samples < features {
        let all = (a.matmul(&a.tr()) * b.matmul(&b.tr())).sum(kind) / (count * count);
        all - diagonal.square().sum(kind)
    } else {
        let correlation = a.tr().matmul(b) / count;
        correlation.tril(-1).square().sum(kind) + correlation.triu(1).square().sum(kind)
    };
    (on, off)
}
