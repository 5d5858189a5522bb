//! Spec messages as JSON and back, field by field, so that every fault is found with its path.

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value as Reflected,
};
use serde_json::{Map, Value};

use super::rule;
use crate::error::Violation;

/// The fields that are set, by name; with `canonical`, those equal to their default are left out.
pub(super) fn from_message(message: &DynamicMessage, canonical: bool) -> Value {
    let mut object = Map::new();
    for field in message.descriptor().fields() {
        if !message.has_field(&field) {
            continue;
        }
        let value = message.get_field(&field);
        if canonical && rule::default_of(&field).as_ref() == Some(value.as_ref()) {
            continue;
        }
        object.insert(field.name().to_owned(), from_value(&field, value.as_ref(), canonical));
    }
    Value::Object(object)
}

fn from_value(field: &FieldDescriptor, value: &Reflected, canonical: bool) -> Value {
    match value {
        Reflected::Bool(value) => Value::from(*value),
        Reflected::U32(value) => Value::from(*value),
        Reflected::U64(value) => Value::from(*value),
        Reflected::I32(value) => Value::from(*value),
        Reflected::I64(value) => Value::from(*value),
        Reflected::F32(value) => Value::from(*value),
        Reflected::F64(value) => Value::from(*value),
        Reflected::String(value) => Value::from(value.as_str()),
        Reflected::EnumNumber(number) => match field.kind() {
            Kind::Enum(descriptor) => rule::enum_names(&descriptor)
                .into_iter()
                .find(|(_, known)| known == number)
                .map_or(Value::from(*number), |(name, _)| Value::from(name)),
            _ => Value::from(*number),
        },
        Reflected::Message(message) => from_message(message, canonical),
        Reflected::List(values) => {
            values.iter().map(|value| from_value(field, value, canonical)).collect::<Vec<_>>().into()
        }
        Reflected::Bytes(_) | Reflected::Map(_) => Value::Null, // no spec field has these types
    }
}

/// Reads a message; what cannot be read is a violation and left out.
pub(super) fn to_message(
    descriptor: &MessageDescriptor,
    value: &Value,
    prefix: &str,
    violations: &mut Vec<Violation>,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let Value::Object(object) = value else {
        let path = prefix.trim_end_matches('.');
        violations.push(Violation::new(path, format!("must be a table, not {}", shape(value))));
        return message;
    };
    let names: Vec<String> = descriptor.fields().map(|field| field.name().to_owned()).collect();
    for (key, value) in object {
        let path = format!("{prefix}{key}");
        match descriptor.get_field_by_name(key) {
            None => {
                let hint = rule::suggestion(key, names.iter().map(String::as_str));
                violations.push(Violation::new(path, format!("is unknown{hint}")));
            }
            Some(field) if field.is_list() => {
                let Value::Array(elements) = value else {
                    violations.push(Violation::new(path, format!("must be a list, not {}", shape(value))));
                    continue;
                };
                let mut list = Vec::new();
                for (index, element) in elements.iter().enumerate() {
                    list.extend(to_value(&field, element, &format!("{path}[{index}]"), violations));
                }
                message.set_field(&field, Reflected::List(list));
            }
            Some(field) => {
                if let Some(value) = to_value(&field, value, &path, violations) {
                    message.set_field(&field, value);
                }
            }
        }
    }
    message
}

fn to_value(
    field: &FieldDescriptor,
    value: &Value,
    path: &str,
    violations: &mut Vec<Violation>,
) -> Option<Reflected> {
    let read = match field.kind() {
        Kind::Bool => value.as_bool().map(Reflected::Bool).ok_or("must be true or false".to_owned()),
        Kind::Uint32 => integer(value)
            .and_then(|value| u32::try_from(value).ok())
            .map(Reflected::U32)
            .ok_or_else(|| format!("must be a whole number from 0 to {}", u32::MAX)),
        Kind::Uint64 => {
            integer(value).map(Reflected::U64).ok_or("must be a whole number, 0 or more".to_owned())
        }
        Kind::Double => value.as_f64().map(Reflected::F64).ok_or("must be a number".to_owned()),
        Kind::String => {
            value.as_str().map(|text| Reflected::String(text.to_owned())).ok_or("must be a string".to_owned())
        }
        Kind::Enum(descriptor) => {
            let names = rule::enum_names(&descriptor);
            let known: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
            let text = value.as_str().unwrap_or_default();
            rule::enum_number(&descriptor, text).map(Reflected::EnumNumber).ok_or_else(|| {
                format!(
                    "must be one of {}{}",
                    known.join(", "),
                    rule::suggestion(text, known.iter().copied())
                )
            })
        }
        Kind::Message(descriptor) => {
            return Some(Reflected::Message(to_message(&descriptor, value, &format!("{path}."), violations)));
        }
        other => Err(format!("has a type that specs do not use: {other:?}")),
    };
    match read {
        Ok(value) => Some(value),
        Err(wanted) => {
            violations.push(Violation::new(path, format!("{wanted}, not {}", shape(value))));
            None
        }
    }
}

/// Whole numbers, also when written as `3.0`.
fn integer(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        (float.fract() == 0.0 && (0.0..9.007_199_254_740_992e15).contains(&float)).then_some(float as u64)
    })
}

fn shape(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => format!("{:?}", value.chars().take(60).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}
