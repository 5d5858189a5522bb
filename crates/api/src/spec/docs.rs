//! Documentation of every key of every kind of job, from the protos' comments and rules.

use std::fmt::Write as _;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::{KINDS, rule};

/// Markdown for docs/pipelines.md: a table of keys per kind of job.
pub fn markdown() -> String {
    let mut out = String::new();
    for (_, name, message) in KINDS {
        let Some(descriptor) = rule::pool().get_message_by_name(message) else { continue };
        let _ = writeln!(out, "### `{name}`\n\n{}\n", comment(descriptor.parent_file(), descriptor.path()));
        table(&mut out, &descriptor, "");
        out.push('\n');
    }
    out
}

fn table(out: &mut String, descriptor: &MessageDescriptor, prefix: &str) {
    if prefix.is_empty() {
        out.push_str("| key | type | default | range | meaning |\n|---|---|---|---|---|\n");
    }
    for field in descriptor.fields() {
        let rule = rule::of(&field);
        let default = match &rule.default_value {
            Some(text) if text.is_empty() => "empty".to_owned(),
            Some(text) => format!("`{text}`"),
            None if rule.required => "required".to_owned(),
            None => String::new(),
        };
        let list = if field.is_list() { "list of " } else { "" };
        let _ = writeln!(
            out,
            "| `{prefix}{}` | {list}{} | {default} | {} | {} |",
            field.name(),
            type_name(&field, &rule.artifact),
            range(&rule),
            comment(field.parent_file(), field.path()),
        );
        if let Kind::Message(inner) = field.kind() {
            table(out, &inner, &format!("{prefix}{}[].", field.name()));
        }
    }
}

fn type_name(field: &FieldDescriptor, artifact: &str) -> String {
    match field.kind() {
        Kind::Enum(descriptor) => {
            let names: Vec<_> =
                rule::enum_names(&descriptor).into_iter().map(|(name, _)| format!("`{name}`")).collect();
            names.join(", ")
        }
        Kind::Message(_) => "tables".to_owned(),
        Kind::String if !artifact.is_empty() => format!("{artifact}: digest or `@name`"),
        Kind::String => "string".to_owned(),
        Kind::Bool => "boolean".to_owned(),
        Kind::Double => "number".to_owned(),
        _ => "whole number".to_owned(),
    }
}

fn range(rule: &crate::proto::spec::v1::Rule) -> String {
    let mut parts = Vec::new();
    parts.extend(rule.min.map(|min| format!("≥ {min}")));
    parts.extend(rule.above.map(|above| format!("> {above}")));
    parts.extend(rule.max.map(|max| format!("≤ {max}")));
    parts.extend(rule.below.map(|below| format!("< {below}")));
    let mut text = parts.join(", ");
    if !rule.unit.is_empty() {
        let _ = write!(text, " {}", rule.unit);
    }
    text
}

/// The leading comment of an element, on one line.
fn comment(file: prost_reflect::FileDescriptor, path: &[i32]) -> String {
    let proto = file.file_descriptor_proto();
    let locations = proto.source_code_info.as_ref().map(|info| info.location.as_slice()).unwrap_or_default();
    let comment = locations.iter().find(|location| location.path == path);
    let text = comment.map(|location| location.leading_comments()).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
