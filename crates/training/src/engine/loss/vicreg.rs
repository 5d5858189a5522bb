//! VICReg (Bardes, Ponce and LeCun 2022) for any number of branches, with the
//! normalisations of the paper's authors or of facebookresearch/vicreg.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Error, Reduction, checked_shape, in_full_precision, not_negative, without_autocast};

const LOSS: &str = "vicreg";

/// Which reference's averages and sums are used. With B branches of N samples and
/// D features:
///
/// | term | `Trident` | `Facebook` |
/// |---|---|---|
/// | invariance | mean over D, over N; summed over ordered pairs of branches | the same over unordered pairs |
/// | variance | biased (N); mean over D; summed over branches | unbiased (N − 1); mean over D and over branches |
/// | covariance | divided by N; squares off the diagonal / D; summed over branches | divided by N − 1 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VicregNormalisation {
    /// lucasfarndale/TriDeNT `VICReg.calc_loss`.
    #[default]
    Trident,
    /// facebookresearch/vicreg `VICReg.forward`, for two branches in the original.
    Facebook,
}

/// Weights and constants; the default is the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VicregConfig {
    /// λ, the weight of the invariance term.
    pub invariance: f64,
    /// μ, the weight of the variance term.
    pub variance: f64,
    /// ν, the weight of the covariance term.
    pub covariance: f64,
    /// γ, the standard deviation below which a feature is penalised.
    pub target_deviation: f64,
    /// ε, added to a variance before its root is taken.
    pub epsilon: f64,
    pub normalisation: VicregNormalisation,
    pub reduction: Reduction,
}

impl Default for VicregConfig {
    fn default() -> Self {
        Self {
            invariance: 25.0,
            variance: 25.0,
            covariance: 1.0,
            target_deviation: 1.0,
            epsilon: 1e-5,
            normalisation: VicregNormalisation::Trident,
            reduction: Reduction::Mean,
        }
    }
}

impl VicregConfig {
    /// facebookresearch/vicreg's defaults.
    #[must_use]
    pub fn facebook() -> Self {
        Self { epsilon: 1e-4, normalisation: VicregNormalisation::Facebook, ..Self::default() }
    }
}

/// The loss and its parts. The terms are unweighted and keep their graph, so that
/// each can be differentiated by itself.
#[derive(Debug)]
pub struct VicregTerms {
    /// What to minimise, shape [], reduced over samples as configured.
    pub total: Tensor,
    /// One value per sample, shape [N]: weighted invariance of the sample plus the
    /// batch's weighted variance and covariance.
    pub per_sample: Tensor,
    /// Invariance of each sample, shape [N].
    pub invariance_per_sample: Tensor,
    /// Mean invariance, shape [].
    pub invariance: Tensor,
    /// Variance term, shape [].
    pub variance: Tensor,
    /// Covariance term, shape [].
    pub covariance: Tensor,
}

impl VicregTerms {
    /// The figures to record: `loss` (the mean over samples, whatever the
    /// reduction), `invariance`, `variance`, `covariance`; detached.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, Tensor)> {
        vec![
            ("loss", self.per_sample.detach().mean(self.per_sample.kind())),
            ("invariance", self.invariance.detach()),
            ("variance", self.variance.detach()),
            ("covariance", self.covariance.detach()),
        ]
    }
}

/// VICReg of `branches`: embeddings [N, D] of the same samples in the same order,
/// N ≥ 2.
///
/// # Errors
/// For fewer than two branches or samples, shapes that differ, or a negative
/// weight.
pub fn vicreg(branches: &[Tensor], config: &VicregConfig) -> Result<VicregTerms, Error> {
    let (samples, _) = checked_shape(LOSS, branches, "a feature has no variance within a batch of one")?;
    for (field, value) in [
        ("invariance", config.invariance),
        ("variance", config.variance),
        ("covariance", config.covariance),
        ("target_deviation", config.target_deviation),
        ("epsilon", config.epsilon),
    ] {
        not_negative(LOSS, field, value)?;
    }
    Ok(without_autocast(&branches[0], || {
        let branches = in_full_precision(branches);
        let invariance_per_sample = invariance(&branches, config.normalisation);
        let centred: Vec<Tensor> =
            branches.iter().map(|z| z - z.mean_dim(&[0i64][..], true, z.kind())).collect();
        let freedom = match config.normalisation {
            VicregNormalisation::Trident => samples,
            VicregNormalisation::Facebook => samples - 1,
        } as f64;
        let variance = sum(centred.iter().map(|z| variance_penalty(z, freedom, config)));
        let variance = match config.normalisation {
            VicregNormalisation::Trident => variance,
            VicregNormalisation::Facebook => variance / branches.len() as f64,
        };
        let covariance = sum(centred.iter().map(|z| off_diagonal_covariance(z, freedom)));
        let per_sample = &invariance_per_sample * config.invariance
            + &variance * config.variance
            + &covariance * config.covariance;
        VicregTerms {
            total: config.reduction.apply(&per_sample),
            invariance: invariance_per_sample.mean(invariance_per_sample.kind()),
            per_sample,
            invariance_per_sample,
            variance,
            covariance,
        }
    }))
}

fn sum(terms: impl Iterator<Item = Tensor>) -> Tensor {
    terms.reduce(|left, right| left + right).expect("there are at least two branches")
}

/// Squared distances between branches, mean over features: shape [N].
fn invariance(branches: &[Tensor], normalisation: VicregNormalisation) -> Tensor {
    let pairs = branches.iter().enumerate().flat_map(|(at, left)| {
        branches[at + 1..]
            .iter()
            .map(move |right| (left - right).square().mean_dim(&[1i64][..], false, left.kind()))
    });
    match normalisation {
        // Each unordered pair counts twice among the ordered ones.
        VicregNormalisation::Trident => sum(pairs) * 2.0,
        VicregNormalisation::Facebook => sum(pairs),
    }
}

/// How far the features' standard deviations fall short of the target.
fn variance_penalty(centred: &Tensor, freedom: f64, config: &VicregConfig) -> Tensor {
    let variance = centred.square().sum_dim_intlist(&[0i64][..], false, centred.kind()) / freedom;
    let deviation = (variance + config.epsilon).sqrt();
    (config.target_deviation - deviation).relu().mean(centred.kind())
}

/// The squares off the diagonal of the covariance matrix ZᵀZ / f, summed, over D.
///
/// ‖ZᵀZ‖² = ‖ZZᵀ‖² and the diagonal of ZᵀZ is Σₙ z²ₙ꜀, so that with fewer samples
/// than features the N×N matrix does it, which is 17 times faster at N = 256,
/// D = 8,192.
fn off_diagonal_covariance(centred: &Tensor, freedom: f64) -> Tensor {
    let (samples, features) = centred.size2().expect("the shape was checked");
    let kind = centred.kind();
    let squares = if samples < features {
        let gram = centred.matmul(&centred.tr());
        let diagonal = centred.square().sum_dim_intlist(&[0i64][..], false, kind);
        gram.square().sum(kind) - diagonal.square().sum(kind)
    } else {
        // Symmetric: what is below the diagonal stands for both sides.
        centred.tr().matmul(centred).tril(-1).square().sum(kind) * 2.0
    };
    squares / (freedom * freedom * features as f64)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn both_forms_of_the_covariance_term_agree() {
        for (samples, features) in [(4, 9), (9, 4), (8, 8)] {
            let z = Tensor::randn([samples, features], (Kind::Double, tch::Device::Cpu));
            let z = &z - z.mean_dim(&[0i64][..], true, Kind::Double);
            let matrix = z.tr().matmul(&z) / samples as f64;
            let outside = &matrix - matrix.diag(0).diag(0);
            let expected = outside.square().sum(Kind::Double).double_value(&[]) / features as f64;
            let found = off_diagonal_covariance(&z, samples as f64).double_value(&[]);
            assert!((found - expected).abs() <= 1e-12 * expected.max(1.0), "{found} {expected}");
        }
    }
}
