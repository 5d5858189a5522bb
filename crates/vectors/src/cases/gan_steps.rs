//! Training steps of pix2pix and cycleGAN: every loss term of every step, and the
//! parameters and gradients after the last one. Computed in f64, like the reference.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use counterstain_model::{Norm, ResNetGeneratorConfig, UNetConfig};
use counterstain_synthesis::engine::cyclegan::{CycleGan, CycleGanConfig};
use counterstain_synthesis::engine::generator::GeneratorConfig;
use counterstain_synthesis::engine::loss::GanMode;
use counterstain_synthesis::engine::pix2pix::{Pix2Pix, Pix2PixConfig};
use serde::Deserialize;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::Case;

/// Options of the published code.
#[derive(Debug, Deserialize)]
struct Options {
    ngf: u32,
    ndf: u32,
    #[serde(rename = "netG")]
    generator: String,
    norm: String,
    gan_mode: String,
}

/// What a case says about its steps.
#[derive(Debug, Deserialize)]
struct Steps {
    opt: Options,
    loss_names: Vec<String>,
    steps: usize,
    state_keys_in: String,
    lr: f64,
    betas: [f64; 2],
    #[serde(rename = "lambda_L1")]
    lambda_l1: f64,
    #[serde(rename = "lambda_A")]
    lambda_a: f64,
    #[serde(rename = "lambda_B")]
    lambda_b: f64,
    lambda_identity: f64,
    pool_size: usize,
    dropout: bool,
}

/// State keys of each network, in the reference's order.
type StateKeys = BTreeMap<String, Vec<String>>;

/// Runs a case: its name says which of the two methods it is.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let steps: Steps = case.params_as()?;
    ensure!(steps.betas[1] == 0.999, "beta2 of {} is not the published one", steps.betas[1]);
    let path = steps.state_keys_in.strip_prefix("params.").unwrap_or(&steps.state_keys_in);
    let keys: StateKeys = serde_json::from_value(case.param(path)?.clone())?;
    if case.name().starts_with("pix2pix") {
        pix2pix(case, &steps, &keys)
    } else {
        cyclegan(case, &steps, &keys)
    }
}

fn gan_mode(name: &str) -> anyhow::Result<GanMode> {
    match name {
        "vanilla" => Ok(GanMode::Vanilla),
        "lsgan" => Ok(GanMode::LeastSquares),
        other => bail!("unknown gan_mode {other}"),
    }
}

fn norm(name: &str) -> anyhow::Result<Norm> {
    match name {
        "batch" => Ok(Norm::Batch),
        "instance" => Ok(Norm::Instance),
        other => bail!("unknown norm {other}"),
    }
}

fn image(case: &mut Case, name: &str) -> anyhow::Result<Tensor> {
    let tensor = format!("{}/{name}", case.name());
    Ok(case.generated(&tensor)?.to_kind(Kind::Double))
}

fn pix2pix(case: &mut Case, steps: &Steps, keys: &StateKeys) -> anyhow::Result<()> {
    let side = steps.opt.generator.strip_prefix("unet_").context("pix2pix paints with a U-Net")?;
    let condition = image(case, "real_A")?;
    let target = image(case, "real_B")?;
    let config = Pix2PixConfig {
        generator: GeneratorConfig::Unet(UNetConfig {
            in_channels: condition.size()[1],
            out_channels: target.size()[1],
            depth: side.parse::<u32>()?.ilog2() as usize,
            filters: i64::from(steps.opt.ngf),
            norm: norm(&steps.opt.norm)?,
            dropout: steps.dropout,
        }),
        discriminator_filters: steps.opt.ndf,
        discriminator_layers: 3,
        gan_mode: gan_mode(&steps.opt.gan_mode)?,
        lambda_l1: steps.lambda_l1,
        beta1: steps.betas[0],
        dtype: None,
        seed: 0,
    };
    let mut model = Pix2Pix::of_kind(config, Device::Cpu, Kind::Double)?;
    case.fill_weights(model.generator_variables(), Some("G"))?;
    case.fill_weights(model.discriminator_variables(), Some("D"))?;

    let mut losses = Vec::new();
    for step in 0..steps.steps {
        let outcome = model.optimise(&condition, &target, steps.lr, 0)?;
        if step == 0 {
            case.compare(&format!("{}/step0/fake_B", case.name()), &outcome.painted)?;
        }
        let named = ["G_GAN", "G_L1", "D_real", "D_fake"].into_iter().zip(outcome.losses.named());
        losses.push(in_order(&steps.loss_names, named.map(|(name, (_, value))| (name, value)))?);
    }
    compare_losses(case, &losses)?;
    compare_network(case, "G", model.generator_variables(), keys)?;
    compare_network(case, "D", model.discriminator_variables(), keys)
}

fn cyclegan(case: &mut Case, steps: &Steps, keys: &StateKeys) -> anyhow::Result<()> {
    let blocks = steps.opt.generator.strip_prefix("resnet_").and_then(|rest| rest.strip_suffix("blocks"));
    let blocks = blocks.context("cycleGAN paints with a ResNet")?.parse()?;
    let real_a = image(case, "real_A")?;
    let real_b = image(case, "real_B")?;
    let generator = GeneratorConfig::Resnet(ResNetGeneratorConfig {
        in_channels: real_a.size()[1],
        out_channels: real_b.size()[1],
        filters: i64::from(steps.opt.ngf),
        blocks,
        norm: norm(&steps.opt.norm)?,
        dropout: steps.dropout,
    });
    let config = CycleGanConfig {
        generator,
        discriminator_filters: steps.opt.ndf,
        discriminator_layers: 3,
        gan_mode: gan_mode(&steps.opt.gan_mode)?,
        lambda_a: steps.lambda_a,
        lambda_b: steps.lambda_b,
        lambda_identity: steps.lambda_identity,
        pool_size: steps.pool_size,
        beta1: steps.betas[0],
        dtype: None,
        seed: 0,
    };
    let mut model = CycleGan::new(config, Device::Cpu, Kind::Double)?;
    for (net, store) in model.variables() {
        case.fill_weights(store, Some(net))?;
    }

    let mut losses = Vec::new();
    for step in 0..steps.steps {
        let (terms, images) = model.optimise(&real_a, &real_b, steps.lr, 0)?;
        if step == 0 {
            let first = [
                ("fake_A", Some(&images.fake_a)),
                ("fake_B", Some(&images.fake_b)),
                ("rec_A", Some(&images.reconstructed_a)),
                ("rec_B", Some(&images.reconstructed_b)),
                ("idt_A", images.identity_a.as_ref()),
                ("idt_B", images.identity_b.as_ref()),
            ];
            for (name, image) in first {
                let image = image.with_context(|| format!("{name} was not painted"))?;
                case.compare(&format!("{}/step0/{name}", case.name()), image)?;
            }
        }
        let names = ["D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B"];
        let named = names.into_iter().zip(terms.named()).map(|(name, (_, value))| (name, value));
        losses.push(in_order(&steps.loss_names, named)?);
    }
    compare_losses(case, &losses)?;
    for (net, store) in model.variables() {
        compare_network(case, net, store, keys)?;
    }
    Ok(())
}

fn in_order<'a>(names: &[String], values: impl Iterator<Item = (&'a str, f64)>) -> anyhow::Result<Vec<f64>> {
    let values: BTreeMap<&str, f64> = values.collect();
    let find = |name: &String| values.get(name.as_str()).copied().with_context(|| format!("no loss {name}"));
    names.iter().map(find).collect()
}

fn compare_losses(case: &mut Case, losses: &[Vec<f64>]) -> anyhow::Result<()> {
    let flat = losses.concat();
    let shape = [losses.len() as i64, losses.first().map_or(0, Vec::len) as i64];
    case.compare(&format!("{}/losses", case.name()), &Tensor::from_slice(&flat).view(shape))
}

/// Norms and sums of a network's state, norms of its last gradients, and the whole
/// parameters that the file stores.
fn compare_network(case: &mut Case, net: &str, store: &VarStore, keys: &StateKeys) -> anyhow::Result<()> {
    let keys = keys.get(net).with_context(|| format!("no state keys of {net}"))?;
    let variables = store.variables();
    let find = |key: &str| variables.get(key).with_context(|| format!("network {net} has no {key}"));
    let mut norms = Vec::new();
    let mut sums = Vec::new();
    let mut gradients = Vec::new();
    for key in keys {
        let variable = find(key)?.detach();
        norms.push(variable.norm().double_value(&[]));
        sums.push(variable.sum(Kind::Double).double_value(&[]));
        if !key.contains("running_") {
            gradients.push(find(key)?.grad().norm().double_value(&[]));
        }
    }
    let prefix = format!("{}/{net}", case.name());
    case.compare(&format!("{prefix}/param_l2"), &Tensor::from_slice(&norms))?;
    case.compare(&format!("{prefix}/param_sum"), &Tensor::from_slice(&sums))?;
    case.compare(&format!("{prefix}/grad_l2_last"), &Tensor::from_slice(&gradients))?;
    let after = format!("{prefix}/after/");
    for name in case.expected() {
        if let Some(key) = name.strip_prefix(&after) {
            case.compare(name, &find(key)?.detach())?;
        }
    }
    Ok(())
}
