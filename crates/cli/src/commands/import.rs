//! `import`: from options to an [`Import`], and the running of one with progress and Ctrl-C.

mod weights;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use counterstain_api::Digest;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::artifact::v1::RegisterArtifactRequest;
use counterstain_artifact::Store;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::open_store;
use crate::client::Client;
use crate::failure::fail;
use crate::import::{
    self, Camelyon17Import, Change, Content, FolderImport, Import, Imported, LayerSource, PairedImport,
    PannukeImport, SimulatedImport, SlideImport, StripsImport,
};
use crate::options::{
    ChangeOptions, Common, GroupOptions, ImportCamelyon17Options, ImportCommand, ImportFolderOptions,
    ImportPairedOptions, ImportPannukeOptions, ImportStripsOptions,
};
use crate::output::{duration, print_json, say};
use crate::progress::StepProgress;

/// Imports a dataset and says its digest.
pub async fn import(common: &Common, command: ImportCommand) -> Result<()> {
    let command = match command {
        ImportCommand::Generator(options) => return weights::generator(common, options).await,
        ImportCommand::Encoder(options) => return weights::encoder(common, options).await,
        dataset => dataset,
    };
    let (name, import) = described(command)?;
    let store = open_store(common)?;
    let interrupted = counterstain_service::shutdown::token()?;
    let imported = run_import(common, &name, &import, &store, &interrupted).await?;
    register_if_possible(common, &imported.digest).await;
    if common.json {
        print_json(&json!({ "digest": imported.digest, "name": name, "body": imported.body }));
    } else {
        say!("{}", imported.digest);
    }
    Ok(())
}

/// A running coordinator lists the artifact at once; without one it learns of it when a job names it.
async fn register_if_possible(common: &Common, digest: &Digest) {
    if let Ok(mut client) = Client::connect(common).await {
        let request = RegisterArtifactRequest { digest: digest.to_string() };
        if let Err(status) = client.artifacts.register_artifact(request).await {
            eprintln!(
                "note: the coordinator at {} does not take the artifact: {}",
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
    let progress = Arc::new(StepProgress::new("import", name, common.json));
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
        ImportCommand::Folder(ImportFolderOptions { path, groups, change }) => {
            let (name, change) = changes(change, &path)?;
            let GroupOptions { groups, split } = groups;
            Ok((name, Import::Folder(FolderImport { path, groups, split, change })))
        }
        ImportCommand::Paired(ImportPairedOptions { primary, layers, groups, change }) => {
            let (name, change) = changes(change, &primary)?;
            let layers = layers.iter().map(|text| layer(text)).collect::<Result<_>>()?;
            let GroupOptions { groups, split } = groups;
            Ok((name, Import::Paired(PairedImport { primary, layers, groups, split, change })))
        }
        ImportCommand::Strips(ImportStripsOptions { path, panels, groups, change }) => {
            let (name, change) = changes(change, &path)?;
            let GroupOptions { groups, split } = groups;
            Ok((name, Import::Strips(StripsImport { path, panels, groups, split, change })))
        }
        ImportCommand::Pannuke(ImportPannukeOptions { path, folds, change }) => {
            let (name, change) = changes(change, &path)?;
            let folds = folds.iter().map(|text| named_value("--fold", text)).collect::<Result<_>>()?;
            Ok((name, Import::Pannuke(PannukeImport { path, folds, change })))
        }
        ImportCommand::Camelyon17(ImportCamelyon17Options { path, change }) => {
            let (name, change) = changes(change, &path)?;
            Ok((name, Import::Camelyon17(Camelyon17Import { path, change })))
        }
        ImportCommand::Slide(options) => {
            let name = options.name.unwrap_or_else(|| folder_name(&options.path));
            let GroupOptions { groups, split } = options.groups;
            let slide = SlideImport {
                path: options.path,
                tile: options.tile,
                overlap: options.overlap,
                level: options.level,
                microns_per_pixel: options.microns_per_pixel,
                tissue: options.tissue,
                groups,
                split,
                limit: options.limit,
                skip_bad: options.skip_bad,
                hold_out: held_out(&options.hold_out)?,
            };
            Ok((name, Import::Slide(slide)))
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
        ImportCommand::Generator(_) | ImportCommand::Encoder(_) => {
            Err(fail(ErrorCode::Internal, "weights are no dataset"))
        }
    }
}

fn folder_name(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.file_name().map_or_else(|| "tiles".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The dataset's name and what is changed on the way in.
fn changes(options: ChangeOptions, folder: &Path) -> Result<(String, Change)> {
    let ChangeOptions { name, downsample, tile, limit, skip_bad, microns_per_pixel, hold_out_by, .. } =
        options;
    let hold_out = held_out(&options.hold_out)?;
    let change = Change { downsample, tile, limit, skip_bad, microns_per_pixel, hold_out, hold_out_by };
    Ok((name.unwrap_or_else(|| folder_name(folder)), change))
}

/// `--hold-out SPLIT=SHARE`, however often.
fn held_out(texts: &[String]) -> Result<BTreeMap<String, f64>> {
    texts
        .iter()
        .map(|text| {
            let (split, share) = named_value("--hold-out", text)?;
            let share = share.parse().map_err(|_| {
                fail(ErrorCode::InvalidArgument, format!("--hold-out {text}: {share:?} is no number"))
            })?;
            Ok((split, share))
        })
        .collect()
}

/// `NAME=VALUE` of an option.
fn named_value(option: &str, text: &str) -> Result<(String, String)> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(fail(ErrorCode::InvalidArgument, format!("{option} {text}: expected NAME=VALUE")));
    };
    Ok((name.to_owned(), value.to_owned()))
}

/// `NAME=DIR` or `NAME:KIND=DIR`.
fn layer(text: &str) -> Result<(String, LayerSource)> {
    let invalid = |reason: &str| {
        let kinds = Content::ALL.map(|(word, _)| word).join(", ");
        let wanted = format!("expected NAME=DIR or NAME:KIND=DIR with a KIND of {kinds}");
        fail(ErrorCode::InvalidArgument, format!("--layer {text}: {reason}; {wanted}"))
    };
    let (name, path) = text.split_once('=').ok_or_else(|| invalid("there is no '='"))?;
    let (name, word) = name.split_once(':').unwrap_or((name, "image"));
    let content = Content::named(word).ok_or_else(|| invalid("the kind is unknown"))?;
    if path.is_empty() {
        return Err(invalid("the folder is empty"));
    }
    Ok((name.to_owned(), LayerSource { path: path.into(), content }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_with_their_kind() {
        let (name, source) = layer("types:label=a/b=c").unwrap();
        assert_eq!(
            (name.as_str(), source.path.to_str().unwrap(), source.content),
            ("types", "a/b=c", Content::Label)
        );
        assert_eq!(layer("ihc=x").unwrap().1.content, Content::Image);
        for text in ["types", "types:labels=x", "types="] {
            assert!(layer(text).unwrap_err().to_string().contains("NAME:KIND=DIR"));
        }
    }
}
