//! Cross-entropy of a classifier's logits: the supervised baseline.

use tch::{Kind, Tensor};

use super::{Error, Reduction, full_precision, without_autocast};

/// The loss and its parts.
#[derive(Debug)]
pub struct CrossEntropyTerms {
    /// What to minimise, shape [], reduced over samples as asked.
    pub total: Tensor,
    /// One value per sample, shape [N].
    pub per_sample: Tensor,
    /// The share of samples whose largest logit is that of their label; shape [],
    /// no gradient.
    pub accuracy: Tensor,
}

impl CrossEntropyTerms {
    /// The figures to record: `loss` (the mean over samples, whatever the
    /// reduction) and `accuracy`; detached.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, Tensor)> {
        vec![
            ("loss", self.per_sample.detach().mean(self.per_sample.kind())),
            ("accuracy", self.accuracy.detach()),
        ]
    }
}

/// −log softmax of `logits` [N, C] at `labels` (int64 [N], each in 0..C).
///
/// # Errors
/// When shapes or types do not fit, the batch is empty, or a label is out of range.
pub fn cross_entropy(
    logits: &Tensor,
    labels: &Tensor,
    reduction: Reduction,
) -> Result<CrossEntropyTerms, Error> {
    let (&[samples, classes], &[labelled]) = (&logits.size()[..], &labels.size()[..]) else {
        return Err(Error::Labels(format!(
            "logits are {:?} and labels {:?} where [N, C] and [N] are needed",
            logits.size(),
            labels.size()
        )));
    };
    if samples == 0 || classes == 0 || samples != labelled {
        return Err(Error::Labels(format!("{samples} rows of {classes} logits for {labelled} labels")));
    }
    if labels.kind() != Kind::Int64 {
        return Err(Error::Labels(format!("labels are {:?}, not int64", labels.kind())));
    }
    let (least, most) = (labels.min().int64_value(&[]), labels.max().int64_value(&[]));
    if least < 0 || most >= classes {
        return Err(Error::Labels(format!(
            "labels reach from {least} to {most}, there are {classes} classes"
        )));
    }
    Ok(without_autocast(logits, || {
        let logits = full_precision(logits);
        let likelihood = logits.log_softmax(1, logits.kind());
        let per_sample = -likelihood.gather(1, &labels.unsqueeze(1), false).squeeze_dim(1);
        let correct = logits.detach().argmax(1, false).eq_tensor(labels);
        CrossEntropyTerms {
            total: reduction.apply(&per_sample),
            per_sample,
            accuracy: correct.to_kind(logits.kind()).mean(logits.kind()),
        }
    }))
}
