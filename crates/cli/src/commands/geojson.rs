//! `export --geojson`: a segmenter's nuclei as outlines that QuPath opens, one file per tile.
//!
//! Coordinates are pixels of the tile: the centres of the pixels on a nucleus' outline.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use counterstain_api::Digest;
use counterstain_api::error::ErrorCode;
use counterstain_artifact::dataset::{Layer, Reader};
use counterstain_artifact::{ArtifactKind, GeneratorBody, GeneratorNetwork, LayerKind, Store};
use counterstain_tile::decode::{Limits, decode_labels};
use counterstain_tile::nuclei::{Nucleus, describe};
use serde_json::{Value, json};

use super::export::plain_relative;
use super::write_whole;
use crate::failure::fail;
use crate::import::Step;
use crate::options::Common;
use crate::output::{duration, print_json, say};
use crate::progress::StepProgress;

/// Colour of nuclei without a type, and of types without a colour.
const UNTYPED: [u8; 3] = [255, 255, 255];

/// Names and colours of the types, by their number; empty without types.
struct Types {
    layer: Option<String>,
    classes: Vec<(String, [u8; 3])>,
}

/// Writes the nuclei of a layer.
///
/// # Errors
/// When the artifact is no layer of a segmenter, and those of the store and the disk.
pub async fn export(common: &Common, store: &Store, digest: Digest, out: &Path) -> Result<()> {
    let interrupted = counterstain_service::shutdown::token()?;
    let layer = Layer::open(store, &digest).await?;
    let instances = companion(&layer, LayerKind::Instance).ok_or_else(|| {
        let name = &layer.body.layer.name;
        let text = format!("--geojson: the layer {name} has no instances: only segmenters' layers have");
        fail(ErrorCode::InvalidArgument, text)
    })?;
    let types = types(store, &layer).await?;
    let progress = StepProgress::new("export", &layer.body.layer.name.clone(), common.json);
    let (store, handle, out) = (store.clone(), tokio::runtime::Handle::current(), out.to_owned());
    let work = tokio::task::spawn_blocking(move || -> Result<(StepProgress, PathBuf, usize, usize)> {
        let cache = tempfile::tempdir()?;
        let reader = Reader::new(store, cache.path(), 1 << 30, handle);
        let (total, mut nuclei) = (layer.len(), 0);
        for sample in 0..total {
            if interrupted.is_cancelled() {
                return Err(fail(ErrorCode::Cancelled, "interrupted; the files that are there are whole"));
            }
            nuclei += write_sample(&reader, &layer, sample, &instances, &types, &out)?;
            let (done, total) = (sample as u64 + 1, total as u64);
            progress.show(Step { phase: "written", done, total, unit: "files", bad: 0 });
        }
        Ok((progress, out, total, nuclei))
    });
    let (progress, out, files, nuclei) = work.await.context("the export ended unexpectedly")??;
    progress.finish();
    if common.json {
        print_json(&json!({ "digest": digest, "out": out, "files": files, "nuclei": nuclei }));
    } else {
        let seconds = duration(progress.elapsed().as_secs_f64());
        say!("{}: {nuclei} nuclei of {files} tiles in {seconds}", out.display());
    }
    Ok(())
}

/// Name of the companion of this kind.
fn companion(layer: &Layer, kind: LayerKind) -> Option<String> {
    layer.body.companions.iter().find(|info| info.kind == kind).map(|info| info.name.clone())
}

async fn types(store: &Store, layer: &Layer) -> Result<Types> {
    let info = layer.body.companions.iter().find(|info| info.kind == LayerKind::Label);
    let generator = store.manifest(&layer.digest).await?.input("generator");
    let (Some(info), Some(generator)) = (info, generator) else {
        return Ok(Types { layer: None, classes: Vec::new() });
    };
    let body: GeneratorBody = store.manifest(&generator).await?.body_of(ArtifactKind::Generator)?;
    let GeneratorNetwork::Hovernet { types, .. } = body.network else {
        return Ok(Types { layer: None, classes: Vec::new() });
    };
    let colours = info.palette.as_deref().unwrap_or_default();
    let coloured = |(number, name)| (name, colours.get(number).copied().unwrap_or(UNTYPED));
    Ok(Types {
        layer: Some(info.name.clone()),
        classes: types.into_iter().enumerate().map(coloured).collect(),
    })
}

/// Writes the file of one tile; gives the number of its nuclei.
fn write_sample(
    reader: &Reader,
    layer: &Layer,
    sample: usize,
    instances: &str,
    types: &Types,
    out: &Path,
) -> Result<usize> {
    let read = |name: &str| -> Result<_> {
        Ok(decode_labels(&reader.read_layer_named(layer, sample, name)?, &Limits::default())?)
    };
    let type_map = types.layer.as_deref().map(read).transpose()?;
    let nuclei = describe(&read(instances)?, type_map.as_ref())?;
    let key = layer.key(sample).unwrap_or_default();
    let path = out.join(plain_relative(&format!("{key}.geojson"))?);
    let features: Vec<Value> = nuclei.iter().map(|nucleus| feature(nucleus, &types.classes)).collect();
    let document = json!({ "type": "FeatureCollection", "features": features });
    write_whole(&path, document.to_string().as_bytes())?;
    Ok(features.len())
}

/// A nucleus as a detection of QuPath: a closed ring, its class and measurements.
fn feature(nucleus: &Nucleus, classes: &[(String, [u8; 3])]) -> Value {
    let mut ring: Vec<[i32; 2]> = nucleus.contour.iter().map(|&(x, y)| [x, y]).collect();
    ring.extend(ring.first().copied());
    let mut properties = json!({
        "objectType": "detection",
        "name": format!("nucleus {}", nucleus.id),
        "measurements": {
            "Area px^2": nucleus.area,
            "Centroid X px": nucleus.centroid.0,
            "Centroid Y px": nucleus.centroid.1,
        },
    });
    if let Some((name, colour)) = nucleus.kind.and_then(|kind| classes.get(kind.kind as usize)) {
        properties["classification"] = json!({ "name": name, "color": colour });
    }
    json!({ "type": "Feature", "geometry": { "type": "Polygon", "coordinates": [ring] }, "properties": properties })
}

#[cfg(test)]
mod tests {
    use counterstain_tile::Tile;

    use super::*;

    #[test]
    fn a_nucleus_is_a_closed_ring_with_its_class() {
        let mut instances = Tile::filled(8, 8, 1, 0_u32);
        let mut types = Tile::filled(8, 8, 1, 0_u32);
        for (x, y) in (2..6).flat_map(|x| (1..5).map(move |y| (x, y))) {
            instances.pixel_mut(x, y)[0] = 7;
            types.pixel_mut(x, y)[0] = 2;
        }
        let nuclei = describe(&instances, Some(&types)).unwrap();
        let classes =
            ["background", "other", "inflammatory"].map(|name| (name.to_owned(), [1, 2, 3])).to_vec();
        let found = feature(&nuclei[0], &classes);
        let ring = found["geometry"]["coordinates"][0].as_array().unwrap();
        assert_eq!(ring.first(), ring.last());
        for corner in [json!([2, 1]), json!([5, 1]), json!([5, 4]), json!([2, 4])] {
            assert!(ring.contains(&corner), "{corner} in {ring:?}");
        }
        assert_eq!(found["properties"]["classification"]["name"], "inflammatory");
        assert_eq!(found["properties"]["measurements"]["Area px^2"], 16);
        assert_eq!(found["properties"]["objectType"], "detection");
    }
}
