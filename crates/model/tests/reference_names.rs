//! Parameter names and shapes equal those of the reference implementations, as
//! recorded in the vectors' `state_dict_keys.json`.

use counterstain_model::hovernet::{HoVerNet, HoVerNetConfig, Mode};
use counterstain_model::keras;
use counterstain_model::resnet::{Classifier, Depth, ResNet, Variant};
use counterstain_model::weights::{export, with_batch_counters};
use counterstain_model::{Norm, PatchGan, ResNetGenerator, ResNetGeneratorConfig, UNetConfig, UNetGenerator};
use serde_json::Value;
use std::collections::BTreeMap;
use tch::Device;
use tch::nn::{Path, VarStore};

type Shapes = BTreeMap<String, Vec<i64>>;

/// The recorded shapes of one network, or nothing when the vectors are not there.
fn reference(network: &str) -> Option<Shapes> {
    let Ok(folder) = std::env::var("COUNTERSTAIN_VECTORS") else {
        println!("skipped: COUNTERSTAIN_VECTORS is not set");
        return None;
    };
    let path = std::path::Path::new(&folder).join("state_dict_keys.json");
    let text = std::fs::read_to_string(&path).expect("the vectors hold the reference's names");
    let all: Value = serde_json::from_str(&text).expect("it is JSON");
    let entries = all[network].as_array().unwrap_or_else(|| panic!("{network} is recorded"));
    let shape = |value: &Value| -> Vec<i64> {
        value.as_array().into_iter().flatten().filter_map(Value::as_i64).collect()
    };
    let named = entries
        .iter()
        .map(|entry| (entry[0].as_str().expect("a name comes first").to_owned(), shape(&entry[1])));
    Some(named.collect())
}

fn own(build: impl FnOnce(&Path)) -> Shapes {
    let store = VarStore::new(Device::Cpu);
    build(&store.root());
    let tensors = with_batch_counters(export(&store));
    tensors.into_iter().map(|(name, tensor)| (name, tensor.size())).collect()
}

fn assert_same(network: &str, build: impl FnOnce(&Path)) {
    if let Some(expected) = reference(network) {
        assert_eq!(own(build), expected, "{network}");
    }
}

#[test]
fn resnets_have_torchvisions_names() {
    for (network, depth) in [("torchvision_resnet18", Depth::R18), ("torchvision_resnet50", Depth::R50)] {
        assert_same(network, |root| {
            ResNet::new(root, depth, Variant::Torchvision);
            Classifier::new(root, depth.representation_width(), 1000);
        });
    }
}

#[test]
fn u_nets_have_the_pix2pix_authors_names() {
    let cases = [
        ("cyclegan_G_unet_256_batch", 8, Norm::Batch, false),
        ("cyclegan_G_unet_256_batch_dropout(pix2pix default)", 8, Norm::Batch, true),
        ("cyclegan_G_unet_128_batch", 7, Norm::Batch, false),
        ("cyclegan_G_unet_256_instance", 8, Norm::Instance, false),
    ];
    for (network, depth, norm, dropout) in cases {
        assert_same(network, |root| {
            let config = UNetConfig { in_channels: 3, out_channels: 3, depth, filters: 64, norm, dropout };
            UNetGenerator::new(root, config).expect("it is a published shape");
        });
    }
}

#[test]
fn resnet_generators_have_the_cyclegan_authors_names() {
    let cases = [
        ("cyclegan_G_resnet_9blocks_instance(CycleGAN default)", 9, Norm::Instance, false),
        ("cyclegan_G_resnet_9blocks_instance_dropout", 9, Norm::Instance, true),
        ("cyclegan_G_resnet_6blocks_instance", 6, Norm::Instance, false),
        ("cyclegan_G_resnet_9blocks_batch", 9, Norm::Batch, false),
    ];
    for (network, blocks, norm, dropout) in cases {
        assert_same(network, |root| {
            let config =
                ResNetGeneratorConfig { in_channels: 3, out_channels: 3, blocks, filters: 64, norm, dropout };
            ResNetGenerator::new(root, config).expect("it is a published shape");
        });
    }
}

#[test]
fn discriminators_have_the_authors_names() {
    let cases = [
        ("cyclegan_D_basic_instance_3ch(CycleGAN)", 3, Norm::Instance),
        ("cyclegan_D_basic_batch_6ch(pix2pix)", 6, Norm::Batch),
    ];
    for (network, channels, norm) in cases {
        assert_same(network, |root| {
            PatchGan::new(root, channels, 64, 3, norm).expect("it is a published shape");
        });
    }
}

#[test]
fn hover_nets_have_the_authors_names() {
    for (mode, name) in [(Mode::Fast, "fast"), (Mode::Original, "original")] {
        for types in [None, Some(5), Some(6)] {
            let typed = types.map_or("None".to_owned(), |count: i64| count.to_string());
            assert_same(&format!("hovernet_{name}_nr_types_{typed}"), |root| {
                HoVerNet::new(root, HoVerNetConfig::published(mode, types)).expect("it is a published shape");
            });
        }
    }
}

#[test]
fn the_keras_variant_has_kerass_names_and_layouts() {
    let Some(expected) = reference("keras_resnet50_notop") else { return };
    let store = VarStore::new(Device::Cpu);
    ResNet::new(&store.root(), Depth::R50, Variant::Keras);
    let own: Shapes = export(&store)
        .into_iter()
        .map(|(name, tensor)| {
            let stored = keras::stored_shape(&tensor.size());
            (keras::resnet_name(&name).unwrap_or_else(|| panic!("{name} has a name in Keras")), stored)
        })
        .collect();
    assert_eq!(own, expected);
}
