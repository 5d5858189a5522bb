//! Published weights as artifacts of the store: what the programs that import them share.
//!
//! Invariant: nothing is unpickled that could run code, and no file larger than [`MAX_BYTES`] is read.

use bytes::Bytes;
use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_artifact::{ManifestParts, Store, put_artifact};
use counterstain_model::weights;
use counterstain_torch::NamedTensors;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

/// Largest file of weights.
const MAX_BYTES: u64 = 4 << 30;

/// Reads the tensors of a torch checkpoint or safetensors file.
///
/// # Errors
/// A file that cannot be read, is too large, or is neither.
pub fn read(file: &Path) -> Result<NamedTensors, ApiError> {
    let unreadable = |error: std::io::Error| {
        ApiError::new(ErrorCode::NotFound, format!("cannot read {}: {error}", file.display()))
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(unfit(file, &format!("has {size} bytes, more than the limit of {MAX_BYTES}")));
    }
    weights::read(&std::fs::read(file).map_err(unreadable)?).map_err(|error| unfit(file, &error))
}

/// The error for a file that is not what it should be.
pub fn unfit(file: &Path, reason: &dyn Display) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, format!("{}: {reason}", file.display()))
}

/// Puts an artifact into the store at a location: a folder, or `s3://BUCKET/PREFIX`.
///
/// # Errors
/// The store's.
pub fn put(location: &str, parts: ManifestParts, objects: Vec<(String, Bytes)>) -> Result<Digest, ApiError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
    let stored = async { put_artifact(&Store::open(location)?, parts, objects).await };
    runtime.block_on(stored).map_err(|error| ApiError::new(error.code(), error.to_string()))
}

/// The end of a program that imports: prints the artifact's digest, or the error.
pub fn finish(imported: Result<Digest, ApiError>) -> ExitCode {
    match imported {
        Ok(digest) => {
            println!("{digest}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code.exit_code())
        }
    }
}
