//! 03_keras_adam_clipnorm, 03_torch_optim: trajectories of parameters under given
//! gradients.

use anyhow::{Context as _, bail, ensure};
use counterstain_torch::optim::schedule::WarmupCosine;
use counterstain_torch::optim::{
    AdamConfig, AdamWConfig, KerasAdamConfig, LarsConfig, Optimizer, OptimizerConfig,
};
use tch::{Kind, Tensor};

use super::gradients::kind_of;
use super::helpers::numbers;
use crate::Case;
use crate::description::Role;

/// Keras' Adam, with a constant rate or the paper's schedule.
pub fn keras_adam(case: &mut Case) -> anyhow::Result<()> {
    let config = KerasAdamConfig {
        beta1: case.number("beta1")?,
        beta2: case.number("beta2")?,
        epsilon: case.number("epsilon")?,
        clip_norm: Some(case.number("clipnorm")?),
    };
    let kind = kind_of(case.text("dtype")?)?;
    let rate: Box<dyn Fn(usize) -> f64> = match case.text("lr.kind")? {
        "constant" => {
            let rate = case.number("lr.lr")?;
            Box::new(move |_| rate)
        }
        "warmup_cosine" => {
            let schedule = WarmupCosine {
                total: case.integer("lr.total")?.try_into()?,
                warmup: case.integer("lr.warmup")?.try_into()?,
                peak: case.number("lr.base")?,
                start: case.number("lr.warmup_lr")?,
            };
            Box::new(move |step| schedule.at(step as u64))
        }
        other => bail!("unknown kind of rate {other}"),
    };
    follow(case, OptimizerConfig::KerasAdam(config), kind, &*rate)
}

/// PyTorch's Adam and AdamW, and facebookresearch's LARS, in f64.
pub fn torch(case: &mut Case) -> anyhow::Result<()> {
    let config = match case.text("optimizer")? {
        "adam" => OptimizerConfig::Adam(AdamConfig {
            beta1: beta(case, 0)?,
            beta2: beta(case, 1)?,
            epsilon: case.number("eps")?,
            weight_decay: 0.0,
        }),
        "adamw" => OptimizerConfig::AdamW(AdamWConfig {
            beta1: beta(case, 0)?,
            beta2: beta(case, 1)?,
            epsilon: case.number("eps")?,
            weight_decay: case.number("weight_decay")?,
        }),
        "lars" => OptimizerConfig::Lars(LarsConfig {
            momentum: case.number("momentum")?,
            eta: case.number("eta")?,
            weight_decay: case.number("weight_decay")?,
            exclude_vectors: true,
        }),
        other => bail!("unknown optimiser {other}"),
    };
    let rates = numbers(&case.input("lr")?)?;
    follow(case, config, Kind::Double, &|step| rates[step])
}

fn beta(case: &Case, at: usize) -> anyhow::Result<f64> {
    case.param("betas")?.get(at).and_then(serde_json::Value::as_f64).context("betas are not two numbers")
}

/// Feeds the gradients `grads_P` step by step to the parameters `init_P` and
/// compares each parameter after every step with `…traj_P`.
fn follow(
    case: &mut Case,
    config: OptimizerConfig,
    kind: Kind,
    rate: &dyn Fn(usize) -> f64,
) -> anyhow::Result<()> {
    let mut parameters = Vec::new();
    let mut gradients = Vec::new();
    for name in case.names(&[Role::Param]) {
        let short = name.strip_prefix("init_").with_context(|| format!("{name} is no initial value"))?;
        let parameter = case.input(name)?.to_kind(kind).set_requires_grad(true);
        parameters.push((short.to_owned(), parameter));
        gradients.push(case.input(&format!("grads_{short}"))?.to_kind(kind));
    }
    let steps = gradients.first().context("there are no parameters")?.size()[0];
    ensure!(gradients.iter().all(|gradient| gradient.size()[0] == steps), "gradients differ in their steps");
    let handles = parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let mut optimizer: Box<dyn Optimizer> = config.build(handles);
    let mut trajectories: Vec<Vec<Tensor>> = parameters.iter().map(|_| Vec::new()).collect();
    for step in 0..steps {
        optimizer.zero_grad();
        for ((_, parameter), gradient) in parameters.iter().zip(&gradients) {
            (parameter * gradient.get(step)).sum(kind).backward();
        }
        optimizer.try_step(rate(step as usize))?;
        for ((_, parameter), trajectory) in parameters.iter().zip(&mut trajectories) {
            trajectory.push(parameter.detach().copy());
        }
    }
    for name in case.expected() {
        let at = parameters.iter().position(|(short, _)| name.ends_with(&format!("traj_{short}")));
        let at = at.with_context(|| format!("{name} is no parameter's trajectory"))?;
        case.compare(name, &Tensor::stack(&trajectories[at], 0))?;
    }
    Ok(())
}
