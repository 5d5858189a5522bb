//! What the harness accepts and, above all, what it must refuse, on small folders
//! made here.

use std::collections::BTreeMap;
use std::path::Path;

use counterstain_vectors::case::Case;
use counterstain_vectors::document::Document;
use counterstain_vectors::folder::Folder;
use counterstain_vectors::report::{Report, Status};
use counterstain_vectors::runner::{Implementation, Registry, run};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A folder with one file `doubling`: y = factor * x, and z = x + 1 on the way.
struct Sample {
    root: tempfile::TempDir,
    description: Value,
    tensors: BTreeMap<&'static str, Vec<f32>>,
    others: Vec<(&'static str, Vec<u8>)>,
}

impl Sample {
    fn new() -> Self {
        let check = json!({"kind": "allclose", "rtol": 1e-6, "atol": 0.0});
        Self {
            root: tempfile::tempdir().expect("a temporary folder"),
            description: json!({
                "file": "doubling.safetensors", "set": "own", "what": "", "source": "", "notes": [], "versions": {},
                "params": {"factor": 2.0},
                "cases": [{"name": "c", "tensors": ["x", "z", "y"], "params": {}}],
                "tensors": {
                    "x": {"shape": [3], "dtype": "float32", "role": "input"},
                    "z": {"shape": [3], "dtype": "float32", "role": "intermediate", "compute_dtype": "f32", "check": check},
                    "y": {"shape": [3], "dtype": "float32", "role": "output", "compute_dtype": "f32", "check": check},
                }
            }),
            tensors: BTreeMap::from([
                ("x", vec![1.0, 2.0, 3.0]),
                ("z", vec![2.0, 3.0, 4.0]),
                ("y", vec![2.0, 4.0, 6.0]),
            ]),
            others: Vec::new(),
        }
    }

    fn write(&self) {
        let bytes: BTreeMap<&str, Vec<u8>> = self
            .tensors
            .iter()
            .map(|(name, values)| (*name, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
            .collect();
        let views = bytes.iter().map(|(name, bytes)| {
            (*name, TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).expect("a valid view"))
        });
        let stored = safetensors::serialize(views, None).expect("serialisable tensors");
        let description = serde_json::to_vec(&self.description).expect("serialisable description");
        let mut files = vec![("doubling.safetensors", stored), ("doubling.json", description)];
        files.extend(self.others.clone());
        let index: BTreeMap<&str, Value> = files
            .iter()
            .map(|(name, bytes)| {
                let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                (*name, json!({"bytes": bytes.len(), "sha256": digest}))
            })
            .collect();
        for (name, bytes) in &files {
            let path = self.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, bytes).expect("a written file");
        }
        std::fs::write(self.path().join("index.json"), serde_json::to_vec(&index).expect("an index"))
            .expect("a written index");
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn run(&self, registry: &Registry) -> Report {
        run(&Folder::open(self.path()).expect("a folder"), registry, &[], |_| {})
    }
}

fn double(case: &mut Case) -> anyhow::Result<()> {
    let x = case.input("x")?;
    case.compare("z", &(&x + 1.0))?;
    let factor = case.number("factor")?;
    case.compare("y", &(x * factor))
}

const DOUBLE: &Registry = &[("doubling", Implementation::Cases(double))];

fn failures(report: &Report) -> Vec<String> {
    report
        .files
        .iter()
        .flat_map(|file| &file.lines)
        .filter(|line| line.failed())
        .map(|line| line.text())
        .collect()
}

#[test]
fn equal_results_pass_and_are_counted() {
    let sample = Sample::new();
    sample.write();
    let report = sample.run(DOUBLE);
    assert!(report.passed(), "{:?}", failures(&report));
    assert_eq!((report.total.compared, report.total.passed, report.total.failed), (2, 2, 0));
}

#[test]
fn a_perturbed_output_is_reported_as_a_failure() {
    let mut sample = Sample::new();
    sample.tensors.insert("y", vec![2.0, 4.00002, 6.0]);
    sample.write();
    let report = sample.run(DOUBLE);
    assert!(!report.passed());
    let failures = failures(&report);
    assert_eq!(failures.len(), 1);
    assert!(failures[0].contains("c: y") && failures[0].contains("FAIL"), "{}", failures[0]);
}

#[test]
fn bytes_that_differ_from_the_index_fail_before_anything_is_compared() {
    let sample = Sample::new();
    sample.write();
    let path = sample.path().join("doubling.safetensors");
    let mut bytes = std::fs::read(&path).expect("the file");
    *bytes.last_mut().expect("a byte") ^= 1;
    std::fs::write(&path, bytes).expect("the flipped file");
    let report = sample.run(DOUBLE);
    assert_eq!(report.total.passed, 0);
    assert!(failures(&report)[0].contains("sha256"));
}

#[test]
fn a_file_that_is_missing_fails() {
    let sample = Sample::new();
    sample.write();
    std::fs::remove_file(sample.path().join("doubling.safetensors")).expect("removal");
    let report = sample.run(DOUBLE);
    assert!(failures(&report)[0].contains("cannot be read"), "{:?}", failures(&report));
}

#[test]
fn a_file_without_implementation_fails_with_all_its_outputs() {
    let sample = Sample::new();
    sample.write();
    let report = sample.run(&[]);
    assert!(!report.passed());
    assert_eq!(report.total.not_compared, 2);
    assert!(failures(&report)[0].contains("no implementation"));
}

#[test]
fn an_output_that_nobody_computed_counts_as_failed() {
    fn lazy(case: &mut Case) -> anyhow::Result<()> {
        let x = case.input("x")?;
        case.compare("y", &(x * 2.0))
    }
    let sample = Sample::new();
    sample.write();
    let report = sample.run(&[("doubling", Implementation::Cases(lazy))]);
    assert_eq!((report.total.passed, report.total.failed, report.total.not_compared), (1, 1, 1));
}

#[test]
fn an_input_that_nobody_read_fails_unless_it_need_not_be() {
    fn guessing(case: &mut Case) -> anyhow::Result<()> {
        case.compare("z", &tch::Tensor::from_slice(&[2.0f32, 3.0, 4.0]))?;
        case.compare("y", &tch::Tensor::from_slice(&[2.0f32, 4.0, 6.0]))
    }
    const GUESSING: &Registry = &[("doubling", Implementation::Cases(guessing))];
    let mut sample = Sample::new();
    sample.write();
    assert!(failures(&sample.run(GUESSING))[0].contains("not read"));
    sample.description["tensors"]["x"]["consumed"] = json!(false);
    sample.description["tensors"]["x"]["why"] = json!("for the reader");
    sample.write();
    assert!(sample.run(GUESSING).passed());
}

#[test]
fn a_result_of_the_reference_cannot_be_read_as_an_input() {
    fn cheating(case: &mut Case) -> anyhow::Result<()> {
        let _ = case.input("x")?;
        let y = case.input("y")?;
        case.compare("y", &y)
    }
    let sample = Sample::new();
    sample.write();
    let report = sample.run(&[("doubling", Implementation::Cases(cheating))]);
    assert_eq!(report.total.passed, 0);
}

#[test]
fn a_given_intermediate_is_read_and_not_compared() {
    fn from_given(case: &mut Case) -> anyhow::Result<()> {
        let _ = case.input("x")?;
        let z = case.given("z")?;
        case.compare("y", &((z - 1.0) * 2.0))
    }
    const FROM_GIVEN: &Registry = &[("doubling", Implementation::Cases(from_given))];
    let mut sample = Sample::new();
    sample.write();
    assert!(!sample.run(FROM_GIVEN).passed(), "the case does not give z");
    sample.description["cases"][0]["given"] = json!(["z"]);
    sample.write();
    assert!(sample.run(FROM_GIVEN).passed());
    assert!(!sample.run(DOUBLE).passed(), "a given tensor must not be compared");
}

#[test]
fn informative_tensors_are_counted_apart() {
    let mut sample = Sample::new();
    sample.description["tensors"]["z"]["check"] = json!({"kind": "informative", "why": "noise"});
    sample.tensors.insert("z", vec![9.0, 9.0, 9.0]);
    sample.write();
    let report = sample.run(DOUBLE);
    assert!(report.passed());
    assert_eq!((report.total.compared, report.total.informative), (1, 1));
}

#[test]
fn the_check_of_the_arithmetic_in_use_is_chosen() {
    fn doubled_in_f64(case: &mut Case) -> anyhow::Result<()> {
        let x = case.input("x")?.to_kind(tch::Kind::Double);
        case.compare("z", &(&x + 1.0))?;
        case.compare("y", &(x * 2.0001))
    }
    let mut sample = Sample::new();
    sample.description["tensors"]["y"]["check_f64"] = json!({"kind": "allclose", "rtol": 1e-3, "atol": 0.0});
    sample.write();
    assert!(sample.run(&[("doubling", Implementation::Cases(doubled_in_f64))]).passed());
}

#[test]
fn a_panic_in_the_code_under_test_fails_its_case_only() {
    fn panicking(_: &mut Case) -> anyhow::Result<()> {
        let _ = tch::Tensor::from_slice(&[1.0f32]).view([5, 5]);
        Ok(())
    }
    let sample = Sample::new();
    sample.write();
    let report = sample.run(&[("doubling", Implementation::Cases(panicking))]);
    assert!(failures(&report).iter().any(|line| line.contains("shape")));
}

#[test]
fn index_entries_that_no_module_reads_fail() {
    fn with_fixture(case: &mut Case) -> anyhow::Result<()> {
        assert_eq!(case.other_file_bytes("fixtures/a.bin")?, [7]);
        double(case)
    }
    fn list(document: &mut Document) -> anyhow::Result<()> {
        document.record("one", Ok(()))?;
        document.record("two", Err("differs".to_owned()))
    }
    let mut sample = Sample::new();
    sample.others.push(("fixtures/a.bin", vec![7]));
    sample.others.push(("lists.json", br#"{"one": 1, "two": 2, "three": 3}"#.to_vec()));
    sample.write();
    let report = sample.run(DOUBLE);
    assert_eq!(failures(&report).len(), 2, "{:?}", failures(&report));
    let registry =
        [("doubling", Implementation::Cases(with_fixture)), ("lists", Implementation::Document(list))];
    let report = sample.run(&registry);
    assert_eq!(report.total.failed, 2);
    assert_eq!(report.total.not_compared, 1);
    let one =
        report.files.iter().flat_map(|file| &file.lines).find(|line| line.what == "one").expect("a line");
    assert_eq!(one.status, Status::Ok);
}

#[test]
fn a_tensor_outside_every_case_fails() {
    let mut sample = Sample::new();
    sample.description["cases"][0]["tensors"] = json!(["x", "y"]);
    sample.write();
    assert!(failures(&sample.run(DOUBLE))[0].contains("in no case"));
}

#[test]
fn a_folder_without_index_is_refused() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    assert!(Folder::open(empty.path()).is_err());
}
