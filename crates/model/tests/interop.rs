//! An exported encoder is loaded, strictly, by torchvision and timm, which compute
//! the same representations.
//!
//! Needs the Python that libtorch came with (`cargo xtask setup`), with torchvision
//! and timm installed beside torch.

use counterstain_model::init::{Scheme, initialise};
use counterstain_model::resnet::{Depth, ResNet, Variant};
use counterstain_model::weights::{export_under, with_batch_counters};
use counterstain_torch::{libtorch_folder, to_safetensors};
use std::path::{Path, PathBuf};
use std::process::Command;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// The interpreter beside a pip package's libtorch: ENV/lib/pythonX/site-packages/torch/lib.
fn python() -> Option<PathBuf> {
    let libtorch = libtorch_folder().expect("libtorch is loaded");
    let python = libtorch.ancestors().nth(5)?.join("bin/python");
    let has_modules = |python: &PathBuf| {
        let probe = ["-c", "import torchvision, timm, safetensors.torch"];
        Command::new(python).args(probe).output().is_ok_and(|output| output.status.success())
    };
    Some(python).filter(has_modules)
}

#[test]
fn torchvision_and_timm_load_the_export_strictly_and_compute_the_same() {
    let Some(python) = python() else {
        println!("skipped: libtorch has no Python with torchvision and timm beside it");
        return;
    };
    let store = VarStore::new(Device::Cpu);
    let encoder = ResNet::new(&(store.root() / "encoder"), Depth::R50, Variant::Torchvision);
    initialise(&store, 11, Scheme::Torch);
    let images = Tensor::linspace(-2.0, 2.0, 4 * 3 * 64 * 64, (Kind::Float, Device::Cpu));
    let images = images.view([4, 3, 64, 64]).sin();
    // A step in training mode, so that the running statistics are not those of a new network.
    let _ = tch::no_grad(|| encoder.forward_t(&images, true));
    let representations = tch::no_grad(|| encoder.forward_t(&images, false));

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let write = |name: &str, tensors| {
        let path = folder.join(name);
        let bytes = to_safetensors(&tensors).expect("storable");
        std::fs::write(&path, bytes).expect("the folder for temporary files is writable");
        path
    };
    let weights = with_batch_counters(export_under(&store, "encoder"));
    let encoder_path = write("interop-encoder.safetensors", weights);
    let example = vec![("images".to_owned(), images), ("representations".to_owned(), representations)];
    let example_path = write("interop-example.safetensors", example);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop.py");
    let output = Command::new(python).arg(script).args([encoder_path, example_path]).output();
    let output = output.expect("Python starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{out}");
    assert!(output.status.success(), "{out}{err}");
}
