//! Grad-CAM and Grad-CAM++ on a ResNet with the closed formula's weights, in f32
//! like the reference.

use anyhow::{Context as _, bail};
use counterstain_model::gradcam::{Method, heat_map};
use tch::{Kind, Tensor};

use super::networks::generated;
use super::resnet;
use crate::Case;

/// Runs a case: the logits, or one method on one layer.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    // The file stores logits of all classes only in one of its cases.
    let (mut store, network) = resnet::build(case, 1000)?;
    store.float();
    let images = generated(case, 0)?.to_kind(Kind::Float);
    let maps = tch::no_grad(|| network.trunk.feature_maps(&images, false));
    if !case.params().contains_key("method") {
        let logits = tch::no_grad(|| network.classifier.forward(&maps.representation));
        return case.compare("logits", &logits);
    }
    let method = match case.text("method")? {
        "gradcam" => Method::GradCam,
        "gradcampp" => Method::GradCamPlusPlus,
        other => bail!("unknown method {other}"),
    };
    let layer = case.text("target_layer")?;
    let level: usize = layer
        .strip_prefix("layer")
        .and_then(|rest| rest.strip_suffix("[-1]"))
        .and_then(|digits| digits.parse().ok())
        .filter(|level| (1..=4).contains(level))
        .with_context(|| format!("unknown layer {layer}"))?;
    let classes: Vec<i64> = serde_json::from_value(case.param("classes")?.clone())?;
    let classes = Tensor::from_slice(&classes).unsqueeze(1);
    let map = heat_map(
        &maps.layers[level - 1],
        |activations| {
            let representation = network.trunk.representation_from(level, activations, false);
            network.classifier.forward(&representation).gather(1, &classes, false).squeeze_dim(1)
        },
        method,
    );
    let size = images.size();
    for name in case.expected() {
        let value = match name.rsplit('/').next() {
            Some("weights") => map.weights.shallow_clone(),
            Some("cam_raw") => map.raw.shallow_clone(),
            Some("cam") => map.over_image(size[2], size[3]),
            _ => bail!("unknown tensor {name}"),
        };
        case.compare(name, &value)?;
    }
    Ok(())
}
