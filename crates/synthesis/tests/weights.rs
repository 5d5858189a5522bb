//! Published weights become generators of the store.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::path::{Path, PathBuf};

use counterstain_api::error::ApiError;
use counterstain_artifact::{ArtifactKind, Digest, GeneratorBody, GeneratorNetwork, Store};
use counterstain_model::hovernet::Mode;
use counterstain_model::init::{Scheme, initialise};
use counterstain_model::weights::export;
use counterstain_model::{
    HoVerNet, HoVerNetConfig, Norm, PatchGan, ResNetGenerator, ResNetGeneratorConfig, UNetConfig,
    UNetGenerator,
};
use counterstain_synthesis::weights::{ImportWeights, import};
use counterstain_torch::{NamedTensors, to_safetensors};
use tch::Device;
use tch::nn::VarStore;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn options(&self, file: &Path) -> ImportWeights {
        ImportWeights {
            file: file.to_owned(),
            store: self.folder.path().join("store").display().to_string(),
            reverse: None,
            layer: "nuclei".to_owned(),
            types: Vec::new(),
        }
    }

    fn write(&self, name: &str, tensors: &NamedTensors) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, to_safetensors(tensors).unwrap()).unwrap();
        path
    }

    fn import(&self, options: &ImportWeights) -> Result<Digest, ApiError> {
        std::fs::create_dir_all(&options.store).unwrap();
        import(options)
    }

    fn body(&self, digest: &Digest) -> GeneratorBody {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = Store::open(&self.folder.path().join("store").display().to_string()).unwrap();
        let manifest = runtime.block_on(store.manifest(digest)).unwrap();
        manifest.body_of(ArtifactKind::Generator).unwrap()
    }

    fn refusal(&self, options: &ImportWeights) -> String {
        self.import(options).unwrap_err().to_string()
    }
}

/// The weights of a network that `build` makes.
fn weights<N>(build: impl FnOnce(&VarStore) -> N) -> NamedTensors {
    let store = VarStore::new(Device::Cpu);
    build(&store);
    initialise(&store, 1, Scheme::Torch);
    export(&store)
}

fn unet() -> NamedTensors {
    let config = UNetConfig {
        in_channels: 3,
        out_channels: 1,
        depth: 5,
        filters: 8,
        norm: Norm::Batch,
        dropout: false,
    };
    weights(|store| UNetGenerator::new(&store.root(), config).unwrap())
}

fn resnet(in_channels: i64, out_channels: i64) -> NamedTensors {
    let config = ResNetGeneratorConfig {
        in_channels,
        out_channels,
        blocks: 2,
        filters: 8,
        norm: Norm::Instance,
        dropout: true,
    };
    weights(|store| ResNetGenerator::new(&store.root(), config).unwrap())
}

fn hovernet(mode: Mode, types: Option<i64>) -> NamedTensors {
    let config = HoVerNetConfig { mode, types, width: 0.125 };
    weights(|store| HoVerNet::new(&store.root(), config).unwrap())
}

#[test]
fn networks_are_recognised_by_their_tensors() {
    let bench = Bench::new();
    let digest = bench.import(&bench.options(&bench.write("unet", &unet()))).unwrap();
    let body = bench.body(&digest);
    let network = GeneratorNetwork::Unet { depth: 5, filters: 8, norm: "batch".to_owned() };
    assert_eq!((body.network, body.in_channels, body.out_channels), (network, 3, 1));

    let mut both = bench.options(&bench.write("there", &resnet(3, 1)));
    both.reverse = Some(bench.write("back", &resnet(1, 3)));
    let body = bench.body(&bench.import(&both).unwrap());
    let norm = "instance".to_owned();
    assert_eq!(body.network, GeneratorNetwork::Resnet { blocks: 2, filters: 8, norm, dropout: true });
    both.reverse = Some(bench.write("there", &resnet(3, 1)));
    assert!(bench.refusal(&both).contains("--reverse"), "it paints the same way");

    for (mode, word) in [(Mode::Fast, "fast"), (Mode::Original, "original")] {
        let file = bench.write(word, &hovernet(mode, Some(6)));
        let body = bench.body(&bench.import(&bench.options(&file)).unwrap());
        let GeneratorNetwork::Hovernet { mode, width, types } = body.network else { panic!("{body:?}") };
        assert_eq!((mode.as_str(), width), (word, 0.125));
        assert_eq!(types[1], "neoplastic");
        assert_eq!(body.layer.palette.unwrap().len(), 6);
    }
    let untyped = bench.options(&bench.write("untyped", &hovernet(Mode::Fast, None)));
    let body = bench.body(&bench.import(&untyped).unwrap());
    assert!(matches!(body.network, GeneratorNetwork::Hovernet { types, .. } if types.is_empty()));
}

#[test]
fn the_same_weights_give_the_same_generator() {
    let bench = Bench::new();
    let file = bench.write("unet", &unet());
    let first = bench.import(&bench.options(&file)).unwrap();
    let prefixed: NamedTensors =
        unet().into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)).collect();
    let second = bench.import(&bench.options(&bench.write("data-parallel", &prefixed))).unwrap();
    assert_eq!(first, second);
}

#[test]
fn what_is_no_generator_or_does_not_fit_is_refused_by_name() {
    let bench = Bench::new();
    let judge = weights(|store| PatchGan::new(&store.root(), 3, 8, 3, Norm::Batch).unwrap());
    let text = bench.refusal(&bench.options(&bench.write("judge", &judge)));
    assert!(text.contains("is no generator that this program knows") && text.contains("model.0."), "{text}");

    let mut incomplete = unet();
    incomplete.retain(|(name, _)| name != "model.model.3.bias");
    incomplete.push(("classifier.weight".to_owned(), tch::Tensor::from_slice(&[1.0_f32])));
    let text = bench.refusal(&bench.options(&bench.write("incomplete", &incomplete)));
    assert!(text.contains("missing model.model.3.bias"), "{text}");
    assert!(text.contains("surplus classifier.weight"), "{text}");

    let file = bench.write("hovernet", &hovernet(Mode::Fast, Some(5)));
    let mut wrong = bench.options(&file);
    wrong.types = vec!["background".to_owned(), "nucleus".to_owned()];
    assert!(bench.refusal(&wrong).contains("names 2 types, the segmenter has 5"));

    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(bench.refusal(&bench.options(&file)).contains("hovernet"));
    let missing = bench.options(&bench.folder.path().join("nowhere.tar"));
    assert!(bench.refusal(&missing).contains("nowhere.tar"));
}

#[test]
fn published_formats_are_read_and_a_part_of_a_network_is_refused() {
    let Some(vectors) = std::env::var_os("COUNTERSTAIN_VECTORS").map(PathBuf::from) else {
        println!("skipped: COUNTERSTAIN_VECTORS is not set");
        return;
    };
    let bench = Bench::new();
    // The fixtures are the beginning of cycleGAN's generator, and of something like HoVer-Net.
    for (file, reason) in [
        ("G_zip.pth", "the last convolution of 7 x 7 is missing"),
        ("G_legacy.pth", "the last convolution of 7 x 7 is missing"),
        ("hover_like.tar", "missing "),
        ("hover_like_legacy.tar", "missing "),
    ] {
        let text = bench.refusal(&bench.options(&vectors.join("fixtures").join(file)));
        assert!(text.contains(reason) && text.contains(file), "{file}: {text}");
    }
}
