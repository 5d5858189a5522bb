//! 01_trident_vicreg: the authors' VICReg, its terms and all gradients.

use anyhow::{Context as _, bail};
use counterstain_training::engine::loss::{Reduction, VicregConfig, VicregNormalisation, vicreg};

use super::gradients::{Branches, gradients};
use crate::Case;

pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let config = VicregConfig {
        invariance: case.number("lambd")?,
        variance: case.number("mu")?,
        covariance: case.number("nu")?,
        target_deviation: case.number("gamma")?,
        epsilon: case.number("epsilon")?,
        normalisation: VicregNormalisation::Trident,
        reduction: Reduction::Mean,
    };
    let summed = VicregConfig { reduction: Reduction::Sum, ..config };
    let branches = Branches::read(case)?;
    let terms = vicreg(&branches.embeddings, &config)?;
    for name in case.expected() {
        let quantity = branches.quantity(case, name)?;
        let of = |objective: &tch::Tensor, branch: &str| gradients(objective, &branches, branch);
        let value = match quantity {
            "loss_vec" => terms.per_sample.shallow_clone(),
            "loss_mean" => terms.total.shallow_clone(),
            "inv_vec" => terms.invariance_per_sample.shallow_clone(),
            "var" => terms.variance.shallow_clone(),
            "cov" => terms.covariance.shallow_clone(),
            _ => {
                let (objective, branch) = quantity
                    .strip_prefix("grad_")
                    .and_then(|rest| rest.split_once('_'))
                    .with_context(|| format!("unknown quantity {quantity}"))?;
                match objective {
                    "sum" => of(&vicreg(&branches.embeddings, &summed)?.total, branch)?,
                    "mean" => of(&terms.total, branch)?,
                    "inv" => of(&terms.invariance, branch)?,
                    "var" => of(&terms.variance, branch)?,
                    "cov" => of(&terms.covariance, branch)?,
                    _ => bail!("unknown objective {objective}"),
                }
            }
        };
        case.compare(name, &value)?;
    }
    Ok(())
}
