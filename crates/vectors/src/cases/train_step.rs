//! 03_trident_train_step_*: the authors' whole training step, several times: dense
//! encoders and projectors shared between branches as the case says, the loss
//! summed over samples, Keras' Adam with clipping and the paper's schedule.

use anyhow::{Context as _, bail, ensure};
use counterstain_model::layers::{BatchNormConfig, Dense, RunningVariance};
use counterstain_model::projector::Projector;
use counterstain_torch::optim::schedule::WarmupCosine;
use counterstain_torch::optim::{KerasAdam, KerasAdamConfig};
use counterstain_training::engine::loss::{InfonceConfig, JointEmbedding, Reduction, VicregConfig};
use counterstain_training::engine::step::joint_embedding_step;
use std::collections::BTreeMap;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::Case;
use crate::description::Role;

/// Keras' batch norm on vectors: not fused, so the running variance takes the
/// biased variance of the batch.
const NORM: BatchNormConfig =
    BatchNormConfig { running_variance: RunningVariance::Biased, ..BatchNormConfig::KERAS };

pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let encoder_of = indices(case, "encoder_indices")?;
    let projector_of = indices(case, "projector_indices")?;
    let schedule = WarmupCosine {
        total: case.integer("lr.total")?.try_into()?,
        warmup: case.integer("lr.warmup")?.try_into()?,
        peak: case.number("lr.base")?,
        start: 0.0,
    };
    let loss = match case.text("loss")? {
        "vicreg" => {
            JointEmbedding::Vicreg(VicregConfig { reduction: Reduction::Sum, ..VicregConfig::default() })
        }
        "simclr" => {
            JointEmbedding::Infonce(InfonceConfig { reduction: Reduction::Sum, ..InfonceConfig::default() })
        }
        other => bail!("unknown loss {other}"),
    };

    let store = VarStore::new(Device::Cpu);
    let (inputs, hidden, outputs) = (case.integer("Din")?, case.integer("H")?, case.integer("O")?);
    let encoders: Vec<Dense> = (0..networks(&encoder_of))
        .map(|at| Dense::new(&(store.root() / format!("encoder{at}") / "0"), inputs, hidden, true))
        .collect();
    let depth = projector_depth(case);
    let projectors: Vec<Projector> = (0..networks(&projector_of))
        .map(|at| {
            Projector::with_norm(&(store.root() / format!("projector{at}")), hidden, outputs, depth, NORM)
        })
        .collect::<Result<_, _>>()?;
    let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    load(case, &variables)?;

    let clip_norm = Some(case.number("clipnorm")?);
    let parameters = variables
        .iter()
        .filter(|(_, variable)| variable.requires_grad())
        .map(|(name, variable)| (name.clone(), variable.shallow_clone()))
        .collect();
    let mut optimizer =
        KerasAdam::new(parameters, KerasAdamConfig { clip_norm, ..KerasAdamConfig::default() });
    let embed = |branch: usize, view: &Tensor| {
        let representation = encoders[encoder_of[branch]].forward(view).relu();
        projectors[projector_of[branch]].forward_t(&representation, true)
    };

    let views = case.input("x")?;
    let mut losses = Vec::new();
    for step in 0..case.integer("T")? {
        let now: Vec<Tensor> = views.get(step).unbind(0);
        let rate = schedule.at(step.unsigned_abs());
        let terms = joint_embedding_step(&now, embed, &loss, &mut optimizer, rate)?;
        let (_, mean) =
            terms.into_iter().find(|(name, _)| *name == "loss").context("the step states its loss")?;
        losses.push(mean);
        let prefix = format!("step{step}/");
        for name in case.expected() {
            if let Some(key) = name.strip_prefix(&prefix) {
                let (variable, transposed) = variable_of(key)?;
                let value = variables.get(&variable).with_context(|| format!("{name} is no variable"))?;
                let value = if transposed { value.detach().tr() } else { value.detach().copy() };
                case.compare(name, &value)?;
            }
        }
    }
    case.compare("losses_mean", &Tensor::stack(&losses, 0).to_kind(Kind::Float))
}

fn indices(case: &Case, name: &str) -> anyhow::Result<Vec<usize>> {
    let list = case.param(name)?.as_array().with_context(|| format!("{name} is no list"))?;
    let index = |value: &serde_json::Value| value.as_u64().map(|index| index as usize);
    list.iter().map(index).collect::<Option<_>>().with_context(|| format!("{name} is no list of indices"))
}

fn networks(of_branch: &[usize]) -> usize {
    of_branch.iter().max().map_or(0, |most| most + 1)
}

/// The number of dense layers of projector 0.
fn projector_depth(case: &Case) -> usize {
    let parameters = case.names(&[Role::Param]);
    parameters.iter().filter(|name| name.starts_with("init/projector0/") && name.ends_with("/kernel")).count()
}

/// Loads `init/…` into the variables.
fn load(case: &mut Case, variables: &BTreeMap<String, Tensor>) -> anyhow::Result<()> {
    let names = case.names(&[Role::Param]);
    ensure!(
        names.len() == variables.len(),
        "{} initial values for {} variables",
        names.len(),
        variables.len()
    );
    for name in names {
        let key = name.strip_prefix("init/").with_context(|| format!("{name} is no initial value"))?;
        let (variable, transposed) = variable_of(key)?;
        let mut variable =
            variables.get(&variable).with_context(|| format!("{name} is no variable"))?.shallow_clone();
        let value = case.input(name)?;
        let value = if transposed { value.tr() } else { value };
        tch::no_grad(|| variable.f_copy_(&value))?;
    }
    Ok(())
}

/// The name in the store of `NETWORK/LAYER/NAME` of Keras, and whether it is stored
/// transposed (Keras' kernels are [in, out]). Keras counts dense layers and batch
/// norms, torch also the ReLU after each.
fn variable_of(key: &str) -> anyhow::Result<(String, bool)> {
    let [network, layer, name] = key.split('/').collect::<Vec<_>>()[..] else {
        bail!("{key} is no variable")
    };
    let layer: usize = layer.parse()?;
    let layer = layer / 2 * 3 + layer % 2;
    let name = match name {
        "kernel" | "gamma" => "weight",
        "bias" | "beta" => "bias",
        "moving_mean" => "running_mean",
        "moving_variance" => "running_var",
        other => bail!("unknown variable {other}"),
    };
    Ok((format!("{network}.{layer}.{name}"), key.ends_with("/kernel")))
}
