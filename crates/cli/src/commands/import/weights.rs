//! `import generator` and `import encoder`: published weights, read by the program of the worker that knows the networks.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, Result};
use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use serde_json::json;
use tokio::process::Command;

use super::register_if_possible;
use crate::commands::{open_store, store_location};
use crate::options::{Common, ImportEncoderOptions, ImportGeneratorOptions};
use crate::output::{print_json, say};
use crate::system::binaries;

/// Imports weights and says the generator's digest.
pub async fn generator(common: &Common, options: ImportGeneratorOptions) -> Result<()> {
    let mut arguments: Vec<OsString> = vec!["--layer".into(), options.layer.clone().into()];
    if let Some(reverse) = options.reverse {
        arguments.extend(["--reverse".into(), reverse.into()]);
    }
    if let Some(types) = options.types {
        arguments.extend(["--types".into(), types.into()]);
    }
    let digest = import(common, binaries::SYNTHESIS, &options.weights, arguments).await?;
    if common.json {
        print_json(&json!({ "digest": digest, "layer": options.layer }));
    } else {
        say!("{digest}");
    }
    Ok(())
}

/// Imports weights and says the encoder's digest.
pub async fn encoder(common: &Common, options: ImportEncoderOptions) -> Result<()> {
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(normalisation) = options.normalisation {
        arguments.extend(["--normalisation".into(), normalisation.into()]);
    }
    if let Some(side) = options.image_size {
        arguments.extend(["--image-size".into(), side.to_string().into()]);
    }
    let digest = import(common, binaries::EVALUATION, &options.weights, arguments).await?;
    if common.json {
        print_json(&json!({ "digest": digest }));
    } else {
        say!("{digest}");
    }
    Ok(())
}

/// Runs a worker's program to import a file; gives the artifact's digest.
async fn import(common: &Common, program: &str, weights: &Path, arguments: Vec<OsString>) -> Result<Digest> {
    open_store(common)?;
    let mut command = Command::new(binaries::find(program)?);
    command.arg("import-weights").arg(weights).arg("--store").arg(store_location(common)?).args(arguments);
    let output =
        command.kill_on_drop(true).output().await.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let message = said.trim().trim_start_matches("error: ");
        let is_its = |code: &ErrorCode| output.status.code() == Some(i32::from(code.exit_code()));
        let code = ErrorCode::all().find(is_its).unwrap_or(ErrorCode::Internal);
        return Err(ApiError::new(code, message).into());
    }
    let digest: Digest = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    register_if_possible(common, &digest).await;
    Ok(digest)
}
