//! `generate_layer` with a segmenter: nuclei of one shard, as pictures, maps and a table.
//!
//! Windows of a few tiles at a time go through the network in batches of fixed borders; meanwhile the tiles before
//! them are separated into nuclei, painted and encoded on other threads.

use super::picture::{Segmented, in_colours, nuclei_only, separate};
use super::table::NucleusTable;
use crate::engine::Error;
use crate::engine::segmenter::{PredictedMaps, Segmenting, Windows};
use crate::service::generate::like;
use crate::service::generator::{Stored, hovernet_config};
use crate::service::settings::{self, set};
use crate::service::shard::{Files, PartWork};
use crate::service::source::{Channels, Source};
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::synthesis::v1::{GenerateLayerSpec, Nuclei};
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::{Digest, GeneratorNetwork, LayerInfo, LayerKind};
use counterstain_tile::Tile;
use counterstain_tile::encode::{encode_labels_png, encode_png};
use counterstain_tile::palette::Palette;
use counterstain_worker::images::palette_of;
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;
use std::ops::Range;
use tch::Device;

/// Tiles whose windows share batches.
const TILES: usize = 4;
/// Names of the companions.
const INSTANCES: &str = "instances";
const TYPES: &str = "types";
const PAINTED: &str = "painted";
const ONLY: &str = "only";

/// Segments this task's shard; gives the digest of the `layer-part` artifact.
pub fn run(
    task: &Task,
    spec: &GenerateLayerSpec,
    dataset: &Dataset,
    stored: &Stored,
    device: Device,
) -> Result<Digest, TaskError> {
    if set(spec.cycle, "cycle")? {
        let text = "cycle: the generator is a nuclear segmenter and has no way back; set cycle to false";
        return Err(TaskError::new(ErrorCode::InvalidArgument, text));
    }
    let work = PartWork::open(task, dataset)?;
    let config = hovernet_config(&stored.body.network)?;
    let network = Segmenting::new(config, &stored.weights, device, settings::dtype(spec.dtype)?)?;
    let source = Source::open(task.reader(), dataset, &dataset.body.primary, "", Channels::Rgb)?;
    let output = Output::new(spec, dataset, stored)?;
    let mut table = NucleusTable::default();

    let batch_size = set(spec.batch_size, "batch_size")? as usize;
    let shard = work.run(
        TILES,
        |samples| {
            let tiles: Vec<_> = samples.into_par_iter().map(|sample| source.read(sample)).collect();
            let tiles = tiles.into_iter().collect::<Result<Vec<_>, _>>()?;
            Ok((Windows::cut(&config, &tiles, batch_size)?, tiles))
        },
        |(windows, tiles): (Windows, Vec<Tile<u8>>)| {
            Ok(tiles.into_iter().zip(network.predict(&windows)?).collect())
        },
        |samples, predicted: Vec<(Tile<u8>, PredictedMaps)>| {
            output.finish(task, dataset, samples, &predicted, &mut table)
        },
    )?;
    let table = table.encode()?;
    work.commit(stored.digest, &shard, output.layer, output.companions, Some(table))
}

/// What is written of each sample.
struct Output {
    layer: LayerInfo,
    companions: Vec<LayerInfo>,
    /// Name of the layer with nuclei in the colours of their types.
    painted: String,
    /// Name of the layer with the image's pixels inside nuclei.
    only: String,
    palette: Palette,
    types: Vec<String>,
}

impl Output {
    fn new(spec: &GenerateLayerSpec, dataset: &Dataset, stored: &Stored) -> Result<Self, TaskError> {
        let types = match &stored.body.network {
            GeneratorNetwork::Hovernet { types, .. } => types.clone(),
            _ => Vec::new(),
        };
        let model = dataset.layer(&dataset.body.primary);
        let layer = |name: &str| like(model, stored.body.layer.clone(), name);
        let map = |name: &str, kind| LayerInfo { kind, channels: 1, ..layer(name) };
        let (painted, only) = match spec.nuclei() {
            Nuclei::Only => (PAINTED, spec.layer.as_str()),
            Nuclei::Types | Nuclei::Unspecified => (spec.layer.as_str(), ONLY),
        };
        let without_colours = |info: LayerInfo| LayerInfo { palette: None, ..info };
        let (colours, pixels) = (layer(painted), without_colours(layer(only)));
        let (main, other) = if spec.nuclei() == Nuclei::Only { (pixels, colours) } else { (colours, pixels) };
        let mut companions = vec![without_colours(map(INSTANCES, LayerKind::Instance))];
        if !types.is_empty() {
            companions.push(map(TYPES, LayerKind::Label));
        }
        companions.push(other);
        if companions.iter().any(|companion| companion.name == spec.layer) {
            let text = format!(
                "layer: {:?} is the name of a layer that is written beside it; choose another",
                spec.layer
            );
            return Err(TaskError::new(ErrorCode::InvalidArgument, text));
        }
        let palette = palette_of(&map(TYPES, LayerKind::Label)).unwrap_or(counterstain_tile::palette::MASK);
        Ok(Self {
            layer: main,
            companions,
            painted: painted.to_owned(),
            only: only.to_owned(),
            palette,
            types,
        })
    }

    fn finish(
        &self,
        task: &Task,
        dataset: &Dataset,
        samples: Range<usize>,
        predicted: &[(Tile<u8>, PredictedMaps)],
        table: &mut NucleusTable,
    ) -> Result<Vec<Files>, TaskError> {
        let first = samples.start;
        let one = |sample: usize| -> Result<(Files, Segmented), TaskError> {
            let (image, maps) = &predicted[sample - first];
            let named =
                |source| Error::Image { what: format!("sample {}", dataset.samples[sample].key), source };
            let nuclei = separate(maps).map_err(named)?;
            let files = self.files(image, &nuclei).map_err(named)?;
            Ok((files, nuclei))
        };
        let finished: Vec<_> = samples.clone().into_par_iter().map(one).collect();
        let mut files = Vec::with_capacity(finished.len());
        for (sample, finished) in samples.zip(finished) {
            let (images, nuclei) = finished?;
            if task.picture_due() {
                let image = predicted[sample - first].0.clone();
                let panels =
                    [(dataset.body.primary.as_str(), image), ("nuclei", in_colours(&nuclei, &self.palette))];
                task.picture("painting", sample as u64, &panels);
            }
            table.add(&dataset.samples[sample].key, &nuclei.nuclei, &self.types);
            files.push(images);
        }
        Ok(files)
    }

    fn files(&self, image: &Tile<u8>, nuclei: &Segmented) -> Result<Files, counterstain_tile::Error> {
        let mut files: Vec<(String, Vec<u8>)> = vec![
            (self.painted.clone(), encode_png(&in_colours(nuclei, &self.palette))?),
            (self.only.clone(), encode_png(&nuclei_only(image, &nuclei.instances))?),
            (INSTANCES.to_owned(), encode_labels_png(&nuclei.instances)?),
        ];
        if let Some(types) = &nuclei.types {
            files.push((TYPES.to_owned(), encode_labels_png(types)?));
        }
        Ok(files.into_iter().map(|(layer, bytes)| (layer, "png".to_owned(), bytes.into())).collect())
    }
}
