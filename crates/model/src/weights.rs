//! The weights of a network as named tensors, and back.
//!
//! Loading is strict and all or nothing: a missing, surplus or misshaped tensor is
//! reported by name, every one of them, and then nothing has been changed.

use crate::checkpoint::{Checkpoint, Limits};
use crate::error::Error;
use counterstain_torch::NamedTensors;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

/// torch counts the batches that a batch norm has seen. The count decides nothing
/// while the momentum is a constant, so that this project neither keeps nor wants it.
const BATCH_COUNTER: &str = "num_batches_tracked";

/// Why weights do not fit a network; the names are those of the weights' file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mismatch {
    /// Names the network has and the weights lack.
    pub missing: Vec<String>,
    /// Names the weights have and the network lacks.
    pub surplus: Vec<String>,
    /// Tensors of another shape than the network's.
    pub misshaped: Vec<Misshaped>,
}

/// A tensor of the wrong shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misshaped {
    pub name: String,
    pub expected: Vec<i64>,
    pub found: Vec<i64>,
}

impl Mismatch {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty() && self.misshaped.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("missing {}", self.missing.join(", ")));
        }
        if !self.surplus.is_empty() {
            parts.push(format!("surplus {}", self.surplus.join(", ")));
        }
        for Misshaped { name, expected, found } in &self.misshaped {
            parts.push(format!("{name} has shape {found:?} instead of {expected:?}"));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Every variable of `store`, trainable or not, sorted by name. The tensors share
/// the network's memory: write them out, or copy them, before the next step.
pub fn export(store: &VarStore) -> NamedTensors {
    export_under(store, "")
}

/// The variables whose name starts with `prefix` and a dot, without that prefix.
pub fn export_under(store: &VarStore, prefix: &str) -> NamedTensors {
    let mut tensors: NamedTensors = store
        .variables()
        .into_iter()
        .filter_map(|(name, tensor)| {
            let name = strip(&name, prefix)?.to_owned();
            Some((name, tensor.detach()))
        })
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// Adds the batch counters that torch's `state_dict` has beside each running
/// variance, so that the set of names is exactly torch's. Sorted by name.
pub fn with_batch_counters(mut tensors: NamedTensors) -> NamedTensors {
    let counters: Vec<String> = tensors
        .iter()
        .filter_map(|(name, _)| name.strip_suffix("running_var"))
        .map(|owner| format!("{owner}{BATCH_COUNTER}"))
        .collect();
    for name in counters {
        tensors.push((name, Tensor::zeros([0_i64; 0], (Kind::Int64, Device::Cpu))));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// Copies `tensors` into every variable of `store`, converting dtype and device.
/// Batch counters are passed over.
///
/// # Errors
/// When a name is missing, surplus or of another shape; nothing is changed then.
pub fn load(store: &VarStore, tensors: &NamedTensors) -> Result<(), Error> {
    load_under(store, "", tensors)
}

/// As [`load`], for the variables whose name starts with `prefix` and a dot; the
/// tensors' names are without it.
///
/// # Errors
/// As [`load`], and when a name is given twice.
pub fn load_under(store: &VarStore, prefix: &str, tensors: &NamedTensors) -> Result<(), Error> {
    let mut given = BTreeMap::new();
    for (name, tensor) in tensors {
        if is_batch_counter(name) {
            continue;
        }
        if given.insert(name.as_str(), tensor).is_some() {
            return Err(counterstain_torch::Error::DuplicateTensor(name.clone()).into());
        }
    }
    let wanted = export_under(store, prefix);
    let mismatch = compare(&wanted, &given);
    if !mismatch.is_empty() {
        return Err(mismatch.into());
    }
    for (name, variable) in wanted {
        if let Some(tensor) = given.get(name.as_str()) {
            no_grad(|| variable.shallow_clone().f_copy_(tensor))?;
        }
    }
    Ok(())
}

/// Names without the `module.` that `DataParallel` puts before them, if all have it.
pub fn without_module_prefix(tensors: NamedTensors) -> NamedTensors {
    const PREFIX: &str = "module.";
    if !tensors.iter().all(|(name, _)| name.starts_with(PREFIX)) {
        return tensors;
    }
    tensors.into_iter().map(|(name, tensor)| (name[PREFIX.len()..].to_owned(), tensor)).collect()
}

/// Leaves out the running statistics of norms without a weight. Instance norms of
/// torch before 0.4 saved them, and nothing uses them (the authors of cycleGAN drop
/// them, too).
pub fn without_stray_norm_buffers(tensors: NamedTensors) -> NamedTensors {
    let names: BTreeSet<String> = tensors.iter().map(|(name, _)| name.clone()).collect();
    let is_stray = |name: &str| {
        let Some((owner, field)) = name.rsplit_once('.') else { return false };
        let is_buffer = ["running_mean", "running_var", BATCH_COUNTER].contains(&field);
        is_buffer && !names.contains(&format!("{owner}.weight"))
    };
    tensors.into_iter().filter(|(name, _)| !is_stray(name)).collect()
}

/// Reads a file of weights, told apart by its first bytes: a torch checkpoint (zip
/// or legacy) or safetensors. Prefixes and stray buffers of published checkpoints
/// are taken away.
///
/// # Errors
/// When the file is none of these, or holds no weights.
pub fn read(file: &[u8]) -> Result<NamedTensors, Error> {
    // Safetensors begin with the length of their header, which may be the bytes that others begin with.
    let is_safetensors = file.get(8) == Some(&b'{');
    let tensors = if !is_safetensors && (file.starts_with(b"PK") || file.starts_with(&[0x80, 2])) {
        Checkpoint::open(file, &Limits::default())?.find_state_dict()?
    } else {
        counterstain_torch::from_safetensors(file)?
    };
    Ok(without_stray_norm_buffers(without_module_prefix(tensors)))
}

fn compare(wanted: &NamedTensors, given: &BTreeMap<&str, &Tensor>) -> Mismatch {
    let mut mismatch = Mismatch::default();
    for (name, variable) in wanted {
        match given.get(name.as_str()) {
            None => mismatch.missing.push(name.clone()),
            Some(tensor) if tensor.size() != variable.size() => {
                mismatch.misshaped.push(Misshaped {
                    name: name.clone(),
                    expected: variable.size(),
                    found: tensor.size(),
                });
            }
            Some(_) => {}
        }
    }
    let names: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    mismatch.surplus =
        given.keys().filter(|name| !names.contains(*name)).map(|name| (*name).to_owned()).collect();
    mismatch
}

/// Whether a name is that of a batch counter.
pub fn is_batch_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some(BATCH_COUNTER)
}

fn strip<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        return Some(name);
    }
    name.strip_prefix(prefix)?.strip_prefix('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{Scheme, initialise};
    use crate::{Norm, PatchGan};
    use counterstain_torch::{from_safetensors, to_safetensors};

    fn judge(seed: u64) -> (VarStore, PatchGan) {
        let store = VarStore::new(Device::Cpu);
        let path = store.root() / "judge";
        let network = PatchGan::new(&path, 3, 4, 2, Norm::Batch).expect("in range");
        initialise(&store, seed, Scheme::Gan);
        (store, network)
    }

    fn named(name: &str) -> (String, Tensor) {
        (name.to_owned(), Tensor::ones([2], (Kind::Float, Device::Cpu)))
    }

    fn names(tensors: &NamedTensors) -> Vec<&str> {
        tensors.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn weights_go_through_a_file_into_another_network() {
        let (from, first) = judge(1);
        let (into, second) = judge(2);
        let bytes = to_safetensors(&with_batch_counters(export_under(&from, "judge")));
        let read = from_safetensors(&bytes.expect("storable")).expect("readable");
        assert!(names(&read).contains(&"model.3.num_batches_tracked"));
        load_under(&into, "judge", &read).expect("they fit");
        let images = Tensor::ones([1, 3, 32, 32], (Kind::Float, Device::Cpu));
        assert_eq!(first.forward_t(&images, false), second.forward_t(&images, false));
    }

    #[test]
    fn safetensors_whose_header_is_as_long_as_others_begin_are_read() {
        for beginning in [*b"\x80\x02", *b"PK"] {
            let length = usize::from(u16::from_le_bytes(beginning));
            let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
            let mut file = (length as u64).to_le_bytes().to_vec();
            file.extend(format!("{header:length$}").bytes().chain([0; 4]));
            assert_eq!(names(&read(&file).expect("readable")), ["a"]);
        }
    }

    #[test]
    fn every_fault_is_named_and_nothing_is_changed() {
        let (from, _) = judge(1);
        let (into, _) = judge(2);
        let before = to_safetensors(&export(&into)).expect("storable");
        let mut tensors = export_under(&from, "judge");
        tensors.retain(|(name, _)| name != "model.3.running_mean");
        tensors.push(named("fc.weight"));
        for (name, tensor) in &mut tensors {
            if name == "model.0.weight" {
                *tensor = tensor.narrow(1, 0, 1);
            }
        }
        let error = load_under(&into, "judge", &tensors).expect_err("three faults").to_string();
        assert!(error.contains("missing model.3.running_mean"), "{error}");
        assert!(error.contains("surplus fc.weight"), "{error}");
        assert!(error.contains("model.0.weight has shape [4, 1, 4, 4] instead of [4, 3, 4, 4]"), "{error}");
        assert_eq!(to_safetensors(&export(&into)).expect("storable"), before);
    }

    #[test]
    fn a_tensor_given_twice_is_refused() {
        let (store, _) = judge(1);
        let mut tensors = export(&store);
        let copy = tensors[0].1.copy();
        tensors.push((tensors[0].0.clone(), copy));
        assert!(load(&store, &tensors).expect_err("twice").to_string().contains("given twice"));
    }

    #[test]
    fn the_module_prefix_goes_only_when_all_names_have_it() {
        let all = without_module_prefix(vec![named("module.a"), named("module.b.c")]);
        assert_eq!(names(&all), ["a", "b.c"]);
        let some = without_module_prefix(vec![named("module.a"), named("b")]);
        assert_eq!(names(&some), ["module.a", "b"]);
    }

    #[test]
    fn buffers_of_a_norm_without_weight_are_stray() {
        let tensors = ["a.running_mean", "a.num_batches_tracked", "b.weight", "b.running_var"];
        let kept = without_stray_norm_buffers(tensors.map(named).into());
        assert_eq!(names(&kept), ["b.weight", "b.running_var"]);
    }
}
