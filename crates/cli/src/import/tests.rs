//! Imports into a store in memory.

use std::path::{Path, PathBuf};

use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::{LayerKind, Skipped};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode, decode_labels};
use counterstain_tile::encode::{encode_labels_png, encode_png};
use counterstain_tile::resample::{downsample_area, majority};

use super::*;

mod layouts;
#[cfg(feature = "slide")]
mod slides;

struct Bench {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let store = Store::open("memory:").unwrap();
        Self { folder: tempfile::tempdir().unwrap(), runtime, store }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn import(&self, description: &Import) -> Result<Imported, ImportError> {
        let spool = tempfile::tempdir().unwrap();
        let interrupted = AtomicBool::new(false);
        let context = Context { spool: spool.path(), interrupted: &interrupted, on_step: &|_| {} };
        import("tiles", description, &self.store, self.runtime.handle(), &context)
    }

    fn dataset(&self, imported: &Imported) -> Dataset {
        self.runtime.block_on(Dataset::open(&self.store, &imported.digest)).unwrap()
    }

    fn manifests(&self) -> usize {
        self.runtime.block_on(self.store.list_manifests()).unwrap().len()
    }

    fn write(&self, relative: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A small labelled data set: two splits, two classes, three tiles each.
    fn labelled(&self) -> Import {
        for split in ["train", "test"] {
            for class in ["benign", "malignant"] {
                for index in 0..3_u8 {
                    self.write(&format!("tiles/{split}/{class}/t.{index}.png"), &picture(index * 40));
                }
            }
        }
        folder(self.path().join("tiles"))
    }
}

fn folder(path: PathBuf) -> Import {
    Import::Folder(FolderImport { path, ..FolderImport::default() })
}

fn changed(import: &Import, change: Change) -> Import {
    let mut import = import.clone();
    match &mut import {
        Import::Folder(folder) => folder.change = change,
        Import::Paired(paired) => paired.change = change,
        Import::Strips(strips) => strips.change = change,
        Import::Pannuke(pannuke) => pannuke.change = change,
        Import::Camelyon17(camelyon17) => camelyon17.change = change,
        Import::Slide(_) | Import::Simulated(_) => panic!("they have keys of their own"),
    }
    import
}

fn tile(seed: u8, side: usize) -> Tile<u8> {
    let data = (0..side * side * 3).map(|index| (index as u8).wrapping_mul(7).wrapping_add(seed)).collect();
    Tile::new(side, side, 3, data).unwrap()
}

fn picture(seed: u8) -> Vec<u8> {
    encode_png(&tile(seed, 16)).unwrap()
}

fn labels(side: usize) -> Tile<u32> {
    let data = (0..side * side).map(|index| [0, 1, 300, 4][(index / 3) % 4]).collect();
    Tile::new(side, side, 1, data).unwrap()
}

#[test]
fn folders_become_labels_splits_and_keys_without_dots() {
    let bench = Bench::new();
    let imported = bench.import(&bench.labelled()).unwrap();
    assert_eq!(imported.body.classes, ["benign", "malignant"]);
    assert_eq!(imported.body.splits, [("test".to_owned(), 6), ("train".to_owned(), 6)].into());
    assert_eq!(imported.body.layers[0].extension, "png");
    assert_eq!((imported.body.layers[0].width, imported.body.layers[0].height), (Some(16), Some(16)));
    let dataset = bench.dataset(&imported);
    assert_eq!(dataset.samples[0].key, "test/benign/t%2E0");
    assert_eq!(dataset.samples[0].label.as_deref(), Some("benign"));
    assert_eq!(dataset.samples[11].split.as_deref(), Some("train"));
}

#[test]
fn importing_twice_and_from_elsewhere_gives_the_same_digest() {
    let bench = Bench::new();
    let first = bench.import(&bench.labelled()).unwrap();
    let again = bench.import(&bench.labelled()).unwrap();
    let elsewhere = Bench::new();
    let third = elsewhere.import(&elsewhere.labelled()).unwrap();
    assert_eq!(first.digest, again.digest);
    assert_eq!(first.digest, third.digest);
}

#[test]
fn all_bad_files_are_listed_and_nothing_is_imported() {
    let bench = Bench::new();
    let import = bench.labelled();
    let whole = picture(1);
    bench.write("tiles/train/benign/a-truncated.png", &whole[..whole.len() / 2]);
    bench.write("tiles/train/benign/b-corrupt.jpg", b"this is no picture");
    bench.write("tiles/train/malignant/c-empty.tif", b"");
    bench.write("tiles/test/malignant/t.1.jpg", &whole);
    bench.write("tiles/train/loose.png", &whole);
    let ImportError::BadFiles(bad) = bench.import(&import).unwrap_err() else { panic!("another error") };
    let paths: Vec<&str> = bad.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "test/malignant/t.1.png",
            "train/benign/a-truncated.png",
            "train/benign/b-corrupt.jpg",
            "train/loose.png",
            "train/malignant/c-empty.tif",
        ]
    );
    assert!(bad[0].reason.contains("same name"), "{}", bad[0].reason);
    assert_eq!(bench.manifests(), 0);
}

#[test]
fn an_oversized_image_is_listed_before_its_pixels_are_allocated() {
    let bench = Bench::new();
    let import = bench.labelled();
    // A PNG header that announces 60,000 x 60,000 px.
    let mut bytes = picture(1);
    bytes[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    bench.write("tiles/train/benign/huge.png", &bytes);
    let ImportError::BadFiles(bad) = bench.import(&import).unwrap_err() else { panic!("another error") };
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].path, "train/benign/huge.png");
}

#[test]
fn bad_files_can_be_skipped_and_are_recorded() {
    let bench = Bench::new();
    let import = changed(&bench.labelled(), Change { skip_bad: true, ..Change::default() });
    bench.write("tiles/train/benign/bad.png", b"not a picture");
    let imported = bench.import(&import).unwrap();
    assert_eq!(imported.body.samples, 12);
    let [Skipped { path, reason }] = imported.body.skipped.as_slice() else {
        panic!("{:?}", imported.body.skipped)
    };
    assert_eq!(path, "train/benign/bad.png");
    assert!(!reason.is_empty());
}

#[test]
fn an_empty_class_is_refused_even_when_skipping_emptied_it() {
    let bench = Bench::new();
    let import = bench.labelled();
    std::fs::create_dir_all(bench.path().join("tiles/test/necrosis")).unwrap();
    let error = bench.import(&import).unwrap_err().to_string();
    assert!(error.contains("test/necrosis"), "{error}");

    bench.write("tiles/test/necrosis/only.png", b"broken");
    let skipping = changed(&import, Change { skip_bad: true, ..Change::default() });
    let error = bench.import(&skipping).unwrap_err().to_string();
    assert!(error.contains("test/necrosis"), "{error}");
    assert_eq!(bench.manifests(), 0);
}

#[test]
fn a_folder_without_images_is_refused() {
    let bench = Bench::new();
    bench.write("tiles/notes.txt", b"x");
    let error = bench.import(&folder(bench.path().join("tiles"))).unwrap_err().to_string();
    assert!(error.contains("no PNG, JPEG or TIFF"), "{error}");
}

#[test]
fn a_limit_takes_an_even_subset_of_each_split_and_label() {
    let bench = Bench::new();
    let import = changed(&bench.labelled(), Change { limit: Some(2), ..Change::default() });
    let imported = bench.import(&import).unwrap();
    assert_eq!(imported.body.samples, 8);
    let keys: Vec<String> =
        bench.dataset(&imported).samples.iter().map(|sample| sample.key.clone()).collect();
    assert_eq!(keys[..2], ["test/benign/t%2E0", "test/benign/t%2E1"]);
    assert_eq!(imported.body.source["limit"], 2);
}

#[test]
fn groups_come_from_the_csv_file() {
    let bench = Bench::new();
    bench.labelled();
    let csv = bench.write("groups.csv", b"path,group\ntrain/benign/t.0.png,patient 1\n");
    let import = Import::Folder(FolderImport {
        path: bench.path().join("tiles"),
        groups: Some(csv),
        ..FolderImport::default()
    });
    let imported = bench.import(&import).unwrap();
    let dataset = bench.dataset(&imported);
    let groups: Vec<_> = dataset.samples.iter().filter_map(|sample| sample.group.as_deref()).collect();
    assert_eq!(groups, ["patient 1"]);
}

/// Primary images with a label layer, as an import of them.
fn paired(bench: &Bench, side: usize, count: u8) -> Import {
    for index in 0..count {
        bench.write(&format!("he/p{index}.png"), &encode_png(&tile(index, side)).unwrap());
        bench.write(&format!("types/p{index}.png"), &encode_labels_png(&labels(side)).unwrap());
    }
    let layer = LayerSource { path: bench.path().join("types"), content: Content::Label };
    Import::Paired(PairedImport {
        primary: bench.path().join("he"),
        layers: [("types".to_owned(), layer)].into(),
        ..PairedImport::default()
    })
}

fn member(bench: &Bench, imported: &Imported, sample: usize, layer: &str) -> Vec<u8> {
    let dataset = bench.dataset(imported);
    let cache = tempfile::tempdir().unwrap();
    let reader = counterstain_artifact::dataset::Reader::new(
        bench.store.clone(),
        cache.path(),
        1 << 30,
        bench.runtime.handle().clone(),
    );
    reader.read(&dataset, sample, layer).unwrap().to_vec()
}

#[test]
fn label_maps_stay_exact_when_they_are_kept_reduced_and_cut() {
    let bench = Bench::new();
    let import = paired(&bench, 24, 1);
    let kept = bench.import(&import).unwrap();
    assert_eq!(decode_labels(&member(&bench, &kept, 0, "types"), &Limits::default()).unwrap(), labels(24));

    let reduced = bench.import(&changed(&import, Change { downsample: 3, ..Change::default() })).unwrap();
    let found = decode_labels(&member(&bench, &reduced, 0, "types"), &Limits::default()).unwrap();
    assert_eq!(found, majority(&labels(24), 3).unwrap());
    let he = decode(&member(&bench, &reduced, 0, "he"), &Limits::default()).unwrap();
    assert_eq!(he, downsample_area(&tile(0, 24), 3).unwrap());
    assert_eq!(reduced.body.source["bytes"], "re-encoded as png");

    let cut = bench.import(&changed(&import, Change { tile: Some(8), ..Change::default() })).unwrap();
    assert_eq!(cut.body.samples, 9);
    let last = decode_labels(&member(&bench, &cut, 8, "types"), &Limits::default()).unwrap();
    assert_eq!(last, labels(24).crop(16, 16, 8, 8).unwrap());
    let dataset = bench.dataset(&cut);
    assert_eq!(dataset.samples[8].key, "p0_r002_c002");
    assert_eq!(dataset.samples[8].group.as_deref(), Some("p0"));
}

#[test]
fn pairs_that_do_not_match_are_all_listed() {
    let bench = Bench::new();
    let import = paired(&bench, 16, 4);
    bench.write("he/alone.png", &picture(1));
    bench.write("types/orphan.png", &encode_labels_png(&labels(16)).unwrap());
    bench.write("types/p1.png", &encode_labels_png(&labels(8)).unwrap());
    bench.write("types/p2.png", &picture(3));
    let ImportError::BadFiles(bad) = bench.import(&import).unwrap_err() else { panic!("another error") };
    let listed: Vec<(&str, &str)> =
        bad.iter().map(|file| (file.path.as_str(), file.reason.as_str())).collect();
    assert_eq!(listed.len(), 4, "{listed:?}");
    assert!(
        listed.iter().any(|(path, reason)| *path == "alone.png" && reason.contains("layer types")),
        "{listed:?}"
    );
    assert!(
        listed.iter().any(|(path, reason)| *path == "types/orphan.png" && reason.contains("no primary")),
        "{listed:?}"
    );
    assert!(
        listed.iter().any(|(path, reason)| *path == "types/p1.png" && reason.contains("8x8 px")),
        "{listed:?}"
    );
    assert!(
        listed.iter().any(|(path, reason)| *path == "types/p2.png" && reason.contains("label map")),
        "{listed:?}"
    );
    assert_eq!(bench.manifests(), 0);
}

#[test]
fn an_interrupted_import_registers_nothing() {
    let bench = Bench::new();
    let description = bench.labelled();
    let interrupted = AtomicBool::new(false);
    let spool = tempfile::tempdir().unwrap();
    let stop = |step: Step| interrupted.store(step.phase == "reading", Ordering::Relaxed);
    let context = Context { spool: spool.path(), interrupted: &interrupted, on_step: &stop };
    let outcome = import("tiles", &description, &bench.store, bench.runtime.handle(), &context);
    assert!(matches!(outcome, Err(ImportError::Interrupted)));
    assert_eq!(bench.manifests(), 0);
    assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
}

#[test]
fn simulated_tissue_has_splits_groups_and_exact_layers() {
    let bench = Bench::new();
    let description = Import::Simulated(SimulatedImport {
        samples: 20,
        size: 32,
        layers: vec!["types".into(), "ihc".into()],
        ..SimulatedImport::default()
    });
    let imported = bench.import(&description).unwrap();
    assert_eq!(imported.body.splits["train"], 12);
    assert_eq!(imported.body.layers.len(), 3);
    assert_eq!(imported.digest, bench.import(&description).unwrap().digest);
    let types = decode_labels(&member(&bench, &imported, 0, "types"), &Limits::default()).unwrap();
    assert!(types.data.iter().any(|&label| label > 0));
    let unknown =
        Import::Simulated(SimulatedImport { layers: vec!["typs".into()], ..SimulatedImport::default() });
    assert!(bench.import(&unknown).unwrap_err().to_string().contains("types"));
}

#[test]
fn real_tiles_are_imported_with_their_bytes_and_label_maps_reduced_exactly() {
    let Some(data) = std::env::var_os("COUNTERSTAIN_DATA").map(PathBuf::from) else {
        println!("skipped: COUNTERSTAIN_DATA is not set");
        return;
    };
    let bench = Bench::new();
    let pcam = changed(&folder(data.join("pcam")), Change { limit: Some(25), ..Change::default() });
    let imported = bench.import(&pcam).unwrap();
    assert_eq!(imported.body.splits, [("train".to_owned(), 50), ("valid".to_owned(), 50)].into());
    let first = bench.dataset(&imported).samples[0].key.clone();
    assert_eq!(
        member(&bench, &imported, 0, "he"),
        std::fs::read(data.join("pcam").join(first + ".jpg")).unwrap()
    );

    let types = LayerSource { path: data.join("consep/Train/Type"), content: Content::Label };
    let consep = Import::Paired(PairedImport {
        primary: data.join("consep/Train/Images"),
        layers: [("types".to_owned(), types)].into(),
        change: Change { downsample: 4, limit: Some(10), ..Change::default() },
        ..PairedImport::default()
    });
    let imported = bench.import(&consep).unwrap();
    assert_eq!(imported.body.layers[1].width, Some(64));
    let key = bench.dataset(&imported).samples[3].key.clone();
    let original = std::fs::read(data.join("consep/Train/Type").join(key + ".png")).unwrap();
    let expected = majority(&decode_labels(&original, &Limits::default()).unwrap(), 4).unwrap();
    let found = decode_labels(&member(&bench, &imported, 3, "types"), &Limits::default()).unwrap();
    assert_eq!(found, expected);
}
