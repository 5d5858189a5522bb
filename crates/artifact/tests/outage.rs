//! Stores that are away for a while, that ignore put-if-absent, that are full, and writers that are killed.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{noise, quick};
use counterstain_api::error::ErrorCode;
use counterstain_artifact::dataset::{Dataset, Reader};
use counterstain_artifact::faults::Faulty;
use counterstain_artifact::shard::ShardWriter;
use counterstain_artifact::{ArtifactKind, Digest, Error, ManifestParts, ResultBody, RetryPolicy, Store};
use object_store::memory::InMemory;
use tokio::runtime::Runtime;

fn faulty() -> (Arc<Faulty>, Store) {
    let backend = Arc::new(Faulty::new(Arc::new(InMemory::new())));
    let store = Store::from_backend(backend.clone(), "memory:faulty").with_retry(quick());
    (backend, store)
}

#[tokio::test]
async fn every_operation_is_tried_again() {
    let (backend, store) = faulty();
    backend.fail_first(3);
    let small = store.put_object("small".into()).await.unwrap();
    assert_eq!(store.get_object(&small.digest).await.unwrap(), "small");
    assert_eq!(store.get_range(&small.digest, 1..3).await.unwrap(), "ma");
    assert_eq!(store.object_size(&small.digest).await.unwrap(), Some(5));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), noise(1, 20 << 20)).unwrap();
    let large = store.put_file(file.path()).await.unwrap();
    assert_eq!(store.get_object(&large.digest).await.unwrap(), noise(1, 20 << 20));
    let manifest = ManifestParts::new(ArtifactKind::Result, &ResultBody { rows: 1 }).manifest(Vec::new());
    let digest = store.put_manifest(&manifest).await.unwrap();
    assert_eq!(store.manifest(&digest).await.unwrap(), manifest);
    assert_eq!(store.list_manifests().await.unwrap(), [digest]);
    store.probe().await.unwrap();
}

#[test]
fn reading_samples_rides_out_an_outage() {
    let (backend, store) = faulty();
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let digest = runtime.block_on(common::dataset(&store, dir.path()));
    backend.go_away(Duration::from_millis(500));
    let dataset = runtime.block_on(Dataset::open(&store, &digest)).unwrap();
    let reader = Reader::new(store, &dir.path().join("cache"), 1 << 30, runtime.handle().clone());
    for sample in 0..5 {
        backend.go_away(Duration::from_millis(200));
        assert_eq!(reader.read(&dataset, sample, "he").unwrap(), common::image(sample, "he"));
    }
}

#[test]
fn an_outage_of_a_minute_is_within_the_usual_patience() {
    let policy = RetryPolicy::default();
    assert!(policy.give_up_after >= Duration::from_secs(60) + 2 * policy.longest_pause);
}

#[tokio::test]
async fn a_store_that_stays_away_is_named_with_the_object() {
    let (backend, store) = faulty();
    let object = store.put_object("x".into()).await.unwrap();
    backend.go_away(Duration::from_secs(600));
    let patience = RetryPolicy { give_up_after: Duration::from_millis(100), ..quick() };
    let error = store.with_retry(patience).get_object(&object.digest).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 3.., .. }), "{error}");
    assert_eq!(error.code(), ErrorCode::Unavailable);
    let text = error.to_string();
    assert!(text.contains(&object.digest.to_string()) && text.contains("memory:faulty"), "{text}");
}

#[tokio::test]
async fn a_folder_that_is_not_mounted_is_waited_for_and_not_filled() {
    let root = tempfile::tempdir().unwrap();
    let (folder, away) = (root.path().join("store"), root.path().join("away"));
    let store = Store::open(folder.to_str().unwrap()).unwrap().with_retry(quick());
    let kept = store.put_object("kept".into()).await.unwrap();
    std::fs::rename(&folder, &away).unwrap();
    // A mount point without its disk.
    std::fs::create_dir(&folder).unwrap();
    let work = tokio::spawn(async move {
        assert_eq!(store.get_object(&kept.digest).await.unwrap(), "kept");
        store.put_object("new".into()).await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!work.is_finished());
    std::fs::remove_dir(&folder).expect("nothing was written into it");
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(work.await.unwrap().digest, Digest::of(b"new"));
}

#[tokio::test]
async fn what_cannot_pass_is_not_tried_again() {
    let (backend, store) = faulty();
    let before = backend.calls();
    let error = store.get_object(&Digest::of(b"absent")).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }));
    assert_eq!(backend.calls(), before + 1);
}

#[tokio::test]
async fn a_store_that_ignores_put_if_absent_is_rejected() {
    let (backend, store) = faulty();
    store.probe().await.unwrap();
    backend.ignore_put_if_absent();
    let error = store.probe().await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("put-if-absent"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_reported_with_its_location() {
    let settings =
        [("AWS_ENDPOINT", "http://127.0.0.1:9"), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let store = Store::open_with("s3://lab/x", &settings).unwrap().with_retry(quick());
    let outcome = tokio::time::timeout(Duration::from_secs(3), store.get_object(&Digest::of(b"x"))).await;
    assert!(outcome.is_err(), "it must go on trying for longer than this");
}

/// A file system of two megabytes, where one can be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            _ => {
                eprintln!("skipped: cannot mount a tmpfs here (root only)");
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_said_at_once_and_leaves_nothing_half_written() {
    let Some(disk) = SmallDisk::mount() else { return };
    let runtime = Runtime::new().unwrap();
    let store = Store::open(disk.path().join("store").to_str().unwrap()).unwrap();
    let kept = runtime.block_on(store.put_object(noise(1, 200_000))).unwrap();
    let spool = tempfile::tempdir().unwrap();
    let file = spool.path().join("large");
    std::fs::write(&file, noise(3, 9 << 20)).unwrap();
    let started = Instant::now();
    for error in [
        runtime.block_on(store.put_object(noise(2, 4 << 20))).unwrap_err(),
        runtime.block_on(store.put_file(&file)).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        assert_eq!(error.code(), ErrorCode::ResourceExhausted);
        assert!(error.to_string().contains(store.location()), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "a full disk is not waited for");
    for length in [4 << 20, 9 << 20] {
        let digest = Digest::of(&noise(if length == 4 << 20 { 2 } else { 3 }, length));
        assert_eq!(runtime.block_on(store.object_size(&digest)).unwrap(), None);
    }
    // The room that the failed attempts took is free again.
    assert_eq!(runtime.block_on(store.get_object(&kept.digest)).unwrap(), noise(1, 200_000));
    runtime.block_on(store.put_object(noise(4, 1 << 20))).unwrap();
}

#[test]
fn a_full_spool_folder_stops_the_shard_with_its_name() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut writer = ShardWriter::new(&disk.path()).unwrap();
    let mut sample = common::entry(0);
    sample.files[0].2 = noise(1, 4 << 20);
    let error = writer.add(&sample).and_then(|()| writer.finish().map(|_| ())).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert!(error.to_string().contains(disk.path().to_str().unwrap()), "{error}");
}

#[test]
fn a_full_cache_disk_makes_reading_slower_and_not_impossible() {
    let Some(disk) = SmallDisk::mount() else { return };
    std::fs::write(disk.path().join("filler"), noise(1, 2_000_000)).unwrap();
    let (_, store) = faulty();
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let digest = runtime.block_on(common::dataset(&store, dir.path()));
    let dataset = runtime.block_on(Dataset::open(&store, &digest)).unwrap();
    std::fs::write(disk.path().join("more"), noise(1, 60_000)).unwrap();
    let reader = Reader::new(store, &disk.path().join("cache"), 1 << 30, runtime.handle().clone());
    for step in 0..4 * common::SAMPLES {
        let sample = step % common::SAMPLES;
        assert_eq!(reader.read(&dataset, sample, "he").unwrap(), common::image(sample, "he"));
    }
}

const CHILD: &str = "COUNTERSTAIN_TEST_KILLED_WRITER";

#[test]
fn a_killed_writer_leaves_no_half_object() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return write_for_ever(Path::new(&folder));
    }
    let root = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_writer_leaves_no_half_object"])
            .env(CHILD, root.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + 37 * round));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut objects = 0;
    for file in files_below(&root.path().join("objects")) {
        // Staged files end in `#1` and are never read: no digest ends so.
        if file.to_str().unwrap().contains('#') {
            continue;
        }
        let name = file.file_name().unwrap().to_str().unwrap();
        let first = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(Digest::of(&std::fs::read(&file).unwrap()).hex(), format!("{first}{name}"));
        objects += 1;
    }
    assert!(objects > 0);
}

fn write_for_ever(folder: &Path) {
    let runtime = Runtime::new().unwrap();
    let store = Store::open(folder.to_str().unwrap()).unwrap();
    for seed in u64::from(std::process::id()) << 20.. {
        runtime.block_on(store.put_object(noise(seed, 300_000))).unwrap();
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}
