//! Shards: deterministic bytes, readable by others, flat memory, and no panic on any bytes.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::io::Read as _;

use common::{entry, noise};
use counterstain_artifact::shard::{self, SampleEntry, SampleMeta, ShardIndex, ShardWriter};
use counterstain_artifact::{ArtifactKind, Digest, Error, Manifest, ManifestParts, ResultBody};
use proptest::prelude::*;

fn write(entries: &[SampleEntry]) -> (Vec<u8>, ShardIndex) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::new(dir.path()).unwrap();
    for entry in entries {
        writer.add(entry).unwrap();
    }
    let shard = writer.finish().unwrap();
    (std::fs::read(shard.tar_path()).unwrap(), shard.index.clone())
}

fn some() -> Vec<SampleEntry> {
    (0..4).map(entry).collect()
}

#[test]
fn the_same_samples_give_the_same_bytes_anywhere() {
    let (tar, index) = write(&some());
    let mut reordered = some();
    for entry in &mut reordered {
        entry.files.reverse();
    }
    assert_eq!(write(&reordered), (tar.clone(), index.clone()));
    // Fixed: a change here changes the names of all datasets.
    assert_eq!(
        Digest::of(&tar).to_string(),
        "sha256:56127ae925008f7333bf6ba9273dcef6de35030b8b552ca574d5438e9594bbd3"
    );
    assert_eq!(
        Digest::of(&index.encode()).to_string(),
        "sha256:3f39b2e6523d2484086f9c721f8500c08af879dbee64ebdb998d5488ef93c106"
    );
}

#[test]
fn the_tar_is_plain_webdataset() {
    let (tar, index) = write(&some());
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut names = Vec::new();
    for member in archive.entries().unwrap() {
        let mut member = member.unwrap();
        let header = member.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.mode().unwrap()), (0, 0, 0o644));
        let name = member.path().unwrap().to_str().unwrap().to_owned();
        if name == "train/tile-001.json" {
            let mut json = String::new();
            member.read_to_string(&mut json).unwrap();
            assert_eq!(json, r#"{"group":"patient-1","label":"normal","split":"train"}"#);
        }
        names.push(name);
    }
    assert_eq!(names[..3], ["train/tile-000.he.png", "train/tile-000.types.png", "train/tile-000.json"]);
    let member = &index.samples[2].members["types"];
    let bytes = &tar[member.offset as usize..(member.offset + member.size) as usize];
    assert_eq!(bytes, common::image(2, "types"));
    assert_eq!(Digest::of(bytes), member.sha256);
}

#[test]
fn an_index_can_be_made_again_from_its_tar() {
    let mut entries = some();
    entries[1].key = format!("{}/deep", "long-folder-name/".repeat(12).trim_end_matches('/'));
    entries[2].key = "ä b/ü%2E".to_owned();
    entries[3].meta = None;
    let (tar, index) = write(&entries);
    assert_eq!(shard::scan(tar.as_slice(), "tar").unwrap(), index);
}

#[test]
fn faulty_samples_are_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::new(dir.path()).unwrap();
    writer.add(&entry(0)).unwrap();
    let mut refusal = |change: fn(&mut SampleEntry)| {
        let mut entry = entry(1);
        change(&mut entry);
        let error = writer.add(&entry).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        error.to_string()
    };
    assert!(refusal(|entry| entry.key = common::key(0)).contains("occurs twice"));
    assert!(refusal(|entry| entry.key = "a.b".into()).contains("dot"));
    assert!(refusal(|entry| entry.key = "../a".into()).contains("dot"));
    assert!(refusal(|entry| entry.files[0].0 = "json".into()).contains("json"));
    assert!(refusal(|entry| entry.files[0].0 = "he".into()).contains("twice"));
    assert!(refusal(|entry| entry.files[0].1 = "tar.gz".into()).contains("tar.gz"));
}

#[test]
fn a_truncated_tar_cannot_be_scanned() {
    let (tar, _) = write(&some());
    for length in [513, 600, 1_500, tar.len() / 2] {
        let error = shard::scan(&tar[..length], "object x").unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }) && error.to_string().contains("object x"), "{error}");
    }
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn memory_stays_flat_while_a_large_shard_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = counterstain_artifact::Store::open(dir.path().join("store").to_str().unwrap()).unwrap();
    let tile = noise(1, 1 << 20);
    let mut writer = ShardWriter::new(dir.path()).unwrap();
    let before = peak_memory();
    for sample in 0..300 {
        let files = vec![("he".to_owned(), "png".to_owned(), tile.clone())];
        let entry = SampleEntry { key: format!("tile-{sample}"), files, meta: Some(SampleMeta::default()) };
        writer.add(&entry).unwrap();
    }
    let shard = writer.finish().unwrap();
    assert!(shard.index.tar.size > 300 << 20);
    runtime.block_on(shard.put(&store)).unwrap();
    let grown = peak_memory() - before;
    assert!(grown < 80 << 20, "{} MiB more for a shard of 300 MiB", grown >> 20);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_panic_for_the_tar_reader(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        let _ = shard::scan(bytes.as_slice(), "fuzz");
    }

    #[test]
    fn a_damaged_tar_is_an_error_or_another_index(at in 0usize..20_000, with in any::<u8>()) {
        let (mut tar, index) = write(&some());
        let at = at % tar.len();
        prop_assume!(tar[at] != with);
        tar[at] = with;
        if let Ok(found) = shard::scan(tar.as_slice(), "fuzz") {
            prop_assert_ne!(found.tar.sha256, index.tar.sha256);
            ShardIndex::decode(&found.encode(), "fuzz").unwrap();
        }
    }

    #[test]
    fn any_sound_samples_can_be_indexed_again(
        keys in prop::collection::btree_set("[a-zA-Z0-9 _%-]{1,60}(/[a-z]{1,80}){0,2}", 1..6),
        lengths in prop::collection::vec(0usize..2_000, 6),
        label in prop::option::of(".{0,8}"),
    ) {
        let entries: Vec<SampleEntry> = keys.iter().zip(lengths).map(|(key, length)| SampleEntry {
            key: key.clone(),
            files: vec![("he".to_owned(), "tif".to_owned(), noise(5, length))],
            meta: Some(SampleMeta { label: label.clone(), ..SampleMeta::default() }),
        }).collect();
        let (tar, index) = write(&entries);
        prop_assert_eq!(shard::scan(tar.as_slice(), "tar").unwrap(), index.clone());
        prop_assert_eq!(ShardIndex::decode(&index.encode(), "index").unwrap(), index);
    }

    #[test]
    fn arbitrary_bytes_are_no_panic_for_manifests(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Manifest::decode(&bytes, "fuzz");
    }

    #[test]
    fn a_damaged_manifest_is_an_error_or_has_another_name(at in 0usize..400, with in any::<u8>()) {
        let manifest = ManifestParts::new(ArtifactKind::Result, &ResultBody { rows: 2 })
            .input("dataset", Digest::of(b"d"))
            .manifest(Vec::new());
        let mut bytes = manifest.encode();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != with);
        bytes[at] = with;
        if let Ok(found) = Manifest::decode(&bytes, "fuzz") {
            prop_assert_ne!(found.digest(), manifest.digest());
        }
    }
}
