//! The rules that fields carry, read from the descriptors.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, Value as Reflected};

use crate::proto::spec::v1::Rule;

/// The pool of all messages.
pub(super) fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(crate::DESCRIPTOR_SET)
            .expect("the descriptor set was compiled with this program")
    });
    &POOL
}

/// The rule of a field; the empty rule when it carries none.
pub(super) fn of(field: &FieldDescriptor) -> Rule {
    let extension = pool()
        .get_extension_by_name("counterstain.spec.v1.rule")
        .expect("the descriptor set was compiled with this program");
    match field.options().get_extension(&extension).as_ref() {
        Reflected::Message(message) => message.transcode_to().unwrap_or_default(),
        _ => Rule::default(),
    }
}

/// The default of a field, if it has one.
pub(super) fn default_of(field: &FieldDescriptor) -> Option<Reflected> {
    let text = of(field).default_value?;
    let value = match field.kind() {
        Kind::Bool => text.parse().ok().map(Reflected::Bool),
        Kind::Uint32 => text.parse().ok().map(Reflected::U32),
        Kind::Uint64 => text.parse().ok().map(Reflected::U64),
        Kind::Double => text.parse().ok().map(Reflected::F64),
        Kind::String => Some(Reflected::String(text.clone())),
        Kind::Enum(descriptor) => enum_number(&descriptor, &text).map(Reflected::EnumNumber),
        _ => None,
    };
    Some(value.unwrap_or_else(|| panic!("the default {text:?} of {} does not parse", field.full_name())))
}

/// The values of an enum as users write them: `LOSS_CROSS_ENTROPY` is `cross-entropy`.
pub(super) fn enum_names(descriptor: &EnumDescriptor) -> Vec<(String, i32)> {
    let prefix = format!("{}_", screaming_snake(descriptor.name()));
    descriptor
        .values()
        .filter(|value| value.number() != 0)
        .map(|value| {
            let name = value.name().strip_prefix(&prefix).unwrap_or(value.name());
            (name.to_lowercase().replace('_', "-"), value.number())
        })
        .collect()
}

/// The number of an enum value as users write it.
pub(super) fn enum_number(descriptor: &EnumDescriptor, name: &str) -> Option<i32> {
    enum_names(descriptor).into_iter().find(|(known, _)| known == name).map(|(_, number)| number)
}

/// `; did you mean "x"?` for the nearest of `known`, if one is near.
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| format!("; did you mean {candidate:?}?"))
        .unwrap_or_default()
}

fn screaming_snake(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(character.to_ascii_uppercase());
    }
    out
}
