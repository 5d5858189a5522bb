//! Imports planned files: decoded in parallel in bounded batches, written in order.

use std::collections::BTreeMap;

use counterstain_artifact::{Skipped, Store};
use counterstain_tile::decode::Limits;
use rayon::prelude::*;
use tokio::runtime::Handle;

use super::description::Change;
use super::error::ImportError;
use super::plan::{Plan, Planned};
use super::prepare::{Prepared, prepare};
use super::write::{About, DatasetWriter, Imported, Sample};
use super::{Context, Step};

/// A batch ends at this many samples or bytes of files, so that memory does not grow with the import.
const BATCH_SAMPLES: usize = 256;
const BATCH_BYTES: u64 = 32 << 20;

/// Imports all samples of a plan.
///
/// # Errors
/// All unusable files (unless they may be skipped), classes that end up empty, interruption, and those of
/// the disk and the store. Nothing is registered then.
pub fn import_files(
    plan: Plan,
    change: &Change,
    about: About,
    store: &Store,
    handle: &Handle,
    context: &Context<'_>,
) -> Result<Imported, ImportError> {
    let limits = Limits::default();
    let mut bad: Vec<Skipped> = plan.bad.clone();
    let spool = tempfile::Builder::new()
        .prefix("import-")
        .tempdir_in(context.spool)
        .map_err(|source| ImportError::read(context.spool, source))?;
    let layers = plan.layers.iter().map(|layer| (layer.name.clone(), layer.content.kind()));
    let mut writer = DatasetWriter::new(store, handle, spool.path().to_owned(), layers, !change.skip_bad);
    let mut kept: BTreeMap<String, u64> =
        plan.samples.iter().filter_map(|sample| Some((class_of(sample)?, 0))).collect();
    let total = plan.samples.len() as u64;
    let mut done = 0;
    for batch in batches(&plan) {
        if context.is_interrupted() {
            return Err(ImportError::Interrupted);
        }
        let prepared: Vec<Result<Vec<Prepared>, Vec<Skipped>>> =
            batch.par_iter().map(|sample| prepare(&plan, sample, change, &limits)).collect();
        for (sample, outcome) in batch.iter().zip(prepared) {
            match outcome {
                Ok(pieces) if bad.is_empty() || change.skip_bad => {
                    if let Some(class) = class_of(sample) {
                        *kept.entry(class).or_default() += pieces.len() as u64;
                    }
                    for piece in pieces {
                        writer.add(to_write(sample, piece))?;
                    }
                }
                // One bad file is enough to import nothing; the others are still read, to list all faults.
                Ok(_) => {}
                Err(faults) => bad.extend(faults),
            }
        }
        done += batch.len() as u64;
        context.report(Step { phase: "reading", done, total, unit: "files", bad: bad.len() as u64 });
    }
    bad.sort_by(|first, second| first.path.cmp(&second.path).then_with(|| first.reason.cmp(&second.reason)));
    if !bad.is_empty() && !change.skip_bad {
        return Err(ImportError::BadFiles(bad));
    }
    let empty: Vec<String> =
        kept.into_iter().filter(|(_, samples)| *samples == 0).map(|(class, _)| class).collect();
    if !empty.is_empty() {
        return Err(ImportError::EmptyClasses(empty));
    }
    if total == bad.len() as u64 && plan.samples.is_empty() {
        return Err(ImportError::Invalid("no file can be used: there is nothing to import".to_owned()));
    }
    if context.is_interrupted() {
        return Err(ImportError::Interrupted);
    }
    context.report(Step { phase: "storing", done: total, total, unit: "files", bad: bad.len() as u64 });
    writer.finish(about, bad)
}

/// Split and label, for people.
fn class_of(sample: &Planned) -> Option<String> {
    let label = sample.label.as_deref()?;
    Some(match &sample.split {
        Some(split) => format!("{split}/{label}"),
        None => label.to_owned(),
    })
}

fn to_write(sample: &Planned, piece: Prepared) -> Sample {
    Sample {
        key: piece.key,
        files: piece
            .files
            .into_iter()
            .map(|file| (file.extension, file.bytes.into(), file.channels))
            .collect(),
        width: piece.width,
        height: piece.height,
        label: sample.label.clone(),
        split: piece.split.or_else(|| sample.split.clone()),
        group: piece.group,
    }
}

/// Cuts the samples into batches of bounded count and size; sizes come from the file system.
fn batches(plan: &Plan) -> impl Iterator<Item = &[Planned]> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == plan.samples.len() {
            return None;
        }
        let mut end = start;
        let mut bytes = 0;
        while end < plan.samples.len() && end - start < BATCH_SAMPLES && bytes < BATCH_BYTES {
            bytes += plan.samples[end].source.bytes(&plan.layers);
            end += 1;
        }
        let batch = &plan.samples[start..end];
        start = end;
        Some(batch)
    })
}
