//! `04_hovernet_targets_losses`: HoVer-Net's training targets, loss terms and gradients.

use anyhow::{Context as _, bail, ensure};
use counterstain_synthesis::engine::segmenter::loss::{
    HoverNetOutputs, HoverNetTargets, HoverNetWeights, hovernet_loss,
};
use counterstain_tile::nuclei::targets::targets;
use tch::{Kind, Tensor};

use super::gradients::kind_of;
use super::tiles::{label_tile, tensor};
use crate::Case;

/// Compares one case: targets of an instance map, or the losses in one type.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    if case.params().contains_key("crop") { training_targets(case) } else { losses(case) }
}

fn training_targets(case: &mut Case) -> anyhow::Result<()> {
    let name = case.name();
    let [height, width] = super::tf_image::sizes(case, "crop")?;
    let instances = label_tile(&case.input(&format!("{name}/ann"))?)?;
    let made = targets(&instances, width, height)?;
    let foreground: Vec<i32> = made.foreground.data.iter().map(|&set| set as i32).collect();
    let foreground = Tensor::from_slice(&foreground).f_reshape([height as i64, width as i64])?;
    case.compare(&format!("{name}/hv_map"), &tensor(&made.distances)?)?;
    case.compare(&format!("{name}/np_map"), &foreground)
}

fn losses(case: &mut Case) -> anyhow::Result<()> {
    ensure!(case.text("layout")? == "NHWC", "only NHWC is implemented");
    let dtype = case.text("dtype")?;
    let kind = kind_of(dtype)?;
    let mut leaf = |name: &str| anyhow::Ok(case.input(name)?.to_kind(kind).set_requires_grad(true));
    let outputs = HoverNetOutputs {
        foreground: leaf("loss/pred_raw_np")?,
        distances: leaf("loss/pred_raw_hv")?,
        types: Some(leaf("loss/pred_raw_tp")?),
    };
    let targets = HoverNetTargets {
        foreground: case.input("loss/true_np")?.to_kind(Kind::Int64),
        distances: case.input("loss/true_hv")?.to_kind(kind),
        types: Some(case.input("loss/true_tp")?.to_kind(Kind::Int64)),
    };
    let terms = hovernet_loss(&outputs, &targets);
    let total = terms.total(&HoverNetWeights::PUBLISHED);
    let (type_cross_entropy, type_dice) = terms.types.as_ref().context("no terms for types")?;
    let branch = |name: &str| match name {
        "np" => Ok(&outputs.foreground),
        "hv" => Ok(&outputs.distances),
        "tp" => outputs.types.as_ref().context("no output for types"),
        _ => bail!("no branch {name}"),
    };
    let prefix = format!("loss/{dtype}_");
    for full in case.expected() {
        let quantity = full.strip_prefix(&prefix).with_context(|| format!("{full} is of another type"))?;
        let (term, gradient_of) = match quantity.strip_prefix("grad_") {
            None => (quantity, None),
            Some(rest) => match rest.strip_prefix("total_") {
                Some(branch) => ("total", Some(branch)),
                None => (rest, rest.split('_').next()),
            },
        };
        let value = match term {
            "np_bce" => &terms.foreground_cross_entropy,
            "np_dice" => &terms.foreground_dice,
            "tp_bce" => type_cross_entropy,
            "tp_dice" => type_dice,
            "hv_mse" => &terms.distance_error,
            "hv_msge" => &terms.gradient_error,
            "total" => &total,
            other => bail!("no implementation of term {other}"),
        };
        match gradient_of {
            None => case.compare(full, value)?,
            Some(name) => {
                let mut gradients = Tensor::f_run_backward(&[value], &[branch(name)?], true, false)?;
                case.compare(full, &gradients.pop().context("libtorch gave no gradient")?)?;
            }
        }
    }
    Ok(())
}
