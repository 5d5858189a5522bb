//! Finds the programs of the local system beside this one.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use counterstain_api::error::{ApiError, ErrorCode};

/// The coordinator's program.
pub const COORDINATOR: &str = "counterstain-coordinator";
/// The workers' programs.
pub const WORKERS: [&str; 3] = [SYNTHESIS, TRAINING, EVALUATION];
/// The synthesis worker's program.
pub const SYNTHESIS: &str = "counterstain-synthesis";
/// The training worker's program.
pub const TRAINING: &str = "counterstain-training";
/// The evaluation worker's program.
pub const EVALUATION: &str = "counterstain-evaluation";

/// The folder that programs are looked for in: this program's own, or `COUNTERSTAIN_BIN_DIR`.
///
/// # Errors
/// When the system does not say where this program is.
pub fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("COUNTERSTAIN_BIN_DIR") {
        return Ok(folder.into());
    }
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(own.parent().map(PathBuf::from).unwrap_or_default())
}

/// The path of a program.
///
/// # Errors
/// `not_found` when it is not there.
pub fn find(name: &str) -> Result<PathBuf> {
    let folder = folder()?;
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    let text = format!("{name} was not found in {}", folder.display());
    Err(ApiError::new(ErrorCode::NotFound, text)
        .help("build all programs with `cargo build --release`, or set COUNTERSTAIN_BIN_DIR to their folder")
        .into())
}
