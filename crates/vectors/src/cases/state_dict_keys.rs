//! Names, shapes and dtypes of every published network's parameters.

use std::collections::BTreeMap;

use anyhow::Context as _;
use counterstain_model::hovernet::{HoVerNet, HoVerNetConfig, Mode};
use counterstain_model::resnet::{Classifier, Depth, ResNet, Variant};
use counterstain_model::weights::{export, with_batch_counters};
use counterstain_model::{
    Norm, PatchGan, ResNetGenerator, ResNetGeneratorConfig, UNetConfig, UNetGenerator, keras,
};
use tch::nn::{Path, VarStore};
use tch::{Device, Kind};

use crate::document::Document;

/// A tensor's shape and, where the file states one, its dtype.
type Entries = BTreeMap<String, (Vec<i64>, Option<String>)>;

/// Checks every network of the document.
pub fn run(document: &mut Document) -> anyhow::Result<()> {
    for name in document.names() {
        let expected = expected(document, &name)?;
        let finding = match own(&name) {
            Ok(own) => compare(&own, &expected),
            Err(error) => Err(format!("{error:#}")),
        };
        document.record(&name, finding)?;
    }
    Ok(())
}

fn expected(document: &Document, network: &str) -> anyhow::Result<Entries> {
    let rows = document.entry(network)?.as_array().context("a network is a list of tensors")?;
    rows.iter()
        .map(|row| {
            let name = row[0].as_str().context("a tensor's name comes first")?;
            let shape = serde_json::from_value(row[1].clone())?;
            Ok((name.to_owned(), (shape, row.get(2).and_then(|dtype| dtype.as_str()).map(str::to_owned))))
        })
        .collect()
}

/// Builds the network that the entry names, and lists its parameters.
fn own(network: &str) -> anyhow::Result<Entries> {
    // Remarks in brackets are for readers.
    let plain = network.split('(').next().unwrap_or(network);
    let store = VarStore::new(Device::Cpu);
    build(&store.root(), plain)?;
    if plain.starts_with("keras_") {
        let named = export(&store).into_iter().map(|(name, tensor)| {
            let keras_name = keras::resnet_name(&name).with_context(|| format!("{name} is not in Keras"))?;
            Ok((keras_name, (keras::stored_shape(&tensor.size()), None)))
        });
        return named.collect();
    }
    let dtype = |kind| if kind == Kind::Int64 { "int64" } else { "float32" };
    let tensors = with_batch_counters(export(&store)).into_iter();
    Ok(tensors.map(|(name, tensor)| (name, (tensor.size(), Some(dtype(tensor.kind()).to_owned())))).collect())
}

fn build(root: &Path, network: &str) -> anyhow::Result<()> {
    let parts: Vec<&str> = network.split('_').collect();
    match parts.as_slice() {
        ["torchvision", "resnet18"] => resnet(root, Depth::R18),
        ["torchvision", "resnet34"] => resnet(root, Depth::R34),
        ["torchvision", "resnet50"] => resnet(root, Depth::R50),
        ["keras", "resnet50", "notop"] => {
            let _ = ResNet::new(root, Depth::R50, Variant::Keras);
        }
        ["cyclegan", "G", "unet", size, norm, dropout @ ..] => {
            let depth = usize::try_from(size.parse::<u32>()?.trailing_zeros())?;
            let (norm, dropout) = (norm_of(norm)?, !dropout.is_empty());
            let config = UNetConfig { in_channels: 3, out_channels: 3, depth, filters: 64, norm, dropout };
            UNetGenerator::new(root, config)?;
        }
        ["cyclegan", "G", "resnet", blocks, norm, dropout @ ..] => {
            let blocks = blocks.trim_end_matches("blocks").parse()?;
            let (norm, dropout) = (norm_of(norm)?, !dropout.is_empty());
            let config =
                ResNetGeneratorConfig { in_channels: 3, out_channels: 3, blocks, filters: 64, norm, dropout };
            ResNetGenerator::new(root, config)?;
        }
        ["cyclegan", "D", "basic", norm, channels] => {
            let channels = channels.trim_end_matches("ch").parse()?;
            PatchGan::new(root, channels, 64, 3, norm_of(norm)?)?;
        }
        ["hovernet", mode, "nr", "types", types] => {
            let mode = if *mode == "fast" { Mode::Fast } else { Mode::Original };
            HoVerNet::new(root, HoVerNetConfig::published(mode, types.parse().ok()))?;
        }
        _ => anyhow::bail!("no network of the project is named {network}"),
    }
    Ok(())
}

fn resnet(root: &Path, depth: Depth) {
    let _ = ResNet::new(root, depth, Variant::Torchvision);
    let _ = Classifier::new(root, depth.representation_width(), 1000);
}

fn norm_of(name: &str) -> anyhow::Result<Norm> {
    match name {
        "batch" => Ok(Norm::Batch),
        "instance" => Ok(Norm::Instance),
        other => anyhow::bail!("unknown norm {other}"),
    }
}

fn compare(own: &Entries, expected: &Entries) -> Result<(), String> {
    for (name, entry) in expected {
        match own.get(name) {
            None => return Err(format!("{name} is missing")),
            Some(found) if found != entry => return Err(format!("{name} is {found:?} instead of {entry:?}")),
            Some(_) => {}
        }
    }
    match own.keys().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(format!("{name} is surplus")),
        None => Ok(()),
    }
}
