//! `import generator`: published weights, read by the synthesis worker's program, which knows the networks.

use anyhow::{Context as _, Result};
use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use serde_json::json;
use tokio::process::Command;

use super::register_if_possible;
use crate::commands::{open_store, store_location};
use crate::options::{Common, ImportGeneratorOptions};
use crate::output::{print_json, say};
use crate::system::binaries;

/// Imports weights and says the generator's digest.
pub async fn import(common: &Common, options: ImportGeneratorOptions) -> Result<()> {
    open_store(common)?;
    let mut command = Command::new(binaries::find(binaries::SYNTHESIS)?);
    command.arg("import-weights").arg(&options.weights).arg("--store").arg(store_location(common)?);
    command.arg("--layer").arg(&options.layer);
    if let Some(reverse) = &options.reverse {
        command.arg("--reverse").arg(reverse);
    }
    if let Some(types) = &options.types {
        command.arg("--types").arg(types);
    }
    let output = command.kill_on_drop(true).output().await.context("cannot start the synthesis program")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let message = said.trim().trim_start_matches("error: ");
        let is_its = |code: &ErrorCode| output.status.code() == Some(i32::from(code.exit_code()));
        let code = ErrorCode::all().find(is_its).unwrap_or(ErrorCode::Internal);
        return Err(ApiError::new(code, message).into());
    }
    let digest: Digest = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    register_if_possible(common, &digest).await;
    if common.json {
        print_json(&json!({ "digest": digest, "layer": options.layer }));
    } else {
        say!("{digest}");
    }
    Ok(())
}
