//! What every kind of store must do.

use std::sync::Arc;

use counterstain_artifact::dataset::{Dataset, Layer, Reader};
use counterstain_artifact::{
    ArtifactKind, CheckpointPlace, Digest, Error, LayerBody, LayerPartBody, Manifest, ManifestParts,
    ResultBody, SCHEMA, Store, get_named, layer_from_parts, put_artifact,
};
use tokio::runtime::{Handle, Runtime};

use crate::common::{self, SAMPLES, noise};

type Case = fn(Store, &Handle);

/// Runs every case, each on a fresh store.
pub fn run(mut fresh: impl FnMut() -> Store) {
    let runtime = Runtime::new().unwrap();
    let cases: [(&str, Case); 10] = [
        ("probe", |store, handle| handle.block_on(probe_accepts_the_store(store))),
        ("objects", |store, handle| handle.block_on(objects_come_back(store))),
        ("files", |store, handle| handle.block_on(files_are_objects(store))),
        ("ranges", |store, handle| handle.block_on(ranges_are_exact(store))),
        ("absent", |store, handle| handle.block_on(absent_objects_are_named(store))),
        ("race", |store, handle| handle.block_on(racing_writers_all_succeed(store))),
        ("manifests", |store, handle| handle.block_on(manifests_are_listed_and_checked(store))),
        ("artifacts", |store, handle| handle.block_on(artifacts_are_named_objects(store))),
        ("checkpoints", |store, handle| handle.block_on(checkpoints_lie_apart_and_can_be_removed(store))),
        ("datasets", datasets_and_layers_are_read_by_sample),
    ];
    for (name, case) in cases {
        let started = std::time::Instant::now();
        let store = fresh();
        println!("{name} on {store:?}");
        case(store, runtime.handle());
        println!("{name} took {:.1?}", started.elapsed());
    }
}

async fn probe_accepts_the_store(store: Store) {
    store.probe().await.unwrap();
    store.probe().await.unwrap();
}

async fn objects_come_back(store: Store) {
    for length in [0, 1, 5_000, 17 << 20] {
        let bytes = noise(length as u64, length);
        let object = store.put_object(bytes.clone()).await.unwrap();
        assert_eq!(object.digest, Digest::of(&bytes));
        assert_eq!(object.size, length as u64);
        assert_eq!(store.get_object(&object.digest).await.unwrap(), bytes);
        assert_eq!(store.object_size(&object.digest).await.unwrap(), Some(length as u64));
        assert_eq!(store.put_object(bytes).await.unwrap(), object, "a second write of {length} bytes");
    }
}

async fn files_are_objects(store: Store) {
    let dir = tempfile::tempdir().unwrap();
    for length in [0, 100, 20 << 20] {
        let bytes = noise(3, length);
        let file = dir.path().join("file");
        std::fs::write(&file, &bytes).unwrap();
        let object = store.put_file(&file).await.unwrap();
        assert_eq!((object.digest, object.size), (Digest::of(&bytes), length as u64));
        assert_eq!(store.put_file(&file).await.unwrap(), object);
        let copy = dir.path().join("copy");
        let target = std::fs::File::create(&copy).unwrap();
        assert_eq!(store.get_to_file(&object.digest, &target, &copy).await.unwrap(), length as u64);
        assert_eq!(std::fs::read(&copy).unwrap(), bytes);
    }
    assert!(store.put_file(&dir.path().join("none")).await.unwrap_err().to_string().contains("none"));
}

async fn ranges_are_exact(store: Store) {
    let bytes = noise(9, 10_000);
    let digest = store.put_object(bytes.clone()).await.unwrap().digest;
    for range in [0..1, 0..10_000, 512..1_024, 9_999..10_000, 7..7] {
        let got = store.get_range(&digest, range.clone()).await.unwrap();
        assert_eq!(got, bytes.slice(range.start as usize..range.end as usize));
    }
    for range in [9_990..10_001, 10_000..10_001, 20_000..20_100] {
        let error = store.get_range(&digest, range).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(
            error.to_string().contains(&digest.to_string()) && error.to_string().contains("10000"),
            "{error}"
        );
    }
}

async fn absent_objects_are_named(store: Store) {
    let digest = Digest::of(b"nobody wrote this");
    let errors = [
        store.get_object(&digest).await.unwrap_err(),
        store.get_range(&digest, 0..1).await.unwrap_err(),
        store.manifest(&digest).await.unwrap_err(),
        Dataset::open(&store, &digest).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&digest.to_string()) && text.contains(store.location()), "{text}");
    }
    assert_eq!(store.object_size(&digest).await.unwrap(), None);
    assert!(!store.has_manifest(&digest).await.unwrap());
    assert_eq!(store.list_manifests().await.unwrap(), []);
}

async fn racing_writers_all_succeed(store: Store) {
    let bytes = noise(11, 200_000);
    let writers: Vec<_> = (0..16)
        .map(|_| {
            let (store, bytes) = (store.clone(), bytes.clone());
            tokio::spawn(async move { store.put_object(bytes).await })
        })
        .collect();
    for writer in writers {
        assert_eq!(writer.await.unwrap().unwrap().digest, Digest::of(&bytes));
    }
    assert_eq!(store.get_object(&Digest::of(&bytes)).await.unwrap(), bytes);
}

async fn manifests_are_listed_and_checked(store: Store) {
    let mut digests = Vec::new();
    for rows in 0..5 {
        let manifest = ManifestParts::new(ArtifactKind::Result, &ResultBody { rows }).manifest(Vec::new());
        let digest = store.put_manifest(&manifest).await.unwrap();
        assert_eq!(store.put_manifest(&manifest).await.unwrap(), digest);
        assert_eq!(digest, manifest.digest());
        assert_eq!(store.manifest(&digest).await.unwrap(), manifest);
        assert!(store.has_manifest(&digest).await.unwrap());
        digests.push(digest);
    }
    digests.sort();
    assert_eq!(store.list_manifests().await.unwrap(), digests);
    let manifest = Manifest { schema: SCHEMA + 1, ..store.manifest(&digests[0]).await.unwrap() };
    assert!(matches!(store.put_manifest(&manifest).await.unwrap_err(), Error::Invalid { .. }));
    let error = Dataset::open(&store, &digests[0]).await.unwrap_err();
    assert!(error.to_string().contains("is a result; a dataset is needed here"), "{error}");
}

async fn checkpoints_lie_apart_and_can_be_removed(store: Store) {
    let place = |job: &str, part, fence, step| CheckpointPlace { job: job.to_owned(), part, fence, step };
    let body = ResultBody { rows: 1 };
    let write = async |store: &Store| {
        let objects = vec![("state".to_owned(), noise(9, 5_000)), ("large".to_owned(), noise(8, 9 << 20))];
        put_artifact(store, ManifestParts::new(ArtifactKind::Result, &body), objects).await.unwrap()
    };
    store.remove_checkpoints("a").await.unwrap();
    store.remove_older_checkpoints(&place("a", 0, 3, 3)).await.unwrap();
    assert_eq!(store.jobs_with_checkpoints().await.unwrap(), [""; 0]);

    // The same bytes everywhere, and once as an artifact.
    let digest = write(&store).await;
    let latest = place("a", 0, 12, 200);
    let superseded = [place("a", 0, 12, 30), place("a", 0, 9, 500)];
    let others = [latest.clone(), place("a", 0, 100, 1), place("a", 1, 1, 1), place("ab", 0, 1, 1)];
    for place in superseded.iter().chain(&others) {
        assert_eq!(write(&store.checkpoint(place)).await, digest);
    }
    assert_eq!(store.list_manifests().await.unwrap(), [digest], "checkpoints are not listed");

    for _ in 0..2 {
        store.remove_older_checkpoints(&latest).await.unwrap();
        for place in &superseded {
            let gone = store.checkpoint(place);
            assert!(!gone.has_manifest(&digest).await.unwrap(), "{place:?}");
            assert_eq!(gone.object_size(&Digest::of(&noise(9, 5_000))).await.unwrap(), None, "{place:?}");
        }
    }
    for store in others.iter().map(|place| store.checkpoint(place)).chain([store.clone()]) {
        let manifest = store.manifest(&digest).await.unwrap();
        assert_eq!(get_named(&store, &manifest, "state").await.unwrap(), noise(9, 5_000));
    }

    let mut jobs = store.jobs_with_checkpoints().await.unwrap();
    jobs.sort();
    assert_eq!(jobs, ["a", "ab"]);
    store.remove_checkpoints("a").await.unwrap();
    // A server may list the emptied folder for a while longer, which says nothing of what lies in it.
    assert!(store.jobs_with_checkpoints().await.unwrap().contains(&"ab".to_owned()));
    for place in &others {
        let kept = store.checkpoint(place).has_manifest(&digest).await.unwrap();
        assert_eq!(kept, place.job == "ab", "{place:?}: the jobs' names begin alike");
    }
    // A place is as good as new.
    assert_eq!(write(&store.checkpoint(&latest)).await, digest);
}

async fn artifacts_are_named_objects(store: Store) {
    let parts =
        ManifestParts::new(ArtifactKind::Result, &ResultBody { rows: 3 }).input("dataset", Digest::of(b"d"));
    let objects = vec![("result.json".to_owned(), "{}".into()), ("extra/table".to_owned(), "1,2".into())];
    let digest = put_artifact(&store, parts.clone(), objects.clone()).await.unwrap();
    let manifest = store.manifest(&digest).await.unwrap();
    assert_eq!(get_named(&store, &manifest, "extra/table").await.unwrap(), "1,2");
    assert_eq!(manifest.input("dataset"), Some(Digest::of(b"d")));
    let error = get_named(&store, &manifest, "weights.safetensors").await.unwrap_err();
    assert!(error.to_string().contains("result.json"), "{error}");
    let twice = vec![objects[0].clone(), objects[0].clone()];
    assert!(matches!(put_artifact(&store, parts, twice).await.unwrap_err(), Error::Invalid { .. }));
}

fn datasets_and_layers_are_read_by_sample(store: Store, handle: &Handle) {
    let dir = tempfile::tempdir().unwrap();
    let digest = handle.block_on(common::dataset(&store, dir.path()));
    let again = handle.block_on(common::dataset(&store, dir.path()));
    assert_eq!(digest, again, "importing twice gives the same digest");
    let elsewhere = Store::open("memory:").unwrap();
    assert_eq!(digest, handle.block_on(common::dataset(&elsewhere, dir.path())), "and so does another store");

    let dataset = Arc::new(handle.block_on(Dataset::open(&store, &digest)).unwrap());
    assert_eq!(dataset.len(), SAMPLES);
    assert_eq!(dataset.body.classes, ["normal", "stroma", "tumour"]);
    assert_eq!(dataset.body.splits["test"], 5);
    assert_eq!(dataset.samples_of_split("test"), [0, 5, 10, 15, 20]);
    assert_eq!(dataset.class_of(0), Some(2));
    assert_eq!((dataset.shard_count(), dataset.shard_range(2)), (3, Some(20..25)));
    assert_eq!(dataset.extension(3, "he").as_deref(), Some("png"));
    assert_eq!(dataset.samples[12].key, common::key(12));
    assert_eq!((dataset.samples[12].shard, dataset.samples[12].position), (1, 2));

    let layer = handle.block_on(common::layer(&store, dir.path(), digest, |_| {}));
    let layer = Arc::new(handle.block_on(Layer::open(&store, &layer)).unwrap());
    layer.check_pairs(&dataset).unwrap();

    for cache_bytes in [0, 20_000, 1 << 30] {
        let cache = tempfile::tempdir().unwrap();
        let reader = Reader::new(store.clone(), cache.path(), cache_bytes, handle.clone());
        read_from_many_threads(&reader, &dataset, &layer);
        let error = reader.read(&dataset, SAMPLES, "he").unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(reader.read(&dataset, 0, "nuclei").unwrap_err().to_string().contains("nuclei"));
    }
    layers_that_do_not_match_are_refused(&store, handle, dir.path(), &dataset);
    handle.block_on(a_layer_is_its_parts(&store, dir.path(), digest));
    handle.block_on(everything_can_run_in_a_task(store, dir.path().to_owned()));
}

async fn everything_can_run_in_a_task(store: Store, dir: std::path::PathBuf) {
    let task = tokio::spawn(async move {
        let digest = common::dataset(&store, &dir).await;
        let dataset = Dataset::open(&store, &digest).await.unwrap();
        let layer = common::layer(&store, &dir, digest, |_| {}).await;
        let layer = Layer::open(&store, &layer).await.unwrap();
        let path = dir.join("shard.tar");
        let file = std::fs::File::create(&path).unwrap();
        store.get_to_file(&dataset.body.shards[0].tar, &file, &path).await.unwrap();
        store.probe().await.unwrap();
        layer.check_pairs(&dataset)
    });
    task.await.unwrap().unwrap();
}

fn read_from_many_threads(reader: &Reader, dataset: &Arc<Dataset>, layer: &Arc<Layer>) {
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (reader, dataset, layer) = (reader.clone(), dataset.clone(), layer.clone());
            std::thread::spawn(move || {
                for step in 0..3 * SAMPLES {
                    let sample = (step * 7 + thread * 3) % SAMPLES;
                    for name in ["he", "types"] {
                        assert_eq!(reader.read(&dataset, sample, name).unwrap(), common::image(sample, name));
                    }
                    assert_eq!(reader.read_layer(&layer, sample).unwrap(), common::image(sample, "nuclei"));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn layers_that_do_not_match_are_refused(
    store: &Store,
    handle: &Handle,
    dir: &std::path::Path,
    dataset: &Dataset,
) {
    let check = |change: fn(&mut LayerBody)| {
        let layer = handle.block_on(common::layer(store, dir, dataset.digest, change));
        let outcome =
            handle.block_on(Layer::open(store, &layer)).and_then(|layer| layer.check_pairs(dataset));
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        error.to_string()
    };
    assert!(check(|body| body.dataset = Digest::of(b"other")).contains("belongs to dataset"));
    assert!(check(|body| body.shards.truncate(1)).contains("has 10 samples"));
    assert!(check(|body| body.shards.swap(0, 1)).contains("as sample 0"));
    assert!(check(|body| body.layer.width = Some(32)).contains("32×64"));
    assert!(check(|body| body.layer.name = "ihc".to_owned()).contains("has no layer \"ihc\""));
    assert!(check(|body| body.shards[0].samples = 9).contains("the manifest says 9"));
}

async fn a_layer_is_its_parts(store: &Store, dir: &std::path::Path, dataset: Digest) {
    let mut parts = Vec::new();
    for (part, shard) in common::layer_shards(store, dir).await.into_iter().enumerate() {
        let layer = common::layer_info("nuclei");
        let objects = [shard.tar, shard.index].map(|digest| counterstain_artifact::NamedObject {
            name: digest.hex(),
            size: 5,
            digest,
        });
        let table = Some(shard.tar);
        let body = LayerPartBody { part: part as u32, shard, layer, companions: Vec::new(), dataset, table };
        let named = ManifestParts::new(ArtifactKind::LayerPart, &body).input("dataset", dataset);
        parts.push(named.manifest(objects.to_vec()));
    }
    let manifest = layer_from_parts("nuclei", &parts).unwrap();
    let digest = store.put_manifest(&manifest).await.unwrap();
    let layer = Layer::open(store, &digest).await.unwrap();
    layer.check_pairs(&Dataset::open(store, &dataset).await.unwrap()).unwrap();
    let names: Vec<&str> = manifest.objects.iter().skip(3).map(|object| object.name.as_str()).collect();
    assert_eq!(names[..3], ["shards/00001.tar", "shards/00001.index.json", "tables/00001.parquet"]);
    assert_eq!(layer.body.tables.len(), 3);
    parts.swap(0, 1);
    assert!(layer_from_parts("nuclei", &parts).unwrap_err().to_string().contains("is numbered 1"));
    parts.swap(0, 1);
    parts[2].inputs[0].digest = Digest::of(b"other");
    assert!(layer_from_parts("nuclei", &parts).unwrap_err().to_string().contains("part 2"));
}
