//! Small torch checkpoints in the formats of the published weights: exactly the
//! stated tensors, bit for bit.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use counterstain_model::checkpoint::{Checkpoint, Limits};
use counterstain_model::weights::{without_module_prefix, without_stray_norm_buffers};
use serde::Deserialize;
use tch::{Kind, Tensor};

use crate::Case;

/// What `fixtures/index.json` states about its files.
#[derive(Deserialize)]
struct Index {
    files: BTreeMap<String, Fixture>,
}

#[derive(Deserialize)]
struct Fixture {
    wrapper_keys: Vec<String>,
    strip_prefix: Option<String>,
    tensors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: Option<String>,
    shape: Vec<i64>,
    dtype: String,
    #[serde(default)]
    drop: bool,
}

/// Runs a case: one file.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let path = case.text("file")?;
    let index: Index = serde_json::from_slice(&case.other_file_bytes(case.text("see")?)?)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let fixture = index.files.get(name).with_context(|| format!("{name} is not in its index"))?;
    let file = case.other_file_bytes(path)?;
    let keys: Vec<&str> = fixture.wrapper_keys.iter().map(String::as_str).collect();
    let tensors = Checkpoint::open(&file, &Limits::default())?.state_dict(&keys)?;
    ensure!(
        fixture.strip_prefix.as_deref().is_none_or(|prefix| prefix == "module."),
        "unknown prefix {:?}",
        fixture.strip_prefix
    );
    let tensors = without_stray_norm_buffers(without_module_prefix(tensors));
    let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
    check_names(fixture, &tensors)?;
    for expected in case.expected() {
        let name = expected.split_once('/').map_or(expected, |(_, name)| name);
        let tensor = tensors.get(name).with_context(|| format!("the file has no {name}"))?;
        case.compare(expected, tensor)?;
    }
    Ok(())
}

/// Names, shapes and dtypes are exactly the stated ones.
fn check_names(fixture: &Fixture, tensors: &BTreeMap<String, Tensor>) -> anyhow::Result<()> {
    let kept: Vec<&Entry> = fixture.tensors.iter().filter(|entry| !entry.drop).collect();
    ensure!(kept.len() == tensors.len(), "{} tensors instead of {}", tensors.len(), kept.len());
    for entry in kept {
        let name = entry.name.as_deref().context("an entry that is kept has a name")?;
        let tensor = tensors.get(name).with_context(|| format!("{name} is missing"))?;
        ensure!(tensor.size() == entry.shape, "{name} has shape {:?}", tensor.size());
        ensure!(dtype(tensor.kind()) == entry.dtype, "{name} has dtype {:?}", tensor.kind());
    }
    Ok(())
}

fn dtype(kind: Kind) -> &'static str {
    match kind {
        Kind::Float => "float32",
        Kind::Double => "float64",
        Kind::Half => "float16",
        Kind::BFloat16 => "bfloat16",
        Kind::Int64 => "int64",
        Kind::Int => "int32",
        Kind::Uint8 => "uint8",
        Kind::Bool => "bool",
        _ => "other",
    }
}
