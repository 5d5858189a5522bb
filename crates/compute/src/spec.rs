//! Values of specs as the computation needs them.

use counterstain_api::Digest;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::spec::v1::Dtype;
use counterstain_worker::TaskError;
use tch::Kind;

/// Reads a digest of the field `field`.
///
/// # Errors
/// The text is no digest.
pub fn digest(text: &str, field: &str) -> Result<Digest, TaskError> {
    text.parse().map_err(|error| TaskError::new(ErrorCode::InvalidArgument, format!("{field}: {error}")))
}

/// The autocast dtype of a spec; `None` computes in f32.
pub fn autocast_dtype(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::Bf16 => Some(Kind::BFloat16),
        Dtype::F32 | Dtype::Unspecified => None,
    }
}
