//! Published weights become encoders of the store, which compute what their authors' code does.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::path::{Path, PathBuf};
use std::process::Command;

use counterstain_api::error::ApiError;
use counterstain_artifact::{ArtifactKind, Digest, EncoderBody, Store, WEIGHTS, get_named};
use counterstain_evaluation::engine::encoder::{Architecture, Encoder, Input};
use counterstain_evaluation::weights::{ImportWeights, import};
use counterstain_tile::Tile;
use counterstain_torch::{NamedTensors, from_safetensors, libtorch_folder, to_safetensors};
use tch::{Device, Kind, Tensor};

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn options(&self, file: &Path) -> ImportWeights {
        let store = self.path().join("store").display().to_string();
        ImportWeights { file: file.to_owned(), store, normalisation: None, image_size: None }
    }

    fn write(&self, tensors: &NamedTensors) -> PathBuf {
        let path = self.path().join("weights.safetensors");
        std::fs::write(&path, to_safetensors(tensors).unwrap()).unwrap();
        path
    }

    fn encoder(&self, digest: &Digest) -> (EncoderBody, Vec<u8>) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = Store::open(&self.path().join("store").display().to_string()).unwrap();
        let manifest = runtime.block_on(store.manifest(digest)).unwrap();
        let weights = runtime.block_on(get_named(&store, &manifest, WEIGHTS)).unwrap();
        (manifest.body_of(ArtifactKind::Encoder).unwrap(), weights.to_vec())
    }

    fn refusal(&self, tensors: &NamedTensors) -> String {
        import(&self.options(&self.write(tensors))).unwrap_err().to_string()
    }
}

fn architecture(body: &EncoderBody) -> Architecture {
    Architecture {
        name: body.architecture.clone(),
        image_size: body.image_size,
        normalisation: body.normalisation.clone(),
    }
}

fn random(name: &str) -> NamedTensors {
    let architecture = Architecture { name: name.to_owned(), image_size: 0, normalisation: "0-1".to_owned() };
    from_safetensors(&architecture.random_weights(1).unwrap()).unwrap()
}

fn tensor(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, (Kind::Float, Device::Cpu))
}

/// The interpreter beside a pip package's libtorch, when pytorch-fid is installed there.
fn python() -> Option<PathBuf> {
    let python = libtorch_folder().ok()?.ancestors().nth(5)?.join("bin/python");
    let has_modules = |python: &PathBuf| {
        let probe = ["-c", "import pytorch_fid.inception, safetensors.torch"];
        Command::new(python).args(probe).output().is_ok_and(|output| output.status.success())
    };
    Some(python).filter(has_modules)
}

#[test]
fn the_inception_of_fid_computes_the_features_of_pytorch_fid() {
    let Some(python) = python() else {
        println!("skipped: libtorch has no Python with pytorch-fid beside it");
        return;
    };
    let bench = Bench::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fid.py");
    let output = Command::new(python).arg(script).arg(bench.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let digest = import(&bench.options(&bench.path().join("inception.pth"))).unwrap();
    let (body, weights) = bench.encoder(&digest);
    assert_eq!((body.architecture.as_str(), body.image_size), ("inception_v3", 299));
    assert_eq!((body.normalisation.as_str(), body.method.as_str()), ("-1-1", "published"));

    let example =
        from_safetensors(&std::fs::read(bench.path().join("example.safetensors")).unwrap()).unwrap();
    let named = |name: &str| example.iter().find(|(known, _)| known == name).unwrap().1.shallow_clone();
    let architecture = architecture(&body);
    let images: Vec<Input> = (0..3)
        .map(|image| {
            let pixels = named("images").get(image).permute([1, 2, 0]).contiguous().view([-1]);
            let pixels = Vec::<u8>::try_from(pixels).unwrap();
            Input::new(&Tile::new(80, 96, 3, pixels).unwrap(), &architecture).unwrap()
        })
        .collect();
    let encoder = Encoder::new(architecture, &weights, Device::Cpu, None).unwrap();
    let found = Tensor::from_slice(&encoder.represent(&images).unwrap()).view([3, 2048]);
    let expected = named("features");
    let error = f64::try_from((found - &expected).abs().max() / expected.abs().max()).unwrap();
    println!("largest difference {error:.1e} of the largest feature");
    assert!(error < 1e-4);
}

#[test]
fn a_resnet_of_torchvision_loses_its_classifier_and_keeps_its_scale() {
    let bench = Bench::new();
    for (name, classifier) in [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)] {
        let mut tensors = random(name);
        tensors.push(("fc.weight".to_owned(), tensor(&[1000, classifier])));
        tensors.push(("fc.bias".to_owned(), tensor(&[1000])));
        let file = bench.write(&tensors);
        let (body, weights) = bench.encoder(&import(&bench.options(&file)).unwrap());
        assert_eq!((body.architecture.as_str(), body.normalisation.as_str()), (name, "imagenet"));
        assert_eq!((body.representation_width, body.image_size), (classifier as u32, 0));
        Encoder::new(architecture(&body), &weights, Device::Cpu, None).unwrap();
        let scale = Some("0-1".to_owned());
        let options = ImportWeights { normalisation: scale, image_size: Some(64), ..bench.options(&file) };
        let (body, _) = bench.encoder(&import(&options).unwrap());
        assert_eq!((body.normalisation.as_str(), body.image_size), ("0-1", 64));
    }
}

#[test]
fn weights_that_are_no_encoder_are_refused_with_the_reason() {
    let bench = Bench::new();
    let said = bench.refusal(&vec![("conv0./.weight".to_owned(), tensor(&[8, 3, 7, 7]))]);
    assert!(said.contains("holds no known encoder") && said.contains("conv0./.weight"), "{said}");

    let mut cut = random("resnet18");
    cut.retain(|(name, _)| name != "layer2.0.conv1.weight");
    let said = bench.refusal(&cut);
    assert!(said.contains("missing layer2.0.conv1.weight"), "{said}");

    let mut other = random("inception_v3");
    other.push(("fc.bias".to_owned(), tensor(&[1000])));
    let said = bench.refusal(&other);
    assert!(said.contains("1000 classes") && said.contains("pt_inception-2015-12-05"), "{said}");
    let file = bench.write(&random("inception_v3"));
    let scaled = ImportWeights { normalisation: Some("0-1".to_owned()), ..bench.options(&file) };
    let said = import(&scaled).unwrap_err().to_string();
    assert!(said.contains("leave out --normalisation"), "{said}");

    let missing: ApiError = import(&bench.options(&bench.path().join("none.pth"))).unwrap_err();
    assert!(missing.to_string().contains("none.pth"), "{missing}");
}
