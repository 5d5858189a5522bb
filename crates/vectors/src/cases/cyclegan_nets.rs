//! The generators and discriminators of pix2pix and cycleGAN, and their adversarial
//! losses, in f64 like the reference.

use anyhow::{Context as _, bail};
use counterstain_model::{Norm, PatchGan, ResNetGenerator, ResNetGeneratorConfig, UNetConfig, UNetGenerator};
use counterstain_synthesis::engine::loss::GanMode;
use tch::{Kind, Tensor};

use super::networks::{generated, is_training, mean_std_absmax, slice, with_formula_weights};
use crate::Case;

/// Runs a case: a network, or a loss.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    if case.params().contains_key("gan_mode") {
        return loss(case);
    }
    let train = is_training(case)?;
    let images = generated(case, 0)?;
    let out = match case.text("kind")? {
        "generator" => generate(case, &images, train)?,
        "discriminator" => judge(case, &images, train)?,
        other => bail!("unknown kind {other}"),
    };
    for name in case.expected() {
        let value = match name.rsplit('/').next() {
            Some("out_mean_std_absmax") => mean_std_absmax(&out),
            Some("out") => match case.params().get("output_slice") {
                Some(part) => slice(&out, part.as_str().context("output_slice is not a text")?)?,
                None => out.shallow_clone(),
            },
            _ => bail!("unknown tensor {name}"),
        };
        case.compare(name, &value)?;
    }
    Ok(())
}

fn norm(case: &Case) -> anyhow::Result<Norm> {
    match case.text("norm")? {
        "batch" => Ok(Norm::Batch),
        "instance" => Ok(Norm::Instance),
        other => bail!("unknown norm {other}"),
    }
}

fn generate(case: &Case, images: &Tensor, train: bool) -> anyhow::Result<Tensor> {
    let architecture = case.text("netG")?;
    let (in_channels, out_channels) = (case.integer("input_nc")?, case.integer("output_nc")?);
    let (filters, norm, dropout) = (case.integer("ngf")?, norm(case)?, false);
    if let Some(size) = architecture.strip_prefix("unet_") {
        let depth = match size {
            "128" => 7,
            "256" => 8,
            other => bail!("unknown u-net size {other}"),
        };
        let config = UNetConfig { in_channels, out_channels, depth, filters, norm, dropout };
        let (_store, network) = with_formula_weights(case, |root| Ok(UNetGenerator::new(root, config)?))?;
        return Ok(tch::no_grad(|| network.forward_t(images, train)));
    }
    let blocks = architecture.strip_prefix("resnet_").and_then(|rest| rest.strip_suffix("blocks"));
    let blocks = blocks.with_context(|| format!("unknown generator {architecture}"))?.parse()?;
    let config = ResNetGeneratorConfig { in_channels, out_channels, blocks, filters, norm, dropout };
    let (_store, network) = with_formula_weights(case, |root| Ok(ResNetGenerator::new(root, config)?))?;
    Ok(tch::no_grad(|| network.forward_t(images, train)))
}

fn judge(case: &Case, images: &Tensor, train: bool) -> anyhow::Result<Tensor> {
    let (channels, filters) = (case.integer("input_nc")?, case.integer("ndf")?);
    let layers = usize::try_from(case.integer("n_layers")?)?;
    let norm = norm(case)?;
    let (_store, network) =
        with_formula_weights(case, |root| Ok(PatchGan::new(root, channels, filters, layers, norm)?))?;
    Ok(tch::no_grad(|| network.forward_t(images, train)))
}

fn loss(case: &mut Case) -> anyhow::Result<()> {
    let mode = match case.text("gan_mode")? {
        "lsgan" => GanMode::LeastSquares,
        "vanilla" => GanMode::Vanilla,
        "wgangp" => GanMode::Wasserstein,
        other => bail!("unknown gan_mode {other}"),
    };
    let is_real = case.param("target_is_real")?.as_bool().context("target_is_real is not a truth value")?;
    let prediction = case.input("ganloss/pred")?.to_kind(Kind::Double).set_requires_grad(true);
    let loss = mode.loss(&prediction, is_real);
    loss.backward();
    for name in case.expected() {
        let value = if name.ends_with("_grad") { prediction.grad() } else { loss.detach() };
        case.compare(name, &value)?;
    }
    Ok(())
}
