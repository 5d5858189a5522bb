//! InfoNCE as in the paper: symmetric over every pair of branches, with the other
//! samples of the *other* branch as negatives.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Error, Reduction, checked_shape, in_full_precision, positive, without_autocast};

const LOSS: &str = "infonce";

/// The numbers of InfoNCE; the default is the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InfonceConfig {
    /// τ, by which cosine similarities are divided; above 0.
    pub temperature: f64,
    pub reduction: Reduction,
}

impl Default for InfonceConfig {
    fn default() -> Self {
        Self { temperature: 0.5, reduction: Reduction::Mean }
    }
}

/// The cross-entropies between one pair of branches, shape [N] each.
#[derive(Debug)]
pub struct InfoncePair {
    /// Positions of the branches, first < second.
    pub branches: (usize, usize),
    /// Finding a sample of the first branch among those of the second.
    pub forward: Tensor,
    /// Finding a sample of the second branch among those of the first.
    pub backward: Tensor,
}

/// The loss and its parts, all with their graph.
#[derive(Debug)]
pub struct InfonceTerms {
    /// What to minimise, shape [], reduced over samples as configured.
    pub total: Tensor,
    /// One value per sample, shape [N]: over unordered pairs, the sum of the mean of
    /// both directions.
    pub per_sample: Tensor,
    /// Every unordered pair, in order.
    pub pairs: Vec<InfoncePair>,
    /// The share of samples whose nearest neighbour in the other branch is
    /// themselves, over all pairs and directions; shape [], no gradient.
    pub accuracy: Tensor,
}

impl InfonceTerms {
    /// The figures to record: `loss` (the mean over samples, whatever the
    /// reduction) and `retrieval_accuracy`; detached.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, Tensor)> {
        vec![
            ("loss", self.per_sample.detach().mean(self.per_sample.kind())),
            ("retrieval_accuracy", self.accuracy.detach()),
        ]
    }
}

/// InfoNCE of `branches`: embeddings [N, D] of the same samples in the same order,
/// N ≥ 2. Values and gradients are finite for embeddings and temperatures of any
/// size.
///
/// # Errors
/// For fewer than two branches or samples (a batch of one has no negatives),
/// shapes that differ, or a temperature that is not above 0.
pub fn infonce(branches: &[Tensor], config: &InfonceConfig) -> Result<InfonceTerms, Error> {
    checked_shape(LOSS, branches, "a batch of one has no negatives")?;
    positive(LOSS, "temperature", config.temperature)?;
    Ok(without_autocast(&branches[0], || {
        let directions: Vec<Tensor> = in_full_precision(branches).iter().map(unit_rows).collect();
        let kind = directions[0].kind();
        let mut pairs = Vec::new();
        let mut correct = Vec::new();
        for first in 0..directions.len() {
            for second in first + 1..directions.len() {
                let similarity = directions[first].matmul(&directions[second].tr()) / config.temperature;
                correct.push(retrieval(&similarity));
                correct.push(retrieval(&similarity.tr()));
                pairs.push(InfoncePair {
                    branches: (first, second),
                    forward: own_cross_entropy(&similarity),
                    backward: own_cross_entropy(&similarity.tr()),
                });
            }
        }
        let halves = pairs.iter().map(|pair| (&pair.forward + &pair.backward) / 2.0);
        let per_sample = halves.reduce(|left, right| left + right).expect("there is at least one pair");
        InfonceTerms {
            total: config.reduction.apply(&per_sample),
            per_sample,
            pairs,
            accuracy: Tensor::stack(&correct, 0).mean(kind),
        }
    }))
}

/// Rows scaled to length 1, as `tf.math.l2_normalize` does (rows shorter than 1e-6
/// are divided by 1e-6), but safe for rows whose squares overflow: large rows are
/// first divided by their largest entry, which changes neither value nor gradient.
fn unit_rows(embeddings: &Tensor) -> Tensor {
    let kind = embeddings.kind();
    let size = embeddings.detach().abs().amax(&[1i64][..], true).clamp_min(1.0);
    let rows = embeddings / size;
    let squares = rows.square().sum_dim_intlist(&[1i64][..], true, kind);
    &rows * squares.clamp_min(1e-12).rsqrt()
}

/// −log softmax of each row at its own position: shape [N].
fn own_cross_entropy(logits: &Tensor) -> Tensor {
    -logits.log_softmax(1, logits.kind()).diagonal(0, 0, 1)
}

/// Which rows are largest at their own position: 0 or 1, shape [N].
fn retrieval(logits: &Tensor) -> Tensor {
    let own = Tensor::arange(logits.size()[0], (tch::Kind::Int64, logits.device()));
    logits.detach().argmax(1, false).eq_tensor(&own).to_kind(logits.kind())
}
