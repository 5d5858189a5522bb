//! Imports simulated tissue: rendered in parallel, in the order of the simulation's own assignments.

use std::sync::Arc;

use counterstain_artifact::{LayerKind, Store};
use counterstain_simulate::{MICRONS_PER_PIXEL, SplitSizes, Tissue};
use counterstain_tile::encode::{encode_labels_png, encode_png};
use rayon::prelude::*;
use tokio::runtime::Handle;

use super::description::SimulatedImport;
use super::error::ImportError;
use super::plan::PRIMARY;
use super::write::{About, DatasetWriter, Imported, Sample};
use super::{Context, Step};

/// Samples rendered between two looks at the interrupt flag.
const BATCH: usize = 64;

/// The layers that can be written beside the primary image, with what their pixels mean.
pub const LAYERS: [(&str, LayerKind); 4] = [
    ("types", LayerKind::Label),
    ("instances", LayerKind::Instance),
    ("ihc", LayerKind::Image),
    ("if", LayerKind::Image),
];

/// Simulates a dataset.
///
/// A fifth of the samples each are the valid and test splits; test is the centre that differs most.
///
/// # Errors
/// An unknown layer, interruption, and those of the disk and the store.
pub fn import_simulated(
    import: &SimulatedImport,
    name: &str,
    source: serde_json::Value,
    store: &Store,
    handle: &Handle,
    context: &Context<'_>,
) -> Result<Imported, ImportError> {
    let mut layers = vec![(PRIMARY.to_owned(), LayerKind::Image)];
    for layer in &import.layers {
        let Some((known, kind)) = LAYERS.iter().find(|(known, _)| known == layer) else {
            let known: Vec<&str> = LAYERS.iter().map(|(known, _)| *known).collect();
            let hint = counterstain_api::spec::suggestion(layer, known.iter().copied());
            let text =
                format!("the simulation has no layer {layer:?}; expected one of {}{hint}", known.join(", "));
            return Err(ImportError::Invalid(text));
        };
        if layers.iter().any(|(other, _)| other == known) {
            return Err(ImportError::Invalid(format!("layer {layer:?} is named twice")));
        }
        layers.push(((*known).to_owned(), *kind));
    }
    let tissue = Tissue {
        size: import.size,
        seed: import.seed,
        centres: import.centres,
        patients_per_centre: import.patients,
        nuisance: import.nuisance,
    };
    let fifth = import.samples / 5;
    let sizes = SplitSizes { train: import.samples - 2 * fifth, valid: fifth, test: fifth };
    let assignments = tissue.assignments(sizes);
    let spool = tempfile::Builder::new()
        .prefix("import-")
        .tempdir_in(context.spool)
        .map_err(|source| ImportError::read(context.spool, source))?;
    let names: Vec<String> = layers.iter().map(|(name, _)| name.clone()).collect();
    let mut writer = DatasetWriter::new(store, handle, spool.path().to_owned(), layers, false);
    let total = assignments.len() as u64;
    for batch in assignments.chunks(BATCH) {
        if context.is_interrupted() {
            return Err(ImportError::Interrupted);
        }
        let samples: Vec<Result<Sample, ImportError>> = batch
            .par_iter()
            .map(|assignment| {
                let sample = tissue.sample_of(assignment);
                let files = names.iter().map(|layer| encode(&sample, layer)).collect::<Result<_, _>>()?;
                Ok(Sample {
                    key: format!("{}/{:06}", assignment.split, assignment.index),
                    files,
                    width: sample.he.width,
                    height: sample.he.height,
                    label: Some(Arc::from(sample.label.as_str())),
                    split: Some(Arc::from(assignment.split)),
                    group: Some(sample.group.clone()),
                })
            })
            .collect();
        for sample in samples {
            writer.add(sample?)?;
        }
        let done = batch.last().map_or(0, |assignment| assignment.index + 1);
        context.report(Step { phase: "simulating", done, total, unit: "tiles", bad: 0 });
    }
    let about = About { name: name.to_owned(), microns_per_pixel: Some(MICRONS_PER_PIXEL), source };
    writer.finish(about, Vec::new())
}

/// Extension, bytes and channels of one image of a sample.
fn encode(
    sample: &counterstain_simulate::Sample,
    layer: &str,
) -> Result<(String, bytes::Bytes, usize), ImportError> {
    let encoded = match layer {
        "types" => encode_labels_png(&sample.types).map(|bytes| (bytes, 1)),
        "instances" => encode_labels_png(&sample.instances).map(|bytes| (bytes, 1)),
        "ihc" => encode_png(&sample.ihc).map(|bytes| (bytes, 3)),
        "if" => encode_png(&sample.fluorescence).map(|bytes| (bytes, 3)),
        _ => encode_png(&sample.he).map(|bytes| (bytes, 3)),
    };
    let (bytes, channels) = encoded.map_err(|error| ImportError::Invalid(error.to_string()))?;
    Ok(("png".to_owned(), bytes.into(), channels))
}
