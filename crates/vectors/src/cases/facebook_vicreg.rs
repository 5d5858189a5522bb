//! 01_facebook_vicreg: facebookresearch's VICReg of two branches.

use anyhow::bail;
use counterstain_training::engine::loss::{VicregConfig, vicreg};
use tch::Kind;

use super::gradients::{Branches, gradients};
use crate::Case;

pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let config = VicregConfig {
        invariance: case.number("sim_coeff")?,
        variance: case.number("std_coeff")?,
        covariance: case.number("cov_coeff")?,
        ..VicregConfig::facebook()
    };
    let branches = Branches::read_as(case, Kind::Double)?;
    let terms = vicreg(&branches.embeddings, &config)?;
    for name in case.expected() {
        let quantity = branches.quantity(case, name)?;
        let value = match quantity.split_once('_') {
            None if quantity == "loss" => terms.total.shallow_clone(),
            Some(("grad", branch)) => gradients(&terms.total, &branches, branch)?,
            _ => bail!("unknown quantity {quantity}"),
        };
        case.compare(name, &value)?;
    }
    Ok(())
}
