//! 01_trident_infonce: the authors' InfoNCE, every direction of every pair, and all
//! gradients.

use anyhow::{Context as _, bail};
use counterstain_training::engine::loss::{InfonceConfig, InfonceTerms, Reduction, infonce};
use tch::Tensor;

use super::gradients::{Branches, gradients};
use crate::Case;

pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let config = InfonceConfig { temperature: case.number("temperature")?, reduction: Reduction::Mean };
    let summed = InfonceConfig { reduction: Reduction::Sum, ..config };
    let branches = Branches::read(case)?;
    let terms = infonce(&branches.embeddings, &config)?;
    for name in case.expected() {
        let quantity = branches.quantity(case, name)?;
        let value = match quantity.split('_').collect::<Vec<_>>()[..] {
            ["loss", "vec"] => terms.per_sample.shallow_clone(),
            ["loss", "mean"] => terms.total.shallow_clone(),
            [from, to, "loss", "vec"] => direction(&terms, from.parse()?, to.parse()?)?,
            ["grad", "sum", branch] => {
                gradients(&infonce(&branches.embeddings, &summed)?.total, &branches, branch)?
            }
            ["grad", "mean", branch] => gradients(&terms.total, &branches, branch)?,
            _ => bail!("unknown quantity {quantity}"),
        };
        case.compare(name, &value)?;
    }
    Ok(())
}

fn direction(terms: &InfonceTerms, from: usize, to: usize) -> anyhow::Result<Tensor> {
    let wanted = (from.min(to), from.max(to));
    let pair = terms.pairs.iter().find(|pair| pair.branches == wanted).context("no such pair of branches")?;
    Ok(if from < to { pair.forward.shallow_clone() } else { pair.backward.shallow_clone() })
}
