//! Reads `[imports.NAME]` sections, with every fault by its path.

use counterstain_api::error::Violation;
use counterstain_api::spec::suggestion;
use serde_json::{Map, Value};

use super::description::{Content, Import};

/// Keys of every import of files.
const CHANGE_KEYS: [&str; 7] =
    ["downsample", "tile", "limit", "skip_bad", "microns_per_pixel", "hold_out", "hold_out_by"];

/// The keys of a kind of import.
struct Keys {
    kind: &'static str,
    own: &'static [&'static str],
    required: &'static [&'static str],
    takes_changes: bool,
}

const KINDS: [Keys; 7] = [
    Keys { kind: "folder", own: &["path", "groups", "split"], required: &["path"], takes_changes: true },
    Keys {
        kind: "paired",
        own: &["primary", "layers", "groups", "split"],
        required: &["primary", "layers"],
        takes_changes: true,
    },
    Keys {
        kind: "strips",
        own: &["path", "panels", "groups", "split"],
        required: &["path", "panels"],
        takes_changes: true,
    },
    Keys { kind: "pannuke", own: &["path", "folds"], required: &["path"], takes_changes: true },
    Keys { kind: "camelyon17", own: &["path"], required: &["path"], takes_changes: true },
    Keys {
        kind: "slide",
        own: &[
            "path",
            "tile",
            "overlap",
            "level",
            "microns_per_pixel",
            "tissue",
            "groups",
            "split",
            "limit",
            "skip_bad",
            "hold_out",
        ],
        required: &["path"],
        takes_changes: false,
    },
    Keys {
        kind: "simulated",
        own: &["samples", "size", "seed", "centres", "patients", "nuisance", "layers"],
        required: &[],
        takes_changes: false,
    },
];

/// Reads the section of the import `name`.
///
/// # Errors
/// Unknown keys (with a suggestion), missing keys, values of a wrong type or out of range: all of them.
pub fn read_section(name: &str, section: &Value) -> Result<Import, Vec<Violation>> {
    let prefix = format!("imports.{name}");
    let fail = |key: &str, text: String| vec![Violation::new(format!("{prefix}.{key}"), text)];
    let Some(table) = section.as_object() else {
        return Err(vec![Violation::new(prefix, "must be a table")]);
    };
    let kind = table.get("kind").and_then(Value::as_str).unwrap_or_default();
    let Some(keys) = KINDS.iter().find(|keys| keys.kind == kind) else {
        let kinds = KINDS.map(|keys| keys.kind);
        let hint = suggestion(kind, kinds);
        return Err(fail("kind", format!("must be one of {}{hint}", kinds.join(", "))));
    };
    let changes = CHANGE_KEYS.iter().filter(|_| keys.takes_changes);
    let known: Vec<&str> = keys.own.iter().chain(changes).copied().collect();
    let mut violations = Vec::new();
    for key in table.keys().filter(|key| *key != "kind" && !known.contains(&key.as_str())) {
        let hint = suggestion(key, known.iter().copied());
        violations.push(Violation::new(format!("{prefix}.{key}"), format!("is unknown{hint}")));
    }
    for key in keys.required.iter().filter(|key| !table.contains_key(**key)) {
        violations.push(Violation::new(format!("{prefix}.{key}"), "is required"));
    }
    // Every key has a default, so a table of one key tells which value has the wrong type.
    for (key, value) in table.iter().filter(|(key, _)| known.contains(&key.as_str())) {
        let single: Map<String, Value> =
            [("kind".to_owned(), kind.into()), (key.clone(), value.clone())].into_iter().collect();
        if let Err(error) = serde_json::from_value::<Import>(Value::Object(single)) {
            violations.push(Violation::new(format!("{prefix}.{key}"), readable(&error)));
        }
    }
    if violations.is_empty() {
        match serde_json::from_value::<Import>(section.clone()) {
            Ok(import) => {
                violations.extend(
                    import
                        .faults()
                        .into_iter()
                        .map(|(key, text)| Violation::new(format!("{prefix}.{key}"), text)),
                );
                if violations.is_empty() {
                    return Ok(import);
                }
            }
            Err(error) => violations.push(Violation::new(prefix, readable(&error))),
        }
    }
    Err(violations)
}

fn readable(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.contains("did not match any variant of untagged enum LayerSourceText") {
        let words = Content::ALL.map(|(word, _)| format!("\"{word}:DIR\"")).join(", ");
        return format!("must hold, for each layer, \"DIR\", {words} or {{ path, kind }}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_of_a_section_is_reported_with_its_path() {
        let section = json!({ "kind": "folder", "pth": "x", "downsample": "two", "limit": 0 });
        let faults = read_section("tiles", &section).unwrap_err();
        let texts: Vec<String> =
            faults.iter().map(|fault| format!("{} {}", fault.field, fault.description)).collect();
        assert!(
            texts.iter().any(|text| text.contains("imports.tiles.pth is unknown") && text.contains("path")),
            "{texts:?}"
        );
        assert!(texts.iter().any(|text| text.contains("imports.tiles.path is required")), "{texts:?}");
        assert!(
            texts.iter().any(|text| text.contains("imports.tiles.downsample") && text.contains("string")),
            "{texts:?}"
        );
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let section = json!({ "kind": "folder", "path": "x", "downsample": 0, "tile": 1 });
        assert_eq!(read_section("tiles", &section).unwrap_err().len(), 2);
    }

    #[test]
    fn an_unknown_kind_is_refused_with_a_suggestion() {
        let faults = read_section("tiles", &json!({ "kind": "foldr" })).unwrap_err();
        assert!(faults[0].description.contains("folder"), "{faults:?}");
    }
}
