//! The one error of the pure engine: bad input named by what it is and where.

/// Why a metric, a fit or a split could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two inputs that belong together differ in length.
    #[error("{what} has {found} entries where {expected} are needed; pass one entry for each sample")]
    Length {
        /// The input that has the wrong length.
        what: &'static str,
        /// The length of what it belongs to.
        expected: usize,
        /// Its own length.
        found: usize,
    },
    /// A number that must be finite is not.
    #[error("{what} is not finite at index {index}; check the representations for an encoder that diverged")]
    NotFinite {
        /// The input.
        what: &'static str,
        /// The first offending index (row-major).
        index: usize,
    },
    /// A label is not one of the classes.
    #[error("label {label} of sample {index} is outside the {classes} classes")]
    Label {
        /// The offending label.
        label: usize,
        /// The sample that has it.
        index: usize,
        /// The number of classes.
        classes: usize,
    },
    /// The metric has no value on this input.
    #[error("{metric} is undefined: {why}")]
    Undefined {
        /// The metric.
        metric: &'static str,
        /// What is missing.
        why: String,
    },
    /// A parameter is outside its range.
    #[error("{what}: {why}")]
    Invalid {
        /// The parameter.
        what: &'static str,
        /// What is wrong and what to do.
        why: String,
    },
    /// libtorch refused an operation.
    #[error("libtorch failed: {0}")]
    Torch(#[from] tch::TchError),
}

/// Shorthand of the engine.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn same_length(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}

pub(crate) fn finite(what: &'static str, values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite { what, index }),
    }
}

pub(crate) fn labels_within(labels: &[usize], classes: usize) -> Result<()> {
    match labels.iter().position(|&label| label >= classes) {
        None => Ok(()),
        Some(index) => Err(Error::Label { label: labels[index], index, classes }),
    }
}

pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> Error {
    Error::Invalid { what, why: why.into() }
}

pub(crate) fn undefined(metric: &'static str, why: impl Into<String>) -> Error {
    Error::Undefined { metric, why: why.into() }
}
