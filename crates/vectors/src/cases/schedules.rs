//! 02_warmup_cosine, 02_other_schedules: learning rates.

use anyhow::{Context as _, bail};
use counterstain_synthesis::engine::schedule::{Schedule, ScheduleConfig};
use counterstain_torch::optim::schedule::{ScaledWarmupCosine, WarmupCosine};
use tch::{Kind, Tensor};

use super::helpers::integers;
use crate::Case;
use crate::description::Role;

/// The paper's schedule, at the steps that the case names.
pub fn warmup_cosine(case: &mut Case) -> anyhow::Result<()> {
    let schedule = WarmupCosine {
        total: whole(case, "total")?,
        warmup: whole(case, "warmup")?,
        peak: case.number("base")?,
        start: case.number("warmup_lr")?,
    };
    let rates = at_steps(case, |step| schedule.at(step))?;
    for name in case.expected() {
        let kind = if name.ends_with("_f32") { Kind::Float } else { Kind::Double };
        case.compare(name, &rates.to_kind(kind))?;
    }
    Ok(())
}

/// facebookresearch's schedule, and the GAN authors' linear decay.
pub fn other(case: &mut Case) -> anyhow::Result<()> {
    let rates = if case.params().contains_key("warmup_epochs") {
        let per_epoch = whole(case, "steps_per_epoch")?;
        let schedule = ScaledWarmupCosine {
            total: whole(case, "epochs")? * per_epoch,
            warmup: whole(case, "warmup_epochs")? * per_epoch,
            base: case.number("base_lr")?,
            batch_size: whole(case, "batch_size")?,
        };
        at_steps(case, |step| schedule.at(step))?
    } else {
        linear_decay(case)?
    };
    let [name] = case.expected()[..] else { bail!("one result is expected") };
    case.compare(name, &rates)
}

/// The rate of each epoch of a GAN's training: constant, then falling.
fn linear_decay(case: &Case) -> anyhow::Result<Tensor> {
    let decay_epochs = whole(case, "n_epochs_decay")?;
    let epochs = whole(case, "n_epochs")? + decay_epochs;
    let config = ScheduleConfig {
        batch_size: 1,
        epochs,
        decay_epochs,
        learning_rate: case.number("lr")?,
        flips: false,
        seed: 0,
    };
    // One sample: a step is an epoch. The reference counts epochs from `epoch_count`.
    let schedule = Schedule::new(1, config);
    let first = whole(case, "epoch_count")?.checked_sub(1).context("epochs count from 1")?;
    let rates: Vec<f64> = (first..epochs).map(|epoch| schedule.learning_rate(epoch)).collect();
    Ok(Tensor::from_slice(&rates))
}

fn whole(case: &Case, name: &str) -> anyhow::Result<u64> {
    u64::try_from(case.integer(name)?).with_context(|| format!("{name} is negative"))
}

/// The rates at the steps in the case's only input.
fn at_steps(case: &mut Case, rate: impl Fn(u64) -> f64) -> anyhow::Result<Tensor> {
    let [steps] = case.names(&[Role::Input])[..] else { bail!("one input is expected") };
    let steps = integers(&case.input(steps)?)?;
    let rates: Vec<f64> = steps.iter().map(|&step| rate(step.unsigned_abs())).collect();
    Ok(Tensor::from_slice(&rates))
}
