//! Losses on embeddings and logits.
//!
//! Invariants: every loss is computed in f32 (in f64 when its inputs are f64),
//! also inside a bf16 or f16 autocast region; each returns the total to call
//! `backward` on and its terms by name, detached, for the record; a batch from
//! which the loss cannot be computed is an error, not a NaN.
//!
//! The authors of the paper call `tape.gradient` on a loss with one value per
//! sample, which sums over the batch: their gradient is N times that of the mean.
//! With per-variable clipping after it that is another optimiser, so the choice
//! is explicit everywhere: [`Reduction`].

mod barlow_twins;
mod cross_entropy;
mod infonce;
mod vicreg;

use tch::{Kind, Tensor};

pub use barlow_twins::{BarlowTwinsConfig, BarlowTwinsTerms, barlow_twins};
pub use cross_entropy::{CrossEntropyTerms, cross_entropy};
pub use infonce::{InfonceConfig, InfoncePair, InfonceTerms, infonce};
pub use vicreg::{VicregConfig, VicregNormalisation, VicregTerms, vicreg};

/// How the total is made from one value per sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The mean over the batch: the gradient does not grow with the batch.
    #[default]
    Mean,
    /// The sum over the batch, as in the authors' code.
    Sum,
}

impl Reduction {
    /// The total of `per_sample` (shape [N]); the result has shape [].
    fn apply(self, per_sample: &Tensor) -> Tensor {
        match self {
            Self::Mean => per_sample.mean(per_sample.kind()),
            Self::Sum => per_sample.sum(per_sample.kind()),
        }
    }
}

/// A joint-embedding loss with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JointEmbedding {
    Vicreg(VicregConfig),
    Infonce(InfonceConfig),
    BarlowTwins(BarlowTwinsConfig),
}

/// A total to minimise with the figures to record.
#[derive(Debug)]
pub struct Computed {
    /// Shape [], with its graph.
    pub total: Tensor,
    /// Terms by name, detached; the first is `loss`, the mean over samples.
    pub named: Vec<(&'static str, Tensor)>,
}

impl JointEmbedding {
    /// The loss of `branches`: embeddings [N, D] of the same samples, N ≥ 2.
    ///
    /// # Errors
    /// Those of the loss.
    pub fn compute(&self, branches: &[Tensor]) -> Result<Computed, Error> {
        Ok(match self {
            Self::Vicreg(config) => {
                let terms = vicreg(branches, config)?;
                Computed { named: terms.named(), total: terms.total }
            }
            Self::Infonce(config) => {
                let terms = infonce(branches, config)?;
                Computed { named: terms.named(), total: terms.total }
            }
            Self::BarlowTwins(config) => {
                let terms = barlow_twins(branches, config)?;
                Computed { named: terms.named(), total: terms.total }
            }
        })
    }
}

/// Why a loss cannot be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A joint-embedding loss compares at least two branches.
    #[error("{loss} compares branches: {found} given, at least 2 needed")]
    TooFewBranches { loss: &'static str, found: usize },
    /// Branches are matched row by row.
    #[error(
        "{loss} needs embeddings of one shape [samples, width]: branch {branch} is {found:?}, branch 0 is {expected:?}"
    )]
    Shapes { loss: &'static str, branch: usize, found: Vec<i64>, expected: Vec<i64> },
    /// Statistics over a batch, and negatives, need other samples.
    #[error("{loss} needs at least 2 samples in a batch, found {found}: {reason}")]
    TooFewSamples { loss: &'static str, found: i64, reason: &'static str },
    /// A number of the configuration makes no sense.
    #[error("{loss}: {field} is {value}, it must be {expected}")]
    Config { loss: &'static str, field: &'static str, value: f64, expected: &'static str },
    /// Labels do not fit the logits.
    #[error("labels do not fit the logits: {0}")]
    Labels(String),
}

/// Checks that `branches` are two or more matrices [N, D] of one shape with
/// N ≥ 2, and gives N and D.
fn checked_shape(
    loss: &'static str,
    branches: &[Tensor],
    why_samples: &'static str,
) -> Result<(i64, i64), Error> {
    if branches.len() < 2 {
        return Err(Error::TooFewBranches { loss, found: branches.len() });
    }
    let expected = branches[0].size();
    let unfit = |branch: usize, found: Vec<i64>| {
        Err(Error::Shapes { loss, branch, found, expected: expected.clone() })
    };
    if expected.len() != 2 || expected[1] == 0 {
        return unfit(0, expected.clone());
    }
    for (branch, embeddings) in branches.iter().enumerate().skip(1) {
        if embeddings.size() != expected {
            return unfit(branch, embeddings.size());
        }
    }
    if expected[0] < 2 {
        return Err(Error::TooFewSamples { loss, found: expected[0], reason: why_samples });
    }
    Ok((expected[0], expected[1]))
}

/// The tensors in the type in which losses are computed.
fn in_full_precision(tensors: &[Tensor]) -> Vec<Tensor> {
    tensors.iter().map(full_precision).collect()
}

fn full_precision(tensor: &Tensor) -> Tensor {
    match tensor.kind() {
        Kind::Double => tensor.shallow_clone(),
        _ => tensor.to_kind(Kind::Float),
    }
}

/// Runs `f` outside any autocast region: libtorch would run the products of the
/// loss in bf16 there, whatever the type of its inputs.
fn without_autocast<R>(near: &Tensor, f: impl FnOnce() -> R) -> R {
    counterstain_torch::autocast(near.device(), None, f)
}

/// Refuses a number that is not finite and above zero.
fn positive(loss: &'static str, field: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(Error::Config { loss, field, value, expected: "above 0" })
    }
}

/// Refuses a number that is not finite and at least zero.
fn not_negative(loss: &'static str, field: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(Error::Config { loss, field, value, expected: "0 or more" })
    }
}
