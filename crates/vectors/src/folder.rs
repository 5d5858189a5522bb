//! A folder of vectors: its index, and files that are verified on reading.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tch::{Kind, Tensor};

use crate::description::FileDescription;

/// What `index.json` states about one file.
#[derive(Debug, Deserialize)]
pub struct IndexEntry {
    pub bytes: u64,
    pub sha256: String,
}

/// An opened folder. It remembers which files were read, so that an index entry
/// that nothing used can be reported.
pub struct Folder {
    root: PathBuf,
    index: BTreeMap<String, IndexEntry>,
    used: RefCell<BTreeSet<String>>,
}

/// One `NAME.json` with the tensors of its `NAME.safetensors`.
pub struct VectorFile {
    /// The name without extension.
    pub name: String,
    pub description: FileDescription,
    pub tensors: BTreeMap<String, Tensor>,
}

impl Folder {
    /// Opens the folder at `root` and reads its `index.json`.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let path = root.join("index.json");
        let text = std::fs::read(&path)
            .with_context(|| format!("{} cannot be read; name a folder of vectors", path.display()))?;
        let index = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a valid index", path.display()))?;
        Ok(Self { root: root.to_owned(), index, used: RefCell::default() })
    }

    /// The names in the index, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// Whether the index lists `name`.
    #[must_use]
    pub fn lists(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Whether something read `name` since the folder was opened.
    #[must_use]
    pub fn was_read(&self, name: &str) -> bool {
        self.used.borrow().contains(name)
    }

    /// Where the file `name` lies, for code that opens files itself. Its bytes
    /// are verified first, and it counts as read.
    pub fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.read(name)?;
        Ok(self.root.join(name))
    }

    /// Reads the file `name` and verifies its length and SHA-256.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        self.used.borrow_mut().insert(name.to_owned());
        let entry = self.index.get(name).with_context(|| format!("{name} is not in index.json"))?;
        let path = self.root.join(name);
        let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        ensure!(
            bytes.len() as u64 == entry.bytes,
            "{name} has {} bytes where index.json states {}",
            bytes.len(),
            entry.bytes
        );
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(
            digest == entry.sha256,
            "{name} has the sha256 {digest} where index.json states {}",
            entry.sha256
        );
        Ok(bytes)
    }

    /// Reads `NAME.json` and `NAME.safetensors` and checks that they describe
    /// the same tensors and that the cases name all of them.
    pub fn vector_file(&self, name: &str) -> anyhow::Result<VectorFile> {
        let description: FileDescription = serde_json::from_slice(&self.read(&format!("{name}.json"))?)
            .with_context(|| format!("{name}.json is not in the documented form"))?;
        let bytes = self.read(&format!("{name}.safetensors"))?;
        let stored = SafeTensors::deserialize(&bytes)
            .with_context(|| format!("{name}.safetensors cannot be parsed"))?;
        let mut tensors = BTreeMap::new();
        for (tensor_name, view) in stored.iter() {
            let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
            let (kind, dtype) = kind_of(view.dtype())
                .with_context(|| format!("{tensor_name} of {name}.safetensors has an unexpected type"))?;
            let entry = description.tensors.get(tensor_name).with_context(|| {
                format!("{tensor_name} of {name}.safetensors is not described in {name}.json")
            })?;
            ensure!(
                entry.shape == shape && entry.dtype == dtype,
                "{tensor_name} of {name} is {dtype} {shape:?} in the safetensors and {} {:?} in the json",
                entry.dtype,
                entry.shape
            );
            let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)
                .with_context(|| format!("{tensor_name} of {name}.safetensors cannot be loaded"))?;
            tensors.insert(tensor_name.to_owned(), tensor);
        }
        let named: BTreeSet<&String> = description.cases.iter().flat_map(|case| &case.tensors).collect();
        for tensor_name in description.tensors.keys() {
            ensure!(
                tensors.contains_key(tensor_name),
                "{tensor_name} of {name}.json is not in the safetensors"
            );
            ensure!(named.contains(tensor_name), "{tensor_name} of {name}.json is in no case");
        }
        if let Some(unknown) = named.iter().find(|named| !tensors.contains_key(**named)) {
            bail!("a case of {name}.json names {unknown}, which is not described");
        }
        Ok(VectorFile { name: name.to_owned(), description, tensors })
    }
}

fn kind_of(dtype: Dtype) -> anyhow::Result<(Kind, &'static str)> {
    Ok(match dtype {
        Dtype::F32 => (Kind::Float, "float32"),
        Dtype::F64 => (Kind::Double, "float64"),
        Dtype::F16 => (Kind::Half, "float16"),
        Dtype::BF16 => (Kind::BFloat16, "bfloat16"),
        Dtype::I64 => (Kind::Int64, "int64"),
        Dtype::I32 => (Kind::Int, "int32"),
        Dtype::I16 => (Kind::Int16, "int16"),
        Dtype::I8 => (Kind::Int8, "int8"),
        Dtype::U8 => (Kind::Uint8, "uint8"),
        Dtype::BOOL => (Kind::Bool, "bool"),
        other => bail!("type {other:?} has no counterpart in libtorch"),
    })
}
