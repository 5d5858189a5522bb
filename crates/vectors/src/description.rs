//! The JSON beside each safetensors file, parsed once and strictly: a key that
//! the harness does not know is an error, because it could change what "equal"
//! means.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::check::Check;
use crate::closed_formula::Layout;

/// One `NAME.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDescription {
    pub file: String,
    #[serde(default)]
    pub set: Option<String>,
    #[serde(default)]
    pub what: String,
    #[serde(default)]
    pub source: Value,
    #[serde(default)]
    pub notes: Value,
    #[serde(default)]
    pub versions: Value,
    /// What several cases share.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// The constant of the closed formula, where the file uses it.
    #[serde(default, deserialize_with = "hexadecimal")]
    pub set_constant: Option<u64>,
    pub cases: Vec<CaseDescription>,
    pub tensors: BTreeMap<String, TensorEntry>,
}

/// One case: what the code is told, reads and must compute.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseDescription {
    pub name: String,
    pub tensors: Vec<String>,
    #[serde(default)]
    pub params: Map<String, Value>,
    /// Outputs and intermediates that are fed from the file in this case.
    #[serde(default)]
    pub given: Vec<String>,
    #[serde(default)]
    pub weights: Option<WeightFormula>,
    #[serde(default)]
    pub generated_inputs: Vec<GeneratedInput>,
    #[serde(default)]
    pub own_result_checks: Vec<OwnResultCheck>,
}

/// Says that every weight of the case comes from the closed formula.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightFormula {
    pub formula: String,
    pub layout: Layout,
    pub name_prefix: String,
    /// Where a case holds several networks: their names, part of the hashed name.
    #[serde(default)]
    pub nets: Vec<String>,
    /// How the hashed name is put together, in words.
    #[serde(default)]
    pub name: Option<String>,
    /// Keys filled with one value instead of the formula.
    #[serde(default)]
    pub constants: BTreeMap<String, f64>,
}

/// An input that the closed formula gives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratedInput {
    pub name: String,
    pub shape: Vec<i64>,
    pub lo: f64,
    pub hi: f64,
    #[serde(default)]
    pub floor: bool,
    /// The tensor of the file that holds the same numbers, if any does.
    pub tensor: Option<String>,
}

/// A check on something random that the implementation makes itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnResultCheck {
    /// What is measured, in words.
    pub quantity: String,
    /// The tensor of the file that holds the reference's value of it.
    pub reference: String,
    pub check: Check,
}

/// What a tensor of the file is to the code under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Data that the code reads.
    Input,
    /// Initial weights that the code loads.
    Param,
    /// A term, stage or statistic on the way.
    Intermediate,
    /// A result.
    Output,
}

impl Role {
    /// Whether the code computes the tensor (as opposed to reading it).
    #[must_use]
    pub fn is_computed(self) -> bool {
        matches!(self, Self::Intermediate | Self::Output)
    }
}

/// The arithmetic in which an implementation would naturally compute a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputeType {
    F32,
    F64,
    Int,
}

/// One tensor: its form, role and how to compare it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorEntry {
    pub shape: Vec<i64>,
    pub dtype: String,
    pub role: Role,
    #[serde(default)]
    pub desc: Option<String>,
    /// `false`: an input that the implementation need not read; `why` says why.
    #[serde(default = "yes")]
    pub consumed: bool,
    #[serde(default)]
    pub why: Option<String>,
    #[serde(default)]
    pub compute_dtype: Option<ComputeType>,
    #[serde(default)]
    pub check: Option<Check>,
    #[serde(default)]
    pub check_f32: Option<Check>,
    #[serde(default)]
    pub check_f64: Option<Check>,
    /// The stored tensor is this part of the full result.
    #[serde(default)]
    pub slice: Option<Value>,
    /// The shape of the whole stage of which a statistic is stored.
    #[serde(default)]
    pub stage_shape: Option<Vec<i64>>,
}

fn yes() -> bool {
    true
}

fn hexadecimal<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    u64::from_str_radix(digits, 16).map(Some).map_err(|error| {
        serde::de::Error::custom(format!("set_constant {text:?} is not a hexadecimal number: {error}"))
    })
}
