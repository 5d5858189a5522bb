//! `import`: from options to an [`Import`], and the running of one with progress and Ctrl-C.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::artifact::v1::RegisterArtifactRequest;
use counterstain_artifact::{LayerKind, Store};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::open_store;
use crate::client::Client;
use crate::failure::fail;
use crate::import::{
    self, Change, FolderImport, Import, Imported, LayerSource, PairedImport, SimulatedImport,
};
use crate::options::{ChangeOptions, Common, ImportCommand};
use crate::output::{duration, print_json, say};
use crate::progress::ImportProgress;

/// Imports a dataset and says its digest.
pub async fn import(common: &Common, command: ImportCommand) -> Result<()> {
    let (name, import) = described(command)?;
    let store = open_store(common)?;
    let interrupted = counterstain_service::shutdown::token()?;
    let imported = run_import(common, &name, &import, &store, &interrupted).await?;
    register_if_possible(common, &imported).await;
    if common.json {
        print_json(&json!({ "digest": imported.digest, "name": name, "body": imported.body }));
    } else {
        say!("{}", imported.digest);
    }
    Ok(())
}

/// A running coordinator lists the dataset at once; without one it learns of it when a job names it.
async fn register_if_possible(common: &Common, imported: &Imported) {
    if let Ok(mut client) = Client::connect(common).await {
        let request = RegisterArtifactRequest { digest: imported.digest.to_string() };
        if let Err(status) = client.artifacts.register_artifact(request).await {
            eprintln!(
                "note: the coordinator at {} does not take the dataset: {}",
                client.url,
                status.message()
            );
        }
    }
}

/// Runs one import with progress on stderr; ends it when `interrupted` is cancelled.
///
/// # Errors
/// Those of the import; nothing is registered then.
pub async fn run_import(
    common: &Common,
    name: &str,
    description: &Import,
    store: &Store,
    interrupted: &CancellationToken,
) -> Result<Imported> {
    let spool = common.data.join("cache");
    std::fs::create_dir_all(&spool).with_context(|| format!("cannot make {}", spool.display()))?;
    let progress = Arc::new(ImportProgress::new(name, common.json));
    let flag = Arc::new(AtomicBool::new(false));
    let worker = {
        let (name, description, store) = (name.to_owned(), description.clone(), store.clone());
        let (progress, flag) = (Arc::clone(&progress), Arc::clone(&flag));
        let handle = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let on_step = |step| progress.show(step);
            let context = import::Context { spool: &spool, interrupted: &flag, on_step: &on_step };
            import::import(&name, &description, &store, &handle, &context)
        })
    };
    let stopper = {
        let (flag, interrupted) = (Arc::clone(&flag), interrupted.clone());
        tokio::spawn(async move {
            interrupted.cancelled().await;
            flag.store(true, Ordering::Relaxed);
        })
    };
    let outcome = worker.await.context("the import ended unexpectedly");
    stopper.abort();
    progress.finish();
    let imported = outcome??;
    let seconds = progress.elapsed().as_secs_f64();
    if common.json {
        let samples = imported.body.samples;
        eprintln!(
            "{}",
            json!({ "import": name, "digest": imported.digest, "samples": samples, "seconds": seconds })
        );
    } else {
        eprintln!("{name}: {} in {}", summary(&imported), duration(seconds));
    }
    Ok(imported)
}

fn summary(imported: &Imported) -> String {
    let body = &imported.body;
    let splits: Vec<String> =
        body.splits.iter().map(|(split, samples)| format!("{split} {samples}")).collect();
    let classes =
        if body.classes.is_empty() { String::new() } else { format!(", {} classes", body.classes.len()) };
    let skipped = if body.skipped.is_empty() {
        String::new()
    } else {
        format!(", {} files skipped", body.skipped.len())
    };
    format!("{} samples ({}){classes}{skipped}", body.samples, splits.join(", "))
}

fn described(command: ImportCommand) -> Result<(String, Import)> {
    match command {
        ImportCommand::Folder(options) => {
            let name = dataset_name(&options.change, &options.path);
            let (change, groups, split) = changes(options.change);
            Ok((name, Import::Folder(FolderImport { path: options.path, groups, split, change })))
        }
        ImportCommand::Paired(options) => {
            let name = dataset_name(&options.change, &options.primary);
            let (change, groups, split) = changes(options.change);
            let layers = options.layers.iter().map(|text| layer(text)).collect::<Result<_>>()?;
            Ok((
                name,
                Import::Paired(PairedImport { primary: options.primary, layers, groups, split, change }),
            ))
        }
        ImportCommand::Simulated(options) => {
            let mut simulated = SimulatedImport {
                samples: options.samples,
                size: options.size,
                seed: options.seed,
                centres: options.centres,
                patients: options.patients,
                nuisance: options.nuisance,
                ..SimulatedImport::default()
            };
            if !options.layers.is_empty() {
                simulated.layers = options.layers;
            }
            Ok((options.name, Import::Simulated(simulated)))
        }
    }
}

fn dataset_name(change: &ChangeOptions, folder: &Path) -> String {
    let from_folder = || {
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        absolute.file_name().map_or_else(|| "tiles".to_owned(), |name| name.to_string_lossy().into_owned())
    };
    change.name.clone().unwrap_or_else(from_folder)
}

fn changes(options: ChangeOptions) -> (Change, Option<std::path::PathBuf>, Option<String>) {
    let ChangeOptions { downsample, tile, limit, skip_bad, microns_per_pixel, groups, split, .. } = options;
    (Change { downsample, tile, limit, skip_bad, microns_per_pixel }, groups, split)
}

/// `NAME=DIR`, `NAME:label=DIR`, `NAME:instance=DIR`.
fn layer(text: &str) -> Result<(String, LayerSource)> {
    let invalid = |reason: &str| {
        let wanted = "expected NAME=DIR, NAME:label=DIR or NAME:instance=DIR";
        fail(ErrorCode::InvalidArgument, format!("--layer {text}: {reason}; {wanted}"))
    };
    let (name, path) = text.split_once('=').ok_or_else(|| invalid("there is no '='"))?;
    let (name, kind) = match name.split_once(':') {
        None => (name, LayerKind::Image),
        Some((name, "image")) => (name, LayerKind::Image),
        Some((name, "label")) => (name, LayerKind::Label),
        Some((name, "instance")) => (name, LayerKind::Instance),
        Some(_) => return Err(invalid("the kind is unknown")),
    };
    if path.is_empty() {
        return Err(invalid("the folder is empty"));
    }
    Ok((name.to_owned(), LayerSource { path: path.into(), kind }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_with_their_kind() {
        let (name, source) = layer("types:label=a/b=c").unwrap();
        assert_eq!(
            (name.as_str(), source.path.to_str().unwrap(), source.kind),
            ("types", "a/b=c", LayerKind::Label)
        );
        assert_eq!(layer("ihc=x").unwrap().1.kind, LayerKind::Image);
        for text in ["types", "types:labels=x", "types="] {
            assert!(layer(text).unwrap_err().to_string().contains("NAME:label=DIR"));
        }
    }
}
