//! Runs every implemented file of `$COUNTERSTAIN_VECTORS`, and shows that wrong numbers
//! in it would be seen.

use std::path::Path;

use counterstain_vectors::description::{FileDescription, Role};
use counterstain_vectors::folder::Folder;
use counterstain_vectors::report::Status;
use counterstain_vectors::{cases, runner};

#[test]
fn every_implemented_file_of_the_vectors_is_equal() {
    let Some(root) = std::env::var_os("COUNTERSTAIN_VECTORS") else {
        println!("skipped: COUNTERSTAIN_VECTORS is not set");
        return;
    };
    let folder = Folder::open(root.as_ref()).expect("COUNTERSTAIN_VECTORS names a folder of vectors");
    let only: Vec<String> = cases::REGISTRY.iter().map(|(name, _)| (*name).to_owned()).collect();
    if only.is_empty() {
        return;
    }
    let report = runner::run(&folder, cases::REGISTRY, &only, |file| {
        for line in file.lines.iter().filter(|line| line.failed()) {
            println!("{}", line.text());
        }
        println!("{}: {}", file.file, file.counts.text());
    });
    assert!(report.passed(), "{}", report.total.text());
}

/// A copy of one file of the vectors in which the stored bytes of the tensor
/// `tensor` are replaced by `change`, with an index that fits.
fn altered(root: &Path, name: &str, tensor: &str, change: impl Fn(f64) -> f64) -> tempfile::TempDir {
    use sha2::{Digest as _, Sha256};

    let copy = tempfile::tempdir().expect("a temporary folder");
    let description = std::fs::read(root.join(format!("{name}.json"))).expect("the description");
    let mut stored = std::fs::read(root.join(format!("{name}.safetensors"))).expect("the tensors");
    let place = {
        let tensors = safetensors::SafeTensors::deserialize(&stored).expect("valid tensors");
        let view = tensors.tensor(tensor).expect("the tensor");
        let start = view.data().as_ptr() as usize - stored.as_ptr() as usize;
        (view.dtype(), start..start + view.data().len())
    };
    let bytes = &mut stored[place.1];
    match place.0 {
        safetensors::Dtype::F32 => bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|value| {
            *value = (change(f64::from(f32::from_le_bytes(*value))) as f32).to_le_bytes();
        }),
        safetensors::Dtype::F64 => bytes
            .as_chunks_mut::<8>()
            .0
            .iter_mut()
            .for_each(|value| *value = change(f64::from_le_bytes(*value)).to_le_bytes()),
        other => panic!("{other:?} is not a floating-point type"),
    }
    let mut index = serde_json::Map::new();
    for (file, bytes) in [(format!("{name}.json"), &description), (format!("{name}.safetensors"), &stored)] {
        std::fs::write(copy.path().join(&file), bytes).expect("a written file");
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        index.insert(file, serde_json::json!({"bytes": bytes.len(), "sha256": digest}));
    }
    let index = serde_json::to_vec(&index).expect("an index");
    std::fs::write(copy.path().join("index.json"), index).expect("a written index");
    copy
}

#[test]
fn a_perturbed_reference_or_input_is_seen() {
    let Some(root) = std::env::var_os("COUNTERSTAIN_VECTORS") else {
        println!("skipped: COUNTERSTAIN_VECTORS is not set");
        return;
    };
    let root = Path::new(&root);
    for name in ["01_barlow_twins", "01_trident_vicreg", "02_warmup_cosine", "03_keras_adam_clipnorm"] {
        let description = std::fs::read(root.join(format!("{name}.json"))).expect("the description");
        let description: FileDescription = serde_json::from_slice(&description).expect("a valid description");
        let first = |wanted: fn(Role) -> bool| {
            let entries = description.tensors.iter();
            let mut floats =
                entries.filter(|(_, entry)| wanted(entry.role) && entry.dtype.starts_with("float"));
            floats.next().map(|(tensor, _)| tensor.clone())
        };
        let output = first(Role::is_computed).expect("an output");
        let folder = altered(root, name, &output, |value| value * 1.01 + 0.001);
        let report =
            runner::run(&Folder::open(folder.path()).expect("a folder"), cases::REGISTRY, &[], |_| {});
        let failed: Vec<_> =
            report.files.iter().flat_map(|file| &file.lines).filter(|line| line.failed()).collect();
        assert!(!failed.is_empty() && failed.iter().all(|line| line.what == output), "{name}: {failed:?}");
        assert!(failed.iter().all(|line| line.status == Status::Fail && line.text().contains("FAIL")));

        if let Some(input) = first(|role| !role.is_computed()) {
            let folder = altered(root, name, &input, |value| value + 0.37 * (value * 12.3).sin());
            let report =
                runner::run(&Folder::open(folder.path()).expect("a folder"), cases::REGISTRY, &[], |_| {});
            assert!(report.total.failed > 0, "{name}: {input} changed and nothing was seen");
        }
    }
}
