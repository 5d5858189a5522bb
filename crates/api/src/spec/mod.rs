//! Specs of jobs: resolved, validated, canonicalised and documented from one source, the rules that
//! the fields of the protobuf messages carry (`counterstain.spec.v1.rule`).

mod docs;
mod json;
mod presets;
mod relations;
mod resolve;
mod rule;
#[cfg(test)]
mod tests;

use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value as Reflected};
use serde_json::{Value, json};

use crate::error::Violation;
use crate::proto::job::v1::job_spec::Kind;
use crate::proto::job::v1::{JobKind, JobSpec};
use crate::{Digest, Profile};

pub use docs::markdown;
pub use resolve::{is_name, resolve};
pub use rule::suggestion;

/// Kind, name in pipeline files and manifests, and full name of the spec's message.
const KINDS: [(JobKind, &str, &str); 7] = [
    (JobKind::TrainGenerator, "train_generator", "counterstain.synthesis.v1.TrainGeneratorSpec"),
    (JobKind::TrainSegmenter, "train_segmenter", "counterstain.synthesis.v1.TrainSegmenterSpec"),
    (JobKind::GenerateLayer, "generate_layer", "counterstain.synthesis.v1.GenerateLayerSpec"),
    (JobKind::TrainEncoder, "train_encoder", "counterstain.training.v1.TrainEncoderSpec"),
    (JobKind::Embed, "embed", "counterstain.evaluation.v1.EmbedSpec"),
    (JobKind::Evaluate, "evaluate", "counterstain.evaluation.v1.EvaluateSpec"),
    (JobKind::EvaluateGenerator, "evaluate_generator", "counterstain.evaluation.v1.EvaluateGeneratorSpec"),
];

/// The kind of a spec; unspecified when the spec is empty.
pub fn kind(spec: &JobSpec) -> JobKind {
    match spec.kind {
        Some(Kind::TrainGenerator(_)) => JobKind::TrainGenerator,
        Some(Kind::TrainSegmenter(_)) => JobKind::TrainSegmenter,
        Some(Kind::GenerateLayer(_)) => JobKind::GenerateLayer,
        Some(Kind::TrainEncoder(_)) => JobKind::TrainEncoder,
        Some(Kind::Embed(_)) => JobKind::Embed,
        Some(Kind::Evaluate(_)) => JobKind::Evaluate,
        Some(Kind::EvaluateGenerator(_)) => JobKind::EvaluateGenerator,
        None => JobKind::Unspecified,
    }
}

/// All kinds with their names.
pub fn kinds() -> impl Iterator<Item = (JobKind, &'static str)> {
    KINDS.iter().map(|row| (row.0, row.1))
}

/// The name of a kind in pipeline files and manifests.
pub fn kind_name(kind: JobKind) -> &'static str {
    KINDS.iter().find(|row| row.0 == kind).map_or("unspecified", |row| row.1)
}

/// The kind of this name.
pub fn kind_from_name(name: &str) -> Option<JobKind> {
    KINDS.iter().find(|row| row.1 == name).map(|row| row.0)
}

/// The full spec as JSON, enum values as lower-case names, without the kind.
pub fn to_json(spec: &JobSpec) -> Value {
    to_dynamic(spec).map_or(Value::Null, |message| json::from_message(&message, false))
}

/// The canonical form: as [`to_json`] on the resolved spec, without values equal to their frozen default.
pub fn canonical_json(spec: &JobSpec) -> Value {
    to_dynamic(spec).map_or(Value::Null, |message| json::from_message(&message, true))
}

/// Reads a spec of a kind from JSON (or TOML turned to JSON).
///
/// # Errors
/// Every unknown key (with a suggestion) and every value of a wrong type, by field path.
pub fn from_json(kind: JobKind, value: &Value) -> Result<JobSpec, Vec<Violation>> {
    let Some(descriptor) = descriptor(kind) else {
        return Err(vec![Violation::new("kind", format!("is unknown; expected {}", kind_list()))]);
    };
    let mut violations = Vec::new();
    let message = json::to_message(&descriptor, value, "", &mut violations);
    if violations.is_empty() { Ok(from_dynamic(kind, &message)) } else { Err(violations) }
}

/// A field of a spec that names an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Path of the field in the spec, such as `privileged[0].artifact`.
    pub path: String,
    /// Kind of artifact that it must name.
    pub artifact_kind: String,
    /// A digest, or `@job`.
    pub value: String,
}

/// All fields that name an artifact and are set.
pub fn inputs(spec: &JobSpec) -> Vec<Input> {
    let mut found = Vec::new();
    substitute(&mut spec.clone(), |input| {
        found.push(input.clone());
        None
    });
    found
}

/// Replaces the value of every input for which `replace` gives one.
pub fn substitute(spec: &mut JobSpec, mut replace: impl FnMut(&Input) -> Option<String>) {
    if let Some(mut message) = to_dynamic(spec) {
        visit_inputs(&mut message, "", &mut replace);
        *spec = from_dynamic(kind(spec), &message);
    }
}

/// The artifact key (the job key): SHA-256 over the RFC 8785 form of job kind, canonical spec (inputs are
/// digests in it) and compute profile. The same key means the same result.
pub fn artifact_key(kind_name: &str, canonical_spec: &Value, profile: &Profile) -> String {
    let bytes = canonical_bytes(&json!({ "kind": kind_name, "spec": canonical_spec, "profile": profile }));
    Digest::of(&bytes).to_string()
}

/// RFC 8785 canonical JSON.
pub fn canonical_bytes(value: &impl serde::Serialize) -> Vec<u8> {
    serde_jcs::to_vec(value).expect("values made here have string keys and finite numbers")
}

fn kind_list() -> String {
    KINDS.map(|row| row.1).join(", ")
}

fn descriptor(kind: JobKind) -> Option<prost_reflect::MessageDescriptor> {
    let name = KINDS.iter().find(|row| row.0 == kind)?.2;
    rule::pool().get_message_by_name(name)
}

fn to_dynamic(spec: &JobSpec) -> Option<DynamicMessage> {
    let bytes = match spec.kind.as_ref()? {
        Kind::TrainGenerator(spec) => spec.encode_to_vec(),
        Kind::TrainSegmenter(spec) => spec.encode_to_vec(),
        Kind::GenerateLayer(spec) => spec.encode_to_vec(),
        Kind::TrainEncoder(spec) => spec.encode_to_vec(),
        Kind::Embed(spec) => spec.encode_to_vec(),
        Kind::Evaluate(spec) => spec.encode_to_vec(),
        Kind::EvaluateGenerator(spec) => spec.encode_to_vec(),
    };
    DynamicMessage::decode(descriptor(kind(spec))?, bytes.as_slice()).ok()
}

fn from_dynamic(kind: JobKind, message: &DynamicMessage) -> JobSpec {
    let same = "the dynamic message has the typed message's descriptor";
    let kind = match kind {
        JobKind::TrainGenerator => Kind::TrainGenerator(message.transcode_to().expect(same)),
        JobKind::TrainSegmenter => Kind::TrainSegmenter(message.transcode_to().expect(same)),
        JobKind::GenerateLayer => Kind::GenerateLayer(message.transcode_to().expect(same)),
        JobKind::TrainEncoder => Kind::TrainEncoder(message.transcode_to().expect(same)),
        JobKind::Embed => Kind::Embed(message.transcode_to().expect(same)),
        JobKind::Evaluate => Kind::Evaluate(message.transcode_to().expect(same)),
        JobKind::EvaluateGenerator => Kind::EvaluateGenerator(message.transcode_to().expect(same)),
        JobKind::Unspecified => return JobSpec::default(),
    };
    JobSpec { kind: Some(kind) }
}

fn visit_inputs(
    message: &mut DynamicMessage,
    prefix: &str,
    replace: &mut dyn FnMut(&Input) -> Option<String>,
) {
    for field in message.descriptor().fields() {
        if !message.has_field(&field) {
            continue;
        }
        let path = format!("{prefix}{}", field.name());
        let artifact_kind = rule::of(&field).artifact;
        visit_value(message.get_field_mut(&field), &path, &artifact_kind, replace);
    }
}

fn visit_value(
    value: &mut Reflected,
    path: &str,
    artifact_kind: &str,
    replace: &mut dyn FnMut(&Input) -> Option<String>,
) {
    match value {
        Reflected::String(text) if !artifact_kind.is_empty() && !text.is_empty() => {
            let input =
                Input { path: path.to_owned(), artifact_kind: artifact_kind.to_owned(), value: text.clone() };
            if let Some(new) = replace(&input) {
                *text = new;
            }
        }
        Reflected::List(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                visit_value(value, &format!("{path}[{index}]"), artifact_kind, replace);
            }
        }
        Reflected::Message(inner) => visit_inputs(inner, &format!("{path}."), replace),
        _ => {}
    }
}
