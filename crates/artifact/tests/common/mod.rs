//! What the tests of this crate share: samples, datasets, and damage.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use counterstain_artifact::dataset::{DatasetDescription, DatasetWriter};
use counterstain_artifact::shard::{SampleEntry, SampleMeta, ShardLimits, ShardWriter};
use counterstain_artifact::{
    ArtifactKind, Digest, LayerBody, LayerInfo, LayerKind, ManifestParts, RetryPolicy, ShardInfo, Store,
};

pub const SAMPLES: usize = 25;

pub fn quick() -> RetryPolicy {
    RetryPolicy {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(20),
        give_up_after: Duration::from_secs(5),
    }
}

/// Bytes that differ for each (seed, length).
pub fn noise(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

pub fn layer_info(name: &str) -> LayerInfo {
    LayerInfo {
        name: name.to_owned(),
        kind: LayerKind::Image,
        channels: 3,
        media_type: "image/png".to_owned(),
        extension: "png".to_owned(),
        palette: None,
        width: Some(64),
        height: Some(64),
        microns_per_pixel: None,
    }
}

pub fn key(sample: usize) -> String {
    format!("train/tile-{sample:03}")
}

/// The image of a sample; sizes differ so that offsets do.
pub fn image(sample: usize, layer: &str) -> Bytes {
    noise(sample as u64 * 7 + layer.len() as u64, 700 + 13 * sample)
}

pub fn entry(sample: usize) -> SampleEntry {
    let file = |layer: &str| (layer.to_owned(), "png".to_owned(), image(sample, layer));
    let meta = SampleMeta {
        group: Some(format!("patient-{}", sample % 4)),
        label: Some(["tumour", "normal", "stroma"][sample % 3].to_owned()),
        split: Some(if sample.is_multiple_of(5) { "test" } else { "train" }.to_owned()),
    };
    SampleEntry { key: key(sample), files: vec![file("types"), file("he")], meta: Some(meta) }
}

pub fn description() -> DatasetDescription {
    DatasetDescription {
        name: "toy".to_owned(),
        layers: vec![layer_info("he"), layer_info("types")],
        primary: "he".to_owned(),
        microns_per_pixel: Some(0.5),
        skipped: Vec::new(),
        source: serde_json::json!({ "import": "folder", "downsample": 1 }),
    }
}

/// A dataset of [`SAMPLES`] samples in shards of ten.
pub async fn dataset(store: &Store, dir: &Path) -> Digest {
    let limits = ShardLimits { samples: 10, ..ShardLimits::default() };
    let mut writer = DatasetWriter::new(store, dir).with_limits(limits);
    for sample in 0..SAMPLES {
        writer.add(entry(sample)).await.unwrap();
    }
    writer.finish(description()).await.unwrap()
}

/// The shards of a layer `nuclei` for [`dataset`].
pub async fn layer_shards(store: &Store, dir: &Path) -> Vec<ShardInfo> {
    let mut shards = Vec::new();
    for start in (0..SAMPLES).step_by(10) {
        let mut writer = ShardWriter::new(dir).unwrap();
        for sample in start..SAMPLES.min(start + 10) {
            let files = vec![("nuclei".to_owned(), "png".to_owned(), image(sample, "nuclei"))];
            writer.add(&SampleEntry { key: key(sample), files, meta: None }).unwrap();
        }
        shards.push(writer.finish().unwrap().put(store).await.unwrap().info);
    }
    shards
}

/// A layer of `dataset` whose body went through `change`.
pub async fn layer(
    store: &Store,
    dir: &Path,
    dataset: Digest,
    change: impl FnOnce(&mut LayerBody),
) -> Digest {
    let shards = layer_shards(store, dir).await;
    let mut body = LayerBody {
        name: "nuclei".to_owned(),
        dataset,
        layer: layer_info("nuclei"),
        companions: Vec::new(),
        shards,
        tables: Vec::new(),
    };
    change(&mut body);
    let manifest =
        ManifestParts::new(ArtifactKind::Layer, &body).input("dataset", dataset).manifest(Vec::new());
    store.put_manifest(&manifest).await.unwrap()
}

/// Flips one bit of a file.
pub fn flip_bit(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
