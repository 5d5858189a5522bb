//! What the modules of the network files share: building a network with the
//! closed formula's weights in f64, and the statistics that the files store.

use anyhow::Context as _;
use tch::nn::{Path, VarStore};
use tch::{Device, Kind, Tensor};

use crate::Case;

/// A network in f64 with the closed formula's weights, and its variables.
pub fn with_formula_weights<Network>(
    case: &Case,
    build: impl FnOnce(&Path) -> anyhow::Result<Network>,
) -> anyhow::Result<(VarStore, Network)> {
    let mut store = VarStore::new(Device::Cpu);
    let network = build(&store.root())?;
    store.double();
    case.fill_weights(&store, None)?;
    Ok((store, network))
}

/// The case's generated input number `position`, in f64.
pub fn generated(case: &mut Case, position: usize) -> anyhow::Result<Tensor> {
    let names = case.generated_names();
    let name = names.get(position).with_context(|| format!("the case generates {} inputs", names.len()))?;
    Ok(case.generated(name)?.to_kind(Kind::Double))
}

/// Mean, population standard deviation and largest magnitude of all elements.
pub fn mean_std_absmax(values: &Tensor) -> Tensor {
    let values = values.detach();
    Tensor::stack(&[values.mean(None), values.std(false), values.abs().max()], 0)
}

/// The L2 norm of all elements.
pub fn l2(values: &Tensor) -> Tensor {
    values.detach().square().sum(None).sqrt()
}

/// Whether a case runs in training mode.
pub fn is_training(case: &Case) -> anyhow::Result<bool> {
    match case.text("mode")? {
        "train" => Ok(true),
        "eval" => Ok(false),
        other => anyhow::bail!("unknown mode {other}"),
    }
}

/// The part of a tensor that numpy's basic slicing with steps gives, for instance
/// `[:, :, ::2, ::2]`; `full` is the tensor itself.
pub fn slice(values: &Tensor, description: &str) -> anyhow::Result<Tensor> {
    if description == "full" {
        return Ok(values.shallow_clone());
    }
    let unknown = || format!("unknown slice {description}");
    let inner = description.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let mut result = values.shallow_clone();
    let parts: Vec<&str> = inner.with_context(unknown)?.split(',').map(str::trim).collect();
    let mut axis = 0;
    for part in &parts {
        if *part == "..." {
            axis = values.dim() as i64 - (parts.len() as i64 - 1);
            continue;
        }
        let bounds: Vec<&str> = part.split(':').collect();
        let bound = |position: usize| -> anyhow::Result<Option<i64>> {
            match bounds.get(position) {
                None | Some(&"") => Ok(None),
                Some(text) => Ok(Some(text.parse().with_context(unknown)?)),
            }
        };
        anyhow::ensure!((2..=3).contains(&bounds.len()), "{}", unknown());
        result = result.f_slice(axis, bound(0)?, bound(1)?, bound(2)?.unwrap_or(1))?;
        axis += 1;
    }
    Ok(result)
}
