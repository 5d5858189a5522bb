//! The commands, one module each (or one for a family of small ones).

mod artifacts;
mod doctor;
mod export;
mod generators;
mod geojson;
mod import;
mod jobs;
mod live_pictures;
mod pictures;
mod pipeline;
mod report;
mod results;
mod run;
mod run_progress;
mod synthesize;
mod up;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use counterstain_artifact::Store;

use crate::failure::refused;
use crate::options::{Command, Common, Options};
use crate::system::{child, lock};

/// Does what the command line asks.
///
/// # Errors
/// Why it could not be done.
pub fn dispatch(options: Options) -> Result<()> {
    if let Command::Child(options) = &options.command {
        // Before any thread exists: this process becomes another program.
        return child::become_child(options);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(dispatch_async(options));
    // A connection or import thread that is still busy must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}

async fn dispatch_async(options: Options) -> Result<()> {
    let common = options.common;
    match options.command {
        Command::Import(command) => import::import(&common, command).await,
        Command::Up(options) => up::up(&common, options).await,
        Command::Run(options) => Box::pin(run::run(&common, options)).await,
        Command::Submit(options) => pipeline::submit_command(&common, options).await,
        Command::Jobs(options) => jobs::list(&common, options).await,
        Command::Job(options) => jobs::show(&common, options).await,
        Command::Watch(options) => jobs::watch(&common, options).await,
        Command::Logs(options) => jobs::logs(&common, options).await,
        Command::Pictures(options) => live_pictures::write(&common, options).await,
        Command::Cancel(options) => jobs::cancel(&common, options).await,
        Command::Retry(options) => jobs::retry(&common, options).await,
        Command::Explain(options) => jobs::explain(&common, options).await,
        Command::Workers => jobs::workers(&common).await,
        Command::Artifacts(options) => artifacts::list(&common, options).await,
        Command::Generators(options) => generators::list(&common, options).await,
        Command::Show(options) => artifacts::show(&common, options).await,
        Command::Tag(options) => artifacts::tag(&common, options).await,
        Command::Report(options) => report::report(&common, options).await,
        Command::Export(options) => export::export(&common, options).await,
        Command::Synthesize(options) => synthesize::synthesize(&common, options).await,
        Command::Doctor => doctor::doctor(&common).await,
        Command::Child(_) => Ok(()),
    }
}

/// Location of the store that is meant: the given one, that of the system on the data folder, or `store/`
/// in the data folder.
pub(crate) fn store_location(common: &Common) -> Result<String> {
    if let Some(location) = &common.store {
        return absolute_location(location);
    }
    if let Some(system) = lock::running_system(&common.data) {
        return Ok(system.store);
    }
    let folder: PathBuf = std::path::absolute(common.data.join("store"))?;
    Ok(folder.display().to_string())
}

/// A folder as an absolute path, so that programs started elsewhere mean the same; URLs stay as they are.
fn absolute_location(location: &str) -> Result<String> {
    if location.contains(':') {
        return Ok(location.to_owned());
    }
    Ok(std::path::absolute(location)?.display().to_string())
}

/// Opens the store, making its folder if it is one.
pub(crate) fn open_store(common: &Common) -> Result<Store> {
    let location = store_location(common)?;
    if !location.contains(':') {
        std::fs::create_dir_all(&location)
            .map_err(|error| anyhow::anyhow!("cannot make the store's folder {location}: {error}"))?;
    }
    Ok(Store::open(&location)?)
}

/// Writes a file beside its place, whose folder is made, and moves it there: it is whole or not there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make the folder {}", parent.display()))?;
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Turns the coordinator's answer into its content.
pub(crate) fn answer<T>(result: Result<tonic::Response<T>, tonic::Status>) -> Result<T> {
    result.map(tonic::Response::into_inner).map_err(refused)
}
