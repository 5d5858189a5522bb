//! Damage is an error that names the object, never a wrong image; and writing again mends it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::PathBuf;

use bytes::Bytes;
use common::{SAMPLES, flip_bit, noise};
use counterstain_artifact::dataset::{Dataset, Reader};
use counterstain_artifact::{
    ArtifactKind, CheckpointBody, Digest, Error, Manifest, ManifestParts, ResultBody, SCHEMA, Store,
};
use tokio::runtime::Runtime;

struct Rig {
    runtime: Runtime,
    root: tempfile::TempDir,
    store: Store,
}

impl Rig {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path().join("store").to_str().unwrap()).unwrap();
        Self { runtime: Runtime::new().unwrap(), root, store }
    }

    fn object(&self, bytes: Bytes) -> (Digest, PathBuf) {
        let digest = self.runtime.block_on(self.store.put_object(bytes)).unwrap().digest;
        (digest, self.store.object_file(&digest).unwrap())
    }

    fn dataset(&self) -> Dataset {
        let dir = self.root.path().join("spool");
        let digest = self.runtime.block_on(common::dataset(&self.store, &dir));
        self.runtime.block_on(Dataset::open(&self.store, &digest)).unwrap()
    }

    fn reader(&self) -> Reader {
        let cache = self.root.path().join("cache");
        Reader::new(self.store.clone(), &cache, 1 << 30, self.runtime.handle().clone())
    }
}

fn assert_corrupt(error: &Error, parts: &[&str]) {
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error} does not say {part}");
    }
}

#[test]
fn a_flipped_bit_in_an_object_is_found_and_mended_by_writing_again() {
    let rig = Rig::new();
    for length in [1_000, 20 << 20] {
        let bytes = noise(1, length);
        let (digest, path) = rig.object(bytes.clone());
        flip_bit(&path, length / 2);
        let error = rig.runtime.block_on(rig.store.get_object(&digest)).unwrap_err();
        assert_corrupt(&error, &[&digest.to_string(), rig.store.location()]);
        rig.object(bytes.clone());
        assert_eq!(rig.runtime.block_on(rig.store.get_object(&digest)).unwrap(), bytes);
    }
}

#[test]
fn a_damaged_large_file_is_mended_by_writing_again() {
    let rig = Rig::new();
    let bytes = noise(2, 10 << 20);
    let file = rig.root.path().join("file");
    std::fs::write(&file, &bytes).unwrap();
    let digest = rig.runtime.block_on(rig.store.put_file(&file)).unwrap().digest;
    let path = rig.store.object_file(&digest).unwrap();
    std::fs::write(&path, &bytes[..100]).unwrap();
    rig.runtime.block_on(rig.store.put_file(&file)).unwrap();
    assert_eq!(rig.runtime.block_on(rig.store.get_object(&digest)).unwrap(), bytes);
}

#[test]
fn a_flipped_bit_in_a_manifest_or_index_is_found() {
    let rig = Rig::new();
    let dataset = rig.dataset();
    let index = dataset.body.shards[1].index;
    flip_bit(&rig.store.object_file(&index).unwrap(), 300);
    let error = rig.runtime.block_on(Dataset::open(&rig.store, &dataset.digest)).unwrap_err();
    assert_corrupt(&error, &[&index.to_string()]);
    let hex = dataset.digest.hex();
    let manifest = rig.root.path().join(format!("store/manifests/sha256/{}/{}", &hex[..2], &hex[2..]));
    flip_bit(&manifest, 10);
    let error = rig.runtime.block_on(rig.store.manifest(&dataset.digest)).unwrap_err();
    assert_corrupt(&error, &[&dataset.digest.to_string()]);
}

#[test]
fn a_flipped_bit_in_a_shard_hits_its_image_only() {
    let rig = Rig::new();
    let dataset = rig.dataset();
    let tar = dataset.body.shards[0].tar;
    // The first member is the first sample's `he`, whose bytes follow one header block.
    flip_bit(&rig.store.object_file(&tar).unwrap(), 512 + 20);
    let reader = rig.reader();
    let error = reader.read(&dataset, 0, "he").unwrap_err();
    assert_corrupt(&error, &[&tar.to_string(), &format!("{}.he.png", common::key(0))]);
    assert_eq!(reader.read(&dataset, 0, "types").unwrap(), common::image(0, "types"));
    assert_eq!(reader.read(&dataset, 1, "he").unwrap(), common::image(1, "he"));
}

#[test]
fn a_truncated_shard_is_an_error_that_names_object_and_image() {
    let rig = Rig::new();
    let dataset = rig.dataset();
    let tar = dataset.body.shards[2].tar;
    let path = rig.store.object_file(&tar).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let reader = rig.reader();
    let last = SAMPLES - 1;
    let error = reader.read(&dataset, last, "he").unwrap_err();
    assert_corrupt(&error, &[&tar.to_string(), &common::key(last), "ends at byte"]);
    assert_eq!(reader.read(&dataset, 20, "he").unwrap(), common::image(20, "he"));
    std::fs::remove_file(&path).unwrap();
    let error = rig.reader().read(&dataset, last, "he").unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[test]
fn a_damaged_cache_is_replaced_without_anybody_noticing() {
    let rig = Rig::new();
    let store = Store::open("memory:").unwrap();
    let digest = rig.runtime.block_on(common::dataset(&store, &rig.root.path().join("spool")));
    let dataset = rig.runtime.block_on(Dataset::open(&store, &digest)).unwrap();
    let cache = rig.root.path().join("cache");
    let reader = Reader::new(store.clone(), &cache, 1 << 30, rig.runtime.handle().clone());
    let read_all = || {
        for sample in 0..SAMPLES {
            assert_eq!(reader.read(&dataset, sample, "he").unwrap(), common::image(sample, "he"));
        }
    };
    read_all();
    let cached: Vec<PathBuf> = std::fs::read_dir(cache.join("shards"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tar"))
        .collect();
    assert_eq!(cached.len(), 3);
    for path in &cached {
        let bytes = vec![0; std::fs::metadata(path).unwrap().len() as usize];
        std::fs::write(path, bytes).unwrap();
    }
    read_all();
    read_all();
    let tar = dataset.body.shards[0].tar;
    let healed = std::fs::read(cache.join("shards").join(format!("{}.tar", tar.hex()))).unwrap();
    assert_eq!(Digest::of(&healed), tar);
}

#[test]
fn two_readers_of_one_cache_folder_agree() {
    let rig = Rig::new();
    let store = Store::open("memory:").unwrap();
    let digest = rig.runtime.block_on(common::dataset(&store, &rig.root.path().join("spool")));
    let dataset = rig.runtime.block_on(Dataset::open(&store, &digest)).unwrap();
    let cache = rig.root.path().join("cache");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            // Each has its own state, as another process would.
            let reader = Reader::new(store.clone(), &cache, 60_000, rig.runtime.handle().clone());
            let dataset = &dataset;
            scope.spawn(move || {
                for step in 0..10 * SAMPLES {
                    let sample = step * 11 % SAMPLES;
                    assert_eq!(
                        reader.read(dataset, sample, "types").unwrap(),
                        common::image(sample, "types")
                    );
                }
            });
        }
    });
    let used: u64 = std::fs::read_dir(cache.join("shards"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(used <= 60_000, "{used}");
}

#[test]
fn an_artifact_of_a_newer_schema_is_refused_by_name() {
    let rig = Rig::new();
    let mut newer = serde_json::to_value(
        ManifestParts::new(ArtifactKind::Result, &ResultBody { rows: 0 }).manifest(Vec::new()),
    )
    .unwrap();
    newer["schema"] = (SCHEMA + 1).into();
    newer["kind"] = "hologram".into();
    newer["invention"] = serde_json::json!([1, 2]);
    let bytes = newer.to_string().into_bytes();
    let digest = Digest::of(&bytes);
    let hex = digest.hex();
    let folder = rig.root.path().join(format!("store/manifests/sha256/{}", &hex[..2]));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&hex[2..]), bytes).unwrap();
    let error = rig.runtime.block_on(rig.store.manifest(&digest)).unwrap_err();
    assert!(matches!(error, Error::NewerSchema { found: 2, supported: 1, .. }), "{error}");
    assert!(
        error.to_string().contains(&digest.to_string()) && error.to_string().contains("hologram"),
        "{error}"
    );
}

#[test]
fn a_checkpoint_of_another_schema_or_spec_is_refused() {
    let spec_digest = Digest::of(b"spec");
    let body =
        CheckpointBody { job_kind: "train_encoder".into(), step: 40, epoch: 2, spec_digest, schema: 3 };
    body.check("train_encoder", &spec_digest, 3).unwrap();
    let refusal = |kind: &str, spec: &Digest, schema| body.check(kind, spec, schema).unwrap_err();
    assert!(matches!(refusal("train_encoder", &spec_digest, 2), Error::NewerSchema { .. }));
    assert!(refusal("train_encoder", &spec_digest, 4).to_string().contains("schema 3"));
    assert!(refusal("train_encoder", &Digest::of(b"other"), 3).to_string().contains("belongs to spec"));
    assert!(refusal("train_generator", &spec_digest, 3).to_string().contains("train_generator"));
}

#[test]
fn the_name_of_a_manifest_is_fixed() {
    let manifest = ManifestParts::new(ArtifactKind::Result, &ResultBody { rows: 2 })
        .input("dataset", Digest::of(b"d"))
        .manifest(Vec::new());
    let text = String::from_utf8(manifest.encode()).unwrap();
    let dataset = Digest::of(b"d");
    let expected = format!(
        r#"{{"body":{{"rows":2}},"inputs":[{{"digest":"{dataset}","name":"dataset"}}],"kind":"result","objects":[],"schema":1}}"#
    );
    assert_eq!(text, expected);
    assert_eq!(Manifest::decode(text.as_bytes(), "x").unwrap(), manifest);
}
