//! Reads `[imports.NAME]` sections, with every fault by its path.

use counterstain_api::error::Violation;
use counterstain_api::spec::suggestion;
use serde_json::{Map, Value};

use super::description::Import;

const CHANGE_KEYS: [&str; 5] = ["downsample", "tile", "limit", "skip_bad", "microns_per_pixel"];
const FOLDER_KEYS: [&str; 3] = ["path", "groups", "split"];
const PAIRED_KEYS: [&str; 4] = ["primary", "layers", "groups", "split"];
const SIMULATED_KEYS: [&str; 7] = ["samples", "size", "seed", "centres", "patients", "nuisance", "layers"];

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
    let (known, required): (Vec<&str>, &[&str]) = match kind {
        "folder" => (FOLDER_KEYS.iter().chain(&CHANGE_KEYS).copied().collect(), &["path"]),
        "paired" => (PAIRED_KEYS.iter().chain(&CHANGE_KEYS).copied().collect(), &["primary", "layers"]),
        "simulated" => (SIMULATED_KEYS.to_vec(), &[]),
        other => {
            let kinds = ["folder", "paired", "simulated"];
            let hint = suggestion(other, kinds);
            return Err(fail("kind", format!("must be one of {}{hint}", kinds.join(", "))));
        }
    };
    let mut violations = Vec::new();
    for key in table.keys().filter(|key| *key != "kind" && !known.contains(&key.as_str())) {
        let hint = suggestion(key, known.iter().copied());
        violations.push(Violation::new(format!("{prefix}.{key}"), format!("is unknown{hint}")));
    }
    for key in required.iter().filter(|key| !table.contains_key(**key)) {
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
        return "must hold, for each layer, \"DIR\", \"label:DIR\", \"instance:DIR\" or { path, kind }"
            .to_owned();
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
