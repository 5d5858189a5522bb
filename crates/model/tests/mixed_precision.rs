//! Every network learns under bf16 autocast with channels-last images on the CPU:
//! results close to f32, gradients in f32 and finite.

use counterstain_model::init::{Scheme, initialise};
use counterstain_model::resnet::{Depth, Variant};
use counterstain_model::{
    Norm, PatchGan, Projector, ResNet, ResNetGenerator, ResNetGeneratorConfig, UNetConfig, UNetGenerator,
};
use counterstain_torch::{autocast, channels_last};
use tch::nn::{Path, VarStore};
use tch::{Device, Kind, Tensor};

/// A network of any kind, in training mode.
type Forward = Box<dyn Fn(&Tensor) -> Tensor>;

fn learns_in_bf16(name: &str, scheme: Scheme, tolerance: f64, build: impl FnOnce(&Path) -> Forward) {
    let store = VarStore::new(Device::Cpu);
    let forward = build(&store.root());
    initialise(&store, 7, scheme);
    let images = Tensor::linspace(-1.0, 1.0, 4 * 3 * 32 * 32, (Kind::Float, Device::Cpu));
    let images = (images * 40.0).sin().view([4, 3, 32, 32]);
    let exact = tch::no_grad(|| forward(&images));
    let lower = autocast(Device::Cpu, Some(Kind::BFloat16), || forward(&channels_last(&images)));
    assert_eq!(lower.kind(), Kind::BFloat16, "{name}");
    let lower = lower.to_kind(Kind::Float);
    let distance = (&lower - &exact).square().mean(None).sqrt().double_value(&[]);
    let size = exact.square().mean(None).sqrt().double_value(&[]);
    assert!(distance < tolerance * size, "{name}: {distance} of {size}");
    lower.square().mean(None).backward();
    for (variable, tensor) in store.variables() {
        if tensor.requires_grad() {
            let gradient = tensor.grad();
            assert!(gradient.defined(), "{name}: {variable} has no gradient");
            assert_eq!(gradient.kind(), Kind::Float, "{name}: {variable}");
            assert_eq!(gradient.isfinite().all().int64_value(&[]), 1, "{name}: {variable}");
        }
    }
}

#[test]
fn an_encoder_with_its_projector_learns_in_bf16() {
    for (name, variant) in [("torchvision", Variant::Torchvision), ("keras", Variant::Keras)] {
        // Batch norm over the few values that are left of 32 px magnifies roundings.
        learns_in_bf16(name, Scheme::Torch, 0.6, |root| {
            let encoder = ResNet::new(&(root / "encoder"), Depth::R18, variant);
            let projector = Projector::new(&(root / "projector"), 512, 64, 3).expect("in range");
            Box::new(move |images| projector.forward_t(&encoder.forward_t(images, true), true))
        });
    }
}

#[test]
fn generators_and_discriminators_learn_in_bf16() {
    for norm in [Norm::Batch, Norm::Instance] {
        learns_in_bf16("u-net", Scheme::Gan, 0.1, |root| {
            let config =
                UNetConfig { in_channels: 3, out_channels: 3, depth: 4, filters: 8, norm, dropout: false };
            let generator = UNetGenerator::new(root, config).expect("in range");
            Box::new(move |images| generator.forward_t(images, true))
        });
        learns_in_bf16("resnet generator", Scheme::Gan, 0.1, |root| {
            let config = ResNetGeneratorConfig {
                in_channels: 3,
                out_channels: 3,
                blocks: 2,
                filters: 8,
                norm,
                dropout: false,
            };
            let generator = ResNetGenerator::new(root, config).expect("in range");
            Box::new(move |images| generator.forward_t(images, true))
        });
        learns_in_bf16("patchgan", Scheme::Gan, 0.1, |root| {
            let judge = PatchGan::new(root, 3, 8, 2, norm).expect("in range");
            Box::new(move |images| judge.forward_t(images, true))
        });
    }
}
