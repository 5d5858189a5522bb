//! From embeddings to the loss and its named terms, as the spec asks.

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::training::v1::{Loss, LossReduction, TrainEncoderSpec};
use counterstain_worker::TaskError;
use tch::Tensor;

use crate::engine::loss::{
    Computed, InfonceConfig, JointEmbedding, Reduction, VicregConfig, VicregNormalisation, cross_entropy,
};

/// The objective of a spec.
pub enum Objective {
    JointEmbedding(JointEmbedding),
    CrossEntropy(Reduction),
}

impl Objective {
    pub fn new(spec: &TrainEncoderSpec) -> Self {
        let reduction = match spec.loss_reduction() {
            LossReduction::Mean => Reduction::Mean,
            LossReduction::Sum | LossReduction::Unspecified => Reduction::Sum,
        };
        match spec.loss() {
            Loss::CrossEntropy => Self::CrossEntropy(reduction),
            Loss::Infonce => Self::JointEmbedding(JointEmbedding::Infonce(InfonceConfig {
                temperature: spec.temperature(),
                reduction,
            })),
            Loss::Vicreg | Loss::Unspecified => Self::JointEmbedding(JointEmbedding::Vicreg(VicregConfig {
                invariance: spec.vicreg_lambda(),
                variance: spec.vicreg_mu(),
                covariance: spec.vicreg_nu(),
                normalisation: VicregNormalisation::Trident,
                reduction,
                ..VicregConfig::default()
            })),
        }
    }

    /// The loss of embeddings `[N, D]` per branch, or of logits `[N, classes]` with `labels` `[N]`.
    ///
    /// # Errors
    /// The tensors do not fit the loss.
    pub fn compute(&self, outputs: &[Tensor], labels: &Tensor) -> Result<Computed, TaskError> {
        let outcome = match self {
            Self::JointEmbedding(loss) => loss.compute(outputs),
            Self::CrossEntropy(reduction) => cross_entropy(&outputs[0], labels, *reduction)
                .map(|terms| Computed { named: terms.named(), total: terms.total }),
        };
        outcome.map_err(|error| TaskError::new(ErrorCode::InvalidArgument, error.to_string()))
    }
}
