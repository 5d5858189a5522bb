//! Presets, defaults and checks: from a spec as it was written to the one that runs.

use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value as Reflected};

use super::{from_dynamic, kind, rule, to_dynamic};
use crate::Digest;
use crate::error::Violation;
use crate::proto::job::v1::JobSpec;
use crate::proto::job::v1::job_spec::Kind;
use crate::proto::spec::v1::Rule;
use crate::proto::training::v1::{Augmentation, Encoder, Loss, Method, Optimizer, Preset, TrainEncoderSpec};

/// Fills in the preset and every default, then checks every rule. Artifact fields may still be `@job`.
///
/// # Errors
/// Every fault found, each with its field path.
pub fn resolve(spec: &JobSpec) -> Result<JobSpec, Vec<Violation>> {
    let mut spec = spec.clone();
    if let Some(Kind::TrainEncoder(encoder)) = &mut spec.kind {
        expand_preset(encoder);
    }
    let Some(mut message) = to_dynamic(&spec) else {
        return Err(vec![Violation::new("spec", "is empty; give exactly one kind of job")]);
    };
    let mut violations = Vec::new();
    fill_and_check(&mut message, "", &mut violations);
    let resolved = from_dynamic(kind(&spec), &message);
    check_relations(&resolved, &mut violations);
    if violations.is_empty() { Ok(resolved) } else { Err(violations) }
}

/// The preset's values for the fields that were left out. `paper` is what the fields' defaults say.
fn expand_preset(spec: &mut TrainEncoderSpec) {
    if spec.preset() == Preset::Small {
        spec.encoder.get_or_insert(Encoder::Resnet18.into());
        spec.projector_width.get_or_insert(1024);
        spec.batch_size.get_or_insert(64);
        spec.epochs.get_or_insert(10);
        spec.learning_rate.get_or_insert(1e-3);
        spec.image_size.get_or_insert(64);
        spec.augmentation.get_or_insert(Augmentation::Light.into());
    }
    spec.preset = None;
}

fn fill_and_check(message: &mut DynamicMessage, prefix: &str, violations: &mut Vec<Violation>) {
    for field in message.descriptor().fields() {
        let path = format!("{prefix}{}", field.name());
        if !message.has_field(&field) {
            if let Some(default) = rule::default_of(&field) {
                message.set_field(&field, default);
            } else if rule::of(&field).required {
                violations.push(Violation::new(path, required(&field)));
                continue;
            }
        }
        if message.has_field(&field) {
            check_value(&field, message.get_field_mut(&field), &path, violations);
        }
    }
}

fn check_value(field: &FieldDescriptor, value: &mut Reflected, path: &str, violations: &mut Vec<Violation>) {
    let rule = rule::of(field);
    let number = match value {
        Reflected::Message(inner) => return fill_and_check(inner, &format!("{path}."), violations),
        Reflected::List(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                check_value(field, value, &format!("{path}[{index}]"), violations);
            }
            return;
        }
        Reflected::String(text) => {
            if let Some(fault) = text_fault(text, &rule) {
                violations.push(Violation::new(path, fault));
            }
            return;
        }
        Reflected::EnumNumber(0) => {
            violations.push(Violation::new(path, required(field)));
            return;
        }
        Reflected::U32(value) => f64::from(*value),
        Reflected::U64(value) => *value as f64,
        Reflected::F64(value) => *value,
        _ => return,
    };
    if let Some(fault) = range_fault(number, &rule) {
        violations.push(Violation::new(path, fault));
    }
}

fn required(field: &FieldDescriptor) -> String {
    match field.kind() {
        prost_reflect::Kind::Enum(descriptor) => {
            let names: Vec<_> = rule::enum_names(&descriptor).into_iter().map(|(name, _)| name).collect();
            format!("is required: one of {}", names.join(", "))
        }
        _ if field.is_list() => "is required: at least one element".to_owned(),
        _ => "is required".to_owned(),
    }
}

fn text_fault(text: &str, rule: &Rule) -> Option<String> {
    if !rule.artifact.is_empty() {
        let fine = match text.strip_prefix('@') {
            Some(name) => is_name(name),
            None => text.parse::<Digest>().is_ok(),
        };
        let kind = &rule.artifact;
        return (!fine).then(|| format!("must name a {kind}: a digest (sha256:…) or @name, not {text:?}"));
    }
    (rule.name && !is_name(text)).then(|| {
        format!("must be a name (1 to 63 of a-z, 0-9, '-' and '_', starting with a letter), not {text:?}")
    })
}

/// Whether `text` can name a job, layer, task or pipeline: 1 to 63 characters of a-z, 0-9, `-` and `_`,
/// starting with a letter.
pub fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    text.len() <= 63
        && characters.next().is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
}

fn range_fault(number: f64, rule: &Rule) -> Option<String> {
    let low = rule.min.map(|min| (number >= min, format!("at least {min}")));
    let above = rule.above.map(|above| (number > above, format!("greater than {above}")));
    let high = rule.max.map(|max| (number <= max, format!("at most {max}")));
    let below = rule.below.map(|below| (number < below, format!("less than {below}")));
    let bounds: Vec<_> = [low, above, high, below].into_iter().flatten().collect();
    // Written so that NaN, for which every comparison is false, is refused too.
    if number.is_finite() && bounds.iter().all(|(holds, _)| *holds) {
        return None;
    }
    let wanted: Vec<_> = bounds.into_iter().map(|(_, text)| text).collect();
    Some(format!("must be {}, not {number}", wanted.join(" and ")))
}

/// Checks that concern more than one field.
fn check_relations(spec: &JobSpec, violations: &mut Vec<Violation>) {
    let Some(Kind::TrainEncoder(spec)) = &spec.kind else { return };
    for (index, layer) in spec.privileged.iter().enumerate() {
        if layer.artifact.is_empty() == layer.name.is_empty() {
            let wanted =
                "must hold exactly one of `artifact` (a generated layer) and `name` (a layer of the dataset)";
            violations.push(Violation::new(format!("privileged[{index}]"), wanted));
        }
    }
    let method = spec.method();
    let privileged = !spec.privileged.is_empty();
    match method {
        Method::Trident | Method::Siamese if !privileged => {
            violations
                .push(Violation::new("privileged", "is required: this method learns from privileged layers"));
        }
        Method::Unprivileged | Method::Supervised if privileged => {
            violations
                .push(Violation::new("privileged", "must be empty: this method uses no privileged layer"));
        }
        _ => {}
    }
    let supervised = method == Method::Supervised;
    if method != Method::Unspecified
        && spec.loss() != Loss::Unspecified
        && supervised != (spec.loss() == Loss::CrossEntropy)
    {
        let wanted = if supervised { "must be cross-entropy" } else { "must be vicreg or infonce" };
        violations.push(Violation::new("loss", format!("{wanted} for this method")));
    }
    if spec.weight_decay() > 0.0 && spec.optimizer() == Optimizer::Adam {
        violations.push(Violation::new("weight_decay", "needs optimizer adamw or lars"));
    }
}
