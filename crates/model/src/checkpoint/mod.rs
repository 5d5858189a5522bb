//! Checkpoints that `torch.save` wrote (`.pth`, `.pt`, and HoVer-Net's `.tar`),
//! read without executing their pickle.
//!
//! Two formats are known: the zip archive (torch 1.6 and later) and the legacy
//! stream before it. Names outside a closed list are refused; sizes
//! are checked against the file before anything is allocated.

mod archive;
mod cursor;
mod error;
mod pickle;
mod tensor;
mod value;

pub use error::CheckpointError;

use archive::Archive;
use counterstain_torch::NamedTensors;
use cursor::Cursor;
use error::malformed;
use pickle::Pickle;
use std::collections::{HashMap, HashSet};
use value::{Arena, Object, Value};

/// How large the parts of a checkpoint may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a pickle: a few hundred per tensor.
    pub pickle: usize,
    /// Bytes of all tensors together, as a multiple of the file's length: tensors
    /// that share their storage take more memory than the file has.
    pub expansion: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pickle: 4 << 20, expansion: 4 }
    }
}

/// A checkpoint, whose tensors are read when they are asked for.
pub struct Checkpoint<'a> {
    arena: Arena,
    root: Value,
    storages: HashMap<String, &'a [u8]>,
    tensor_bytes: u64,
}

impl<'a> Checkpoint<'a> {
    /// Opens the bytes of a file.
    ///
    /// # Errors
    /// When the file is in neither format, is cut short, names a Python object
    /// outside the closed list, or contradicts itself.
    pub fn open(file: &'a [u8], limits: &Limits) -> Result<Self, CheckpointError> {
        let (pickle, storages) = if file.starts_with(b"PK\x03\x04") {
            open_archive(file, limits)?
        } else if file.starts_with(&[0x80]) {
            open_legacy(file, limits)?
        } else if file.get(257..262) == Some(b"ustar") {
            let reason = "tar archives of torch before 0.1.10 are not supported";
            return Err(CheckpointError::UnknownFormat(reason));
        } else {
            let reason = "it is neither a zip archive nor a pickle";
            return Err(CheckpointError::UnknownFormat(reason));
        };
        let tensor_bytes = (file.len() as u64).saturating_mul(limits.expansion);
        Ok(Self { arena: pickle.arena, root: pickle.root, storages, tensor_bytes })
    }

    /// The weights at `path`, the keys to follow from the top (`["desc"]` in
    /// HoVer-Net's checkpoints, none in a plain state dict), in the file's order.
    /// Entries that are no tensors are left out.
    ///
    /// # Errors
    /// When there is no dictionary with tensors at `path`, or a tensor contradicts
    /// its storage.
    pub fn state_dict(&self, path: &[&str]) -> Result<NamedTensors, CheckpointError> {
        let mut place = &self.root;
        for key in path {
            place = self.arena.lookup(place, key).ok_or_else(|| self.no_weights(path))?;
        }
        if !self.has_tensors(place) {
            return Err(self.no_weights(path));
        }
        self.tensors_in(place)
    }

    /// The weights where they usually are: at the top, or in the only dictionary with
    /// tensors one level below (`desc`, `state_dict`, `model`, …).
    ///
    /// # Errors
    /// When there are none, or in several places; the message lists the keys.
    pub fn find_state_dict(&self) -> Result<NamedTensors, CheckpointError> {
        if self.has_tensors(&self.root) {
            return self.tensors_in(&self.root);
        }
        let below = self.arena.pairs(&self.root).unwrap_or_default().iter();
        let mut found = below.filter(|(_, value)| self.has_tensors(value));
        match (found.next(), found.next()) {
            (Some((_, only)), None) => self.tensors_in(only),
            _ => Err(self.no_weights(&[])),
        }
    }

    fn has_tensors(&self, place: &Value) -> bool {
        let pairs = self.arena.pairs(place).unwrap_or_default();
        pairs.iter().any(|(_, value)| matches!(self.arena.get(value), Some(Object::Tensor(_))))
    }

    fn tensors_in(&self, place: &Value) -> Result<NamedTensors, CheckpointError> {
        let mut budget = self.tensor_bytes;
        let mut tensors = NamedTensors::new();
        let mut names = HashSet::new();
        for (key, value) in self.arena.pairs(place).unwrap_or_default() {
            let Some(Object::Tensor(view)) = self.arena.get(value) else { continue };
            let name = key.text().ok_or_else(|| malformed("a tensor in it has no name"))?;
            // A pickle repeats a long name in a few bytes.
            if !names.insert(name) {
                return Err(malformed(format!("it has `{name}` twice")));
            }
            let data = self.storages.get(view.storage.key.as_ref());
            let data = data.ok_or_else(|| malformed(format!("`{name}` has no data")))?;
            tensors.push((name.to_owned(), tensor::read(name, view, data, &mut budget)?));
        }
        Ok(tensors)
    }

    fn no_weights(&self, path: &[&str]) -> CheckpointError {
        const SHOWN: usize = 8;
        let pairs = self.arena.pairs(&self.root).unwrap_or_default();
        let mut keys: Vec<&str> = pairs.iter().filter_map(|(key, _)| key.text()).take(SHOWN).collect();
        if pairs.len() > SHOWN {
            keys.push("…");
        }
        let found = if keys.is_empty() { "no key".to_owned() } else { format!("`{}`", keys.join("`, `")) };
        CheckpointError::NoWeights { path: path.join("/"), found }
    }
}

type Opened<'a> = (Pickle, HashMap<String, &'a [u8]>);

fn open_archive<'a>(file: &'a [u8], limits: &Limits) -> Result<Opened<'a>, CheckpointError> {
    let archive = Archive::open(file)?;
    let mut pickles = archive.names().filter(|name| name.ends_with("/data.pkl"));
    let (Some(name), None) = (pickles.next(), pickles.next()) else {
        let reason = "a zip archive without exactly one data.pkl";
        return Err(CheckpointError::UnknownFormat(reason));
    };
    let folder = name.trim_end_matches("data.pkl");
    if archive.member(&format!("{folder}byteorder")).is_some_and(|order| order != b"little") {
        return Err(malformed("its numbers are not little-endian"));
    }
    let bytes = archive.member(name).unwrap_or_default();
    if bytes.len() > limits.pickle {
        let (size, limit) = (bytes.len() as u64, limits.pickle as u64);
        return Err(CheckpointError::TooLarge { what: "pickle", size, limit });
    }
    let pickle = pickle::run(bytes, 0)?;
    let data = format!("{folder}data/");
    let storages = archive.names().filter_map(|member| {
        let key = member.strip_prefix(&data)?;
        Some((key.to_owned(), archive.member(member)?))
    });
    Ok((pickle, storages.collect()))
}

/// Magic number of the legacy stream (its little-endian bytes) and its protocol.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const LEGACY_PROTOCOL: i64 = 1001;

/// Four pickles (magic number, protocol, system, object), the list of storage keys,
/// then each storage: its number of elements and the elements.
fn open_legacy<'a>(file: &'a [u8], limits: &Limits) -> Result<Opened<'a>, CheckpointError> {
    let run = |position: usize| {
        let end = file.len().min(position.saturating_add(limits.pickle));
        match pickle::run(&file[..end], position) {
            Err(CheckpointError::Truncated(_)) if end < file.len() => Err(CheckpointError::TooLarge {
                what: "pickle",
                size: (file.len() - position) as u64,
                limit: limits.pickle as u64,
            }),
            other => other,
        }
    };
    let magic = run(0)?;
    if !matches!(&magic.root, Value::Long(bytes) if **bytes == LEGACY_MAGIC) {
        return Err(CheckpointError::UnknownFormat("a pickle that torch did not write"));
    }
    let protocol = run(magic.end)?;
    if !matches!(protocol.root, Value::Integer(LEGACY_PROTOCOL)) {
        return Err(CheckpointError::UnknownFormat("a legacy file of an unknown protocol"));
    }
    let system = run(protocol.end)?;
    if !matches!(system.arena.lookup(&system.root, "little_endian"), Some(Value::Bool(true))) {
        return Err(malformed("its numbers are not little-endian"));
    }
    let object = run(system.end)?;
    let keys = run(object.end)?;
    let mut cursor = Cursor::new(file, keys.end, "its storages");
    let mut storages = HashMap::new();
    let kinds: HashMap<&str, &value::Storage> =
        object.arena.storages().map(|storage| (storage.key.as_ref(), storage)).collect();
    for key in keys.arena.items(&keys.root)? {
        let key = key.text().ok_or_else(|| malformed("a key of its storages is no text"))?;
        let storage = kinds.get(key).ok_or_else(|| malformed("it holds a storage of unknown type"))?;
        let elements = cursor.u64()?;
        if elements != storage.elements as u64 {
            return Err(malformed(format!(
                "a storage has {elements} elements instead of {}",
                storage.elements
            )));
        }
        let bytes = storage.elements.checked_mul(storage.kind.elt_size_in_bytes());
        let bytes = bytes.ok_or_else(|| CheckpointError::Truncated("its storages".to_owned()))?;
        storages.insert(key.to_owned(), cursor.take(bytes)?);
    }
    drop(kinds);
    Ok((object, storages))
}

#[cfg(test)]
mod tests;
