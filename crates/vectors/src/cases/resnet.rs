//! torchvision's ResNets: every stage, representations and logits in both modes,
//! gradients and running statistics, in f64 like the reference.

use anyhow::{Context as _, bail};
use counterstain_model::ResNet;
use counterstain_model::resnet::{Classifier, Depth, FeatureMaps, Variant};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::networks::{generated, is_training, l2, mean_std_absmax, with_formula_weights};
use crate::Case;

/// The trunk and its classifier.
pub struct Network {
    pub trunk: ResNet,
    pub classifier: Classifier,
}

/// Builds the architecture that the case names, for `classes` classes.
pub fn build(case: &Case, classes: i64) -> anyhow::Result<(VarStore, Network)> {
    let depth = match case.text("arch")? {
        "resnet18" => Depth::R18,
        "resnet34" => Depth::R34,
        "resnet50" => Depth::R50,
        other => bail!("unknown architecture {other}"),
    };
    with_formula_weights(case, |root| {
        let trunk = ResNet::new(root, depth, Variant::Torchvision);
        let classifier = Classifier::new(root, trunk.representation_width(), classes);
        Ok(Network { trunk, classifier })
    })
}

/// Runs a case: one of the modes, or the formula's first values.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    if case.params().contains_key("mode") { forward_and_backward(case) } else { formula(case) }
}

fn formula(case: &mut Case) -> anyhow::Result<()> {
    let take = case.integer("take")?;
    for name in case.expected() {
        let key = name.rsplit_once('/').map_or(name, |(_, key)| key);
        let shape: Vec<i64> = serde_json::from_value(
            case.param("shapes")?.get(key).with_context(|| format!("{key} has no shape"))?.clone(),
        )?;
        let values = case.weight(key, &shape)?.reshape([-1]).narrow(0, 0, take);
        case.compare(name, &values)?;
    }
    Ok(())
}

/// What a case computes, before it is asked for by name.
struct Computed {
    maps: FeatureMaps,
    logits: Tensor,
    store: VarStore,
    parameter_names: Vec<String>,
}

fn forward_and_backward(case: &mut Case) -> anyhow::Result<()> {
    let train = is_training(case)?;
    let logits_name = format!("{}/logits", case.text("mode")?);
    let classes = case.entry(&logits_name)?.shape.last().copied().context("logits have a class axis")?;
    let (store, network) = build(case, classes)?;
    let images = generated(case, 0)?;
    let maps = network.trunk.feature_maps(&images, train);
    let logits = network.classifier.forward(&maps.representation);
    let mut parameter_names = Vec::new();
    if train {
        let weighting = generated(case, 1)?;
        (&logits * weighting).sum(Kind::Double).backward();
        parameter_names = serde_json::from_value(case.param("param_names")?.clone())?;
    }
    let computed = Computed { maps, logits, store, parameter_names };
    for name in case.expected() {
        let quantity = name.split_once('/').map_or(name, |(_, quantity)| quantity);
        let value = computed.quantity(quantity).with_context(|| format!("{name} cannot be computed"))?;
        case.compare(name, &value)?;
    }
    Ok(())
}

impl Computed {
    fn quantity(&self, name: &str) -> anyhow::Result<Tensor> {
        if let Some(parameter) = name.strip_prefix("grad/") {
            return Ok(self.variable(parameter)?.grad());
        }
        if let Some(variable) = name.strip_prefix("after/") {
            return self.variable(variable);
        }
        if let Some(stage) = name.strip_suffix("_mean_std_absmax") {
            return Ok(mean_std_absmax(self.stage(stage)?));
        }
        match name {
            "features" => Ok(self.maps.representation.detach()),
            "logits" => Ok(self.logits.detach()),
            "grad_l2" => {
                let norms: anyhow::Result<Vec<Tensor>> =
                    self.parameter_names.iter().map(|name| Ok(l2(&self.variable(name)?.grad()))).collect();
                Ok(Tensor::stack(&norms?, 0))
            }
            _ => self.part_of_stage(name),
        }
    }

    /// `layer4_s0_c0_8`: of that stage, sample 0, channels 0 to 8.
    fn part_of_stage(&self, name: &str) -> anyhow::Result<Tensor> {
        let mut parts = name.split('_');
        let stage = self.stage(parts.next().unwrap_or_default())?;
        let mut number = |prefix: &str| -> anyhow::Result<i64> {
            let part = parts.next().and_then(|part| part.strip_prefix(prefix));
            part.and_then(|digits| digits.parse().ok()).with_context(|| format!("unknown tensor {name}"))
        };
        let (sample, first, last) = (number("s")?, number("c")?, number("")?);
        Ok(stage.detach().get(sample).narrow(0, first, last - first))
    }

    fn stage(&self, name: &str) -> anyhow::Result<&Tensor> {
        Ok(match name {
            "conv1" => &self.maps.first_convolution,
            "maxpool" => &self.maps.pooled,
            "layer1" => &self.maps.layers[0],
            "layer2" => &self.maps.layers[1],
            "layer3" => &self.maps.layers[2],
            "layer4" => &self.maps.layers[3],
            other => bail!("unknown stage {other}"),
        })
    }

    fn variable(&self, name: &str) -> anyhow::Result<Tensor> {
        self.store.variables().remove(name).with_context(|| format!("the network has no {name}"))
    }
}
