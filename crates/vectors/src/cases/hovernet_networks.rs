//! HoVer-Net in both modes: every stage and the raw maps, in f64 like the reference.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use counterstain_model::HoVerNet;
use counterstain_model::hovernet::{HoVerNetConfig, Mode};
use tch::{Kind, Tensor};

use super::networks::{generated, mean_std_absmax, with_formula_weights};
use crate::Case;

/// Runs a case.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let mode = match case.text("mode")? {
        "fast" => Mode::Fast,
        "original" => Mode::Original,
        other => bail!("unknown mode {other}"),
    };
    let train = match case.text("mode_bn")? {
        "eval" => false,
        "train" => true,
        other => bail!("unknown mode_bn {other}"),
    };
    let config = HoVerNetConfig::published(mode, case.param("nr_types")?.as_i64());
    let (_store, network) = with_formula_weights(case, |root| Ok(HoVerNet::new(root, config)?))?;
    let images = generated(case, 0)?;
    let mut stages = BTreeMap::new();
    let maps = tch::no_grad(|| {
        network.forward_observed(&images, train, &mut |stage, values| {
            stages.insert(stage.to_owned(), mean_std_absmax(values));
        })
    });
    for name in case.expected() {
        let value = match name {
            "out/tp" => maps.types.as_ref().context("the network does not type")?.shallow_clone(),
            "out/np" => maps.nuclei.shallow_clone(),
            "out/hv" => maps.distances.shallow_clone(),
            _ => quantity(name, &stages, &images)?,
        };
        case.compare(name, &value)?;
    }
    Ok(())
}

fn quantity(name: &str, stages: &BTreeMap<String, Tensor>, images: &Tensor) -> anyhow::Result<Tensor> {
    if let Some(count) = name.strip_prefix("x_first") {
        let first = images.reshape([-1]).narrow(0, 0, count.parse()?);
        return Ok(first.to_kind(Kind::Float));
    }
    let stage = name.strip_prefix("stage/").and_then(|rest| rest.strip_suffix("_mean_std_absmax"));
    let statistics = stage.and_then(|stage| stages.get(stage));
    Ok(statistics.with_context(|| format!("the network has no stage for {name}"))?.shallow_clone())
}
