//! One case as the code under test sees it: what it may read, and where it hands
//! its results in.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tch::{Kind, Tensor};

use crate::check::{Check, ComputedIn, choose};
use crate::closed_formula;
use crate::description::{CaseDescription, Role, TensorEntry};
use crate::folder::{Folder, VectorFile};
use crate::report::{Line, Status};

/// A case of a vector file while its module runs.
pub struct Case<'a> {
    folder: &'a Folder,
    file: &'a VectorFile,
    case: &'a CaseDescription,
    read: BTreeSet<String>,
    compared: BTreeSet<String>,
    own_results: BTreeSet<String>,
    lines: Vec<Line>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(folder: &'a Folder, file: &'a VectorFile, case: &'a CaseDescription) -> Self {
        Self {
            folder,
            file,
            case,
            read: BTreeSet::new(),
            compared: BTreeSet::new(),
            own_results: BTreeSet::new(),
            lines: Vec::new(),
        }
    }

    /// The case's name, unique in its file.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.case.name
    }

    /// Everything the case tells the implementation.
    #[must_use]
    pub fn params(&self) -> &'a Map<String, Value> {
        &self.case.params
    }

    /// What several cases of the file share.
    #[must_use]
    pub fn file_params(&self) -> &'a Map<String, Value> {
        &self.file.description.params
    }

    /// The case's parameters as a type of the module (unknown keys are ignored
    /// unless the type refuses them).
    pub fn params_as<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_value(Value::Object(self.case.params.clone()))
            .with_context(|| format!("the parameters of case {} are not as expected", self.case.name))
    }

    /// A parameter of the case by a dotted path, or else of the file.
    pub fn param(&self, path: &str) -> anyhow::Result<&'a Value> {
        let pointer = format!("/{}", path.replace('.', "/"));
        let find = |map: &'a Map<String, Value>| {
            let (first, rest) = path.split_once('.').unwrap_or((path, ""));
            let start = map.get(first)?;
            if rest.is_empty() { Some(start) } else { start.pointer(&format!("/{}", rest.replace('.', "/"))) }
        };
        find(self.params())
            .or_else(|| find(self.file_params()))
            .with_context(|| format!("case {} has no parameter {}", self.case.name, &pointer[1..]))
    }

    /// A number among the parameters.
    pub fn number(&self, path: &str) -> anyhow::Result<f64> {
        self.param(path)?.as_f64().with_context(|| format!("parameter {path} is not a number"))
    }

    /// A whole number among the parameters.
    pub fn integer(&self, path: &str) -> anyhow::Result<i64> {
        self.param(path)?.as_i64().with_context(|| format!("parameter {path} is not a whole number"))
    }

    /// A text among the parameters.
    pub fn text(&self, path: &str) -> anyhow::Result<&'a str> {
        self.param(path)?.as_str().with_context(|| format!("parameter {path} is not a text"))
    }

    /// The names of the case's tensors with one of `roles`, in the file's order.
    pub fn names(&self, roles: &[Role]) -> Vec<&'a str> {
        let names = self.case.tensors.iter().map(String::as_str);
        names.filter(|name| self.entry(name).is_ok_and(|entry| roles.contains(&entry.role))).collect()
    }

    /// The names that the module has to compute and compare, in the file's
    /// order; the given ones are left out.
    pub fn expected(&self) -> Vec<&'a str> {
        let mut names = self.names(&[Role::Intermediate, Role::Output]);
        names.retain(|name| !self.is_given(name));
        names
    }

    /// Whether the case names the tensor `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.case.tensors.iter().any(|tensor| tensor == name)
    }

    /// What the file states about a tensor of the case.
    pub fn entry(&self, name: &str) -> anyhow::Result<&'a TensorEntry> {
        ensure!(self.has(name), "case {} has no tensor {name}", self.case.name);
        self.file.description.tensors.get(name).with_context(|| format!("{name} is not described"))
    }

    /// The input or initial weight `name`, copied; it counts as read.
    pub fn input(&mut self, name: &str) -> anyhow::Result<Tensor> {
        let entry = self.entry(name)?;
        ensure!(!entry.role.is_computed(), "{name} is a result of the reference, not an input");
        self.take(name)
    }

    /// The output or intermediate `name` that the case states as given.
    pub fn given(&mut self, name: &str) -> anyhow::Result<Tensor> {
        ensure!(self.is_given(name), "case {} does not give {name}", self.case.name);
        self.take(name)
    }

    fn take(&mut self, name: &str) -> anyhow::Result<Tensor> {
        self.read.insert(name.to_owned());
        self.file.tensors.get(name).map(Tensor::copy).with_context(|| format!("{name} is not stored"))
    }

    fn is_given(&self, name: &str) -> bool {
        self.case.given.iter().any(|given| given == name)
    }

    /// The names of the inputs that the closed formula gives.
    pub fn generated_names(&self) -> Vec<&'a str> {
        self.case.generated_inputs.iter().map(|input| input.name.as_str()).collect()
    }

    /// The generated input `name` (its formula name, or the tensor in which it is
    /// also stored). Where the file stores it too, both must be the same numbers.
    pub fn generated(&mut self, name: &str) -> anyhow::Result<Tensor> {
        let input = self
            .case
            .generated_inputs
            .iter()
            .find(|input| input.name == name || input.tensor.as_deref() == Some(name))
            .with_context(|| format!("case {} generates no input {name}", self.case.name))?;
        let made = closed_formula::input(
            self.set_constant()?,
            &input.name,
            &input.shape,
            input.lo,
            input.hi,
            input.floor,
        );
        if let Some(stored) = &input.tensor {
            let reference = self.take(stored)?;
            ensure!(
                reference.size() == made.size() && reference.to_kind(Kind::Float).equal(&made),
                "the closed formula for {} does not give the stored {stored}",
                input.name
            );
        }
        Ok(made)
    }

    /// The initial weight `key` of the case's network, by the closed formula.
    pub fn weight(&self, key: &str, shape: &[i64]) -> anyhow::Result<Tensor> {
        self.formula_weight(None, key, shape)
    }

    /// The same for one of several networks of the case.
    pub fn weight_of(&self, net: &str, key: &str, shape: &[i64]) -> anyhow::Result<Tensor> {
        self.formula_weight(Some(net), key, shape)
    }

    fn formula_weight(&self, net: Option<&str>, key: &str, shape: &[i64]) -> anyhow::Result<Tensor> {
        let weights = self
            .case
            .weights
            .as_ref()
            .with_context(|| format!("case {} states no formula for weights", self.case.name))?;
        ensure!(weights.formula == "gold_tensor", "unknown formula {:?}", weights.formula);
        if let Some(value) = weights.constants.get(key) {
            return Ok(Tensor::full(shape, *value, (Kind::Float, tch::Device::Cpu)));
        }
        let name = match net {
            Some(net) => {
                ensure!(
                    weights.nets.iter().any(|known| known == net),
                    "case {} has no net {net}",
                    self.case.name
                );
                format!("{}{net}.{key}", weights.name_prefix)
            }
            None => format!("{}{key}", weights.name_prefix),
        };
        Ok(closed_formula::weight(self.set_constant()?, weights.layout, &name, shape))
    }

    /// Fills every variable and buffer of a variable store by the closed formula;
    /// `net` names the network where the case has several.
    pub fn fill_weights(&self, store: &tch::nn::VarStore, net: Option<&str>) -> anyhow::Result<()> {
        for (key, mut variable) in store.variables() {
            let value = self.formula_weight(net, &key, &variable.size())?;
            tch::no_grad(|| variable.copy_(&value));
        }
        Ok(())
    }

    fn set_constant(&self) -> anyhow::Result<u64> {
        self.file
            .description
            .set_constant
            .with_context(|| format!("{} states no set_constant", self.file.name))
    }

    /// Another file of the folder (a checkpoint, a list), verified; its path.
    pub fn other_file(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.folder.path(name)
    }

    /// Another file of the folder, verified; its bytes.
    pub fn other_file_bytes(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        self.folder.read(name)
    }

    /// Hands in a computed tensor. The type of `computed` says in what it was
    /// computed; a scalar (shape []) is taken as [1], as the files store it.
    pub fn compare(&mut self, name: &str, computed: &Tensor) -> anyhow::Result<()> {
        self.compare_computed_in(name, computed, ComputedIn::from_kind(computed.kind()))
    }

    /// Hands in a computed number, in f64.
    pub fn compare_number(&mut self, name: &str, computed: f64) -> anyhow::Result<()> {
        self.compare(name, &Tensor::from_slice(&[computed]))
    }

    /// Hands in a computed tensor whose own type does not say in what it was
    /// computed (labels from f32 maps, f32 results widened to f64).
    pub fn compare_computed_in(
        &mut self,
        name: &str,
        computed: &Tensor,
        computed_in: ComputedIn,
    ) -> anyhow::Result<()> {
        let entry = self.entry(name)?;
        ensure!(entry.role.is_computed(), "{name} is an input, not a result");
        ensure!(!self.is_given(name), "{name} is given in case {}, so it proves nothing", self.case.name);
        ensure!(
            self.compared.insert(name.to_owned()),
            "{name} was already compared in case {}",
            self.case.name
        );
        let check = choose(entry, computed_in).with_context(|| format!("{name} states no check"))?;
        if matches!(check, Check::Informative { .. }) {
            // Listed with the other informative ones when the case ends.
            self.compared.remove(name);
            return Ok(());
        }
        let reference = self.file.tensors.get(name).with_context(|| format!("{name} is not stored"))?;
        let computed = if computed.dim() == 0 { computed.view(1) } else { computed.shallow_clone() };
        let verdict = check.compare(&computed, reference);
        self.push(Line::verdict(name, verdict));
        Ok(())
    }

    /// Hands in the implementation's own value of something random, named by the
    /// check's quantity or by the tensor it is measured against.
    pub fn own_result(&mut self, quantity: &str, value: f64) -> anyhow::Result<()> {
        let own = self
            .case
            .own_result_checks
            .iter()
            .find(|check| check.quantity == quantity || check.reference == quantity)
            .with_context(|| format!("case {} checks no own result {quantity:?}", self.case.name))?;
        self.own_results.insert(own.quantity.clone());
        let reference = self
            .file
            .tensors
            .get(&own.reference)
            .with_context(|| format!("{} is not stored", own.reference))?;
        let verdict = own.check.compare(&Tensor::from_slice(&[value]), reference);
        self.push(Line::verdict(&format!("own result: {}", own.quantity), verdict));
        Ok(())
    }

    fn push(&mut self, line: Line) {
        self.lines.push(line.of(&self.file.name, &self.case.name));
    }

    /// The lines of the case once its module has ended: what it compared, what
    /// is informative, and a failure for all that it left out.
    pub(crate) fn finish(mut self, ended: anyhow::Result<()>) -> Vec<Line> {
        if let Err(error) = ended {
            self.push(Line::failure("case", format!("{error:#}")));
        }
        for name in self.case.tensors.iter().map(String::as_str) {
            let Some(entry) = self.file.description.tensors.get(name) else { continue };
            let informative = matches!(entry.check, Some(Check::Informative { .. }));
            if !entry.role.is_computed() {
                if entry.consumed && !self.read.contains(name) {
                    self.push(Line::failure(name, "input was not read".to_owned()));
                }
            } else if self.is_given(name) {
                if !self.read.contains(name) {
                    self.push(Line::failure(name, "given value was not read".to_owned()));
                }
            } else if informative {
                self.push(Line::informative(name));
            } else if !self.compared.contains(name) {
                self.push(Line {
                    status: Status::NotCompared,
                    ..Line::failure(name, "not computed".to_owned())
                });
            }
        }
        let missing: Vec<&str> = self
            .case
            .own_result_checks
            .iter()
            .map(|check| check.quantity.as_str())
            .filter(|quantity| !self.own_results.contains(*quantity))
            .collect();
        for quantity in missing {
            let line = Line::failure(&format!("own result: {quantity}"), "not computed".to_owned());
            self.push(Line { status: Status::NotCompared, ..line });
        }
        self.lines
    }
}
