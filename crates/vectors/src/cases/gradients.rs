//! The embeddings of a loss case as leaves of a graph, and gradients for them.

use anyhow::{Context as _, bail, ensure};
use tch::{Kind, Tensor};

use crate::Case;
use crate::description::Role;

/// The input embeddings of a case, in the file's order.
pub struct Branches {
    /// Input names without the part that all of them share (`z0`, `a`, …).
    short_names: Vec<String>,
    /// The embeddings, each wanting a gradient.
    pub embeddings: Vec<Tensor>,
}

impl Branches {
    /// The inputs in the type that the case's parameter `dtype` states.
    pub fn read(case: &mut Case) -> anyhow::Result<Self> {
        let kind = kind_of(case.text("dtype")?)?;
        Self::read_as(case, kind)
    }

    /// The inputs in the type `kind`.
    pub fn read_as(case: &mut Case, kind: Kind) -> anyhow::Result<Self> {
        let names = case.names(&[Role::Input]);
        ensure!(names.len() >= 2, "case {} has {} inputs", case.name(), names.len());
        let mut branches = Self { short_names: Vec::new(), embeddings: Vec::new() };
        for name in names {
            let short = name.rsplit_once('_').map_or(name, |(_, short)| short);
            branches.short_names.push(short.to_owned());
            branches.embeddings.push(case.input(name)?.to_kind(kind).set_requires_grad(true));
        }
        Ok(branches)
    }

    /// What the tensor `name` of the case is: its name without the case's.
    pub fn quantity<'n>(&self, case: &Case, name: &'n str) -> anyhow::Result<&'n str> {
        name.strip_prefix(case.name())
            .and_then(|rest| rest.strip_prefix('_'))
            .with_context(|| format!("{name} does not belong to case {}", case.name()))
    }
}

/// The type that a parameter names `f32` or `f64`.
pub fn kind_of(name: &str) -> anyhow::Result<Kind> {
    match name {
        "f32" => Ok(Kind::Float),
        "f64" => Ok(Kind::Double),
        _ => bail!("unknown dtype {name}"),
    }
}

/// The gradient of `objective` for the branch with the short name `branch`.
pub fn gradients(objective: &Tensor, branches: &Branches, branch: &str) -> anyhow::Result<Tensor> {
    let at = branches.short_names.iter().position(|name| name == branch);
    let input = &branches.embeddings[at.with_context(|| format!("no branch {branch}"))?];
    let mut gradients = Tensor::f_run_backward(&[objective], &[input], true, false)?;
    gradients.pop().context("libtorch gave no gradient")
}
