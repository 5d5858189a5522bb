//! Presets, defaults and checks: from a spec as it was written to the one that runs.

use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value as Reflected};

use super::{from_dynamic, kind, presets, relations, rule, to_dynamic};
use crate::Digest;
use crate::error::Violation;
use crate::proto::job::v1::JobSpec;
use crate::proto::spec::v1::Rule;

/// Fills in the preset and every default, then checks every rule. Artifact fields may still be `@job`.
///
/// # Errors
/// Every fault found, each with its field path.
pub fn resolve(spec: &JobSpec) -> Result<JobSpec, Vec<Violation>> {
    let mut spec = spec.clone();
    presets::expand(&mut spec);
    let Some(mut message) = to_dynamic(&spec) else {
        return Err(vec![Violation::new("spec", "is empty; give exactly one kind of job")]);
    };
    let mut violations = Vec::new();
    fill_and_check(&mut message, "", &mut violations);
    let resolved = from_dynamic(kind(&spec), &message);
    relations::check(&resolved, &mut violations);
    if violations.is_empty() { Ok(resolved) } else { Err(violations) }
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
