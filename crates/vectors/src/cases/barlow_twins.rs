//! 01_barlow_twins: the sister repository's Barlow Twins.

use anyhow::bail;
use counterstain_training::engine::loss::{BarlowTwinsConfig, barlow_twins};
use tch::Kind;

use super::gradients::{Branches, gradients};
use crate::Case;

pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let config = BarlowTwinsConfig { redundancy: case.number("lambd")?, ..BarlowTwinsConfig::default() };
    let branches = Branches::read_as(case, Kind::Double)?;
    let terms = barlow_twins(&branches.embeddings, &config)?;
    for name in case.expected() {
        let quantity = branches.quantity(case, name)?;
        let value = match quantity {
            "loss" => terms.total.shallow_clone(),
            "on_diag" => terms.on_diagonal.shallow_clone(),
            "off_diag" => terms.off_diagonal.shallow_clone(),
            _ => match quantity.strip_prefix("grad_") {
                Some(branch) => gradients(&terms.total, &branches, branch)?,
                None => bail!("unknown quantity {quantity}"),
            },
        };
        case.compare(name, &value)?;
    }
    Ok(())
}
