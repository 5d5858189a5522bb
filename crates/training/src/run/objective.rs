//! From embeddings to the loss and its named terms, as the spec asks.

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::training::v1::{Loss, LossReduction, TrainEncoderSpec};
use counterstain_worker::TaskError;
use tch::Tensor;

use crate::engine::loss::{
    InfonceConfig, Reduction, VicregConfig, VicregNormalisation, cross_entropy, infonce, vicreg,
};

/// What a step minimises and what it records.
pub struct Value {
    /// To be differentiated, shape [].
    pub total: Tensor,
    /// The figures to record, by name; detached.
    pub terms: Vec<(&'static str, Tensor)>,
}

/// The objective of a spec.
pub enum Objective {
    Vicreg(VicregConfig),
    Infonce(InfonceConfig),
    CrossEntropy(Reduction),
}

impl Objective {
    pub fn new(spec: &TrainEncoderSpec) -> Self {
        let reduction = match spec.loss_reduction() {
            LossReduction::Mean => Reduction::Mean,
            LossReduction::Sum | LossReduction::Unspecified => Reduction::Sum,
        };
        match spec.loss() {
            Loss::Infonce => Self::Infonce(InfonceConfig { temperature: spec.temperature(), reduction }),
            Loss::CrossEntropy => Self::CrossEntropy(reduction),
            Loss::Vicreg | Loss::Unspecified => Self::Vicreg(VicregConfig {
                invariance: spec.vicreg_lambda(),
                variance: spec.vicreg_mu(),
                covariance: spec.vicreg_nu(),
                normalisation: VicregNormalisation::Trident,
                reduction,
                ..VicregConfig::default()
            }),
        }
    }

    /// The loss of embeddings `[N, D]` per branch, or of logits `[N, classes]` with `labels` `[N]`.
    ///
    /// # Errors
    /// The tensors do not fit the loss.
    pub fn value(&self, outputs: &[Tensor], labels: &Tensor) -> Result<Value, TaskError> {
        let outcome = match self {
            Self::Vicreg(config) => {
                vicreg(outputs, config).map(|terms| Value { terms: terms.named(), total: terms.total })
            }
            Self::Infonce(config) => {
                infonce(outputs, config).map(|terms| Value { terms: terms.named(), total: terms.total })
            }
            Self::CrossEntropy(reduction) => cross_entropy(&outputs[0], labels, *reduction)
                .map(|terms| Value { terms: terms.named(), total: terms.total }),
        };
        outcome.map_err(|error| TaskError::new(ErrorCode::InvalidArgument, error.to_string()))
    }
}
