//! Pipeline files: TOML that maps one to one to the messages.
//!
//! ```toml
//! name = "demo"
//! [variables]                 # ${tiles} in any string; --set tiles=… replaces it
//! tiles = "tiles"
//! [imports.source]            # done by the command line, against the store
//! kind = "folder"
//! path = "${tiles}"
//! [jobs.baseline]             # a job: kind, after, fresh, and the keys of its spec
//! kind = "train_encoder"
//! dataset = "@source"
//! method = "unprivileged"
//! loss = "vicreg"
//! ```

use serde_json::{Map, Value};

use crate::error::Violation;
use crate::proto::job::v1::JobRequest;
use crate::spec::{self, is_name, suggestion};

/// A pipeline file, with variables replaced and every job's spec read and validated. References (`@name`)
/// to imports and jobs still stand.
#[derive(Clone, Debug)]
pub struct PipelineFile {
    /// Name for people.
    pub name: String,
    /// Import sections in file order: name and table.
    pub imports: Vec<(String, Value)>,
    /// Jobs in file order, specs unresolved.
    pub jobs: Vec<JobRequest>,
}

/// Reads a pipeline file. Each of `sets` is a key and a value of `--set`: the name of a variable, or the
/// dotted path of any other value of the file.
///
/// # Errors
/// Every fault found, each with its path in the file.
pub fn parse(text: &str, sets: &[(String, String)]) -> Result<PipelineFile, Vec<Violation>> {
    let mut document = read_toml(text)?;
    let mut violations = Vec::new();
    apply_sets(&mut document, sets, &mut violations);
    let variables = document.remove("variables").unwrap_or_else(|| Value::Object(Map::new()));
    check_keys(&document, &["name", "imports", "jobs"], "", &mut violations);
    for (key, value) in &mut document {
        replace_variables(value, &variables, key, &mut violations);
    }
    let name = document.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !is_name(&name) {
        violations.push(Violation::new("name", "is required: a name of 1 to 63 of a-z, 0-9, '-' and '_'"));
    }
    let imports = sections(&document, "imports", &mut violations);
    let mut jobs = Vec::new();
    for (name, table) in sections(&document, "jobs", &mut violations) {
        jobs.extend(read_job(&name, table, &mut violations));
    }
    if jobs.is_empty() && violations.is_empty() {
        violations
            .push(Violation::new("jobs", "is required: a pipeline has at least one [jobs.NAME] section"));
    }
    check_references(&imports, &jobs, &mut violations);
    if violations.is_empty() { Ok(PipelineFile { name, imports, jobs }) } else { Err(violations) }
}

fn read_toml(text: &str) -> Result<Map<String, Value>, Vec<Violation>> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let place = line.map_or("file".to_owned(), |line| format!("line {line}"));
        vec![Violation::new(place, error.message().to_owned())]
    })?;
    match serde_json::to_value(table) {
        Ok(Value::Object(document)) => Ok(document),
        _ => {
            Err(vec![Violation::new("file", "holds a value that JSON cannot hold (a date, or not a number)")])
        }
    }
}

fn apply_sets(document: &mut Map<String, Value>, sets: &[(String, String)], violations: &mut Vec<Violation>) {
    for (key, text) in sets {
        let value = set_value(text);
        let is_variable = document.get("variables").is_some_and(|variables| variables.get(key).is_some());
        let path = if is_variable { format!("variables.{key}") } else { key.clone() };
        let steps: Vec<&str> = path.split('.').collect();
        let known = document.get("variables").and_then(Value::as_object);
        if steps.len() == 1 && steps[0] != "name" {
            let names: Vec<&str> =
                known.map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default();
            let hint = suggestion(key, names.iter().copied());
            let wanted =
                format!("is neither a variable of the file nor a dotted path such as jobs.NAME.epochs{hint}");
            violations.push(Violation::new(format!("--set {key}"), wanted));
            continue;
        }
        if !set_at(document, &steps, value) {
            violations.push(Violation::new(format!("--set {key}"), "does not lead to a table of the file"));
        }
    }
}

/// A value as TOML would read it, or else the text itself.
fn set_value(text: &str) -> Value {
    toml::from_str::<toml::Table>(&format!("value = {text}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|table| serde_json::to_value(&table["value"]).ok())
        .unwrap_or_else(|| Value::from(text))
}

fn set_at(table: &mut Map<String, Value>, steps: &[&str], value: Value) -> bool {
    match steps {
        [] => false,
        [last] => {
            table.insert((*last).to_owned(), value);
            true
        }
        [first, rest @ ..] => match table.get_mut(*first) {
            Some(Value::Object(inner)) => set_at(inner, rest, value),
            _ => false,
        },
    }
}

/// `${name}` in strings; a string that is one variable and nothing else takes its type.
fn replace_variables(value: &mut Value, variables: &Value, path: &str, violations: &mut Vec<Violation>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                replace_variables(value, variables, &format!("{path}.{key}"), violations);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                replace_variables(value, variables, &format!("{path}[{index}]"), violations);
            }
        }
        Value::String(text) if text.contains("${") => {
            if let Some(new) = replaced(text, variables, path, violations) {
                *value = new;
            }
        }
        _ => {}
    }
}

fn replaced(text: &str, variables: &Value, path: &str, violations: &mut Vec<Violation>) -> Option<Value> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else {
            violations.push(Violation::new(path, "has `${` without `}`"));
            return None;
        };
        let name = &rest[start + 2..start + length];
        let Some(variable) = variables.get(name) else {
            let known = variables.as_object().map(|map| map.keys().map(String::as_str).collect::<Vec<_>>());
            let hint = suggestion(name, known.unwrap_or_default());
            violations.push(Violation::new(path, format!("names the unknown variable {name:?}{hint}")));
            return None;
        };
        if start == 0 && length + 1 == text.len() {
            return Some(variable.clone());
        }
        out.push_str(&rest[..start]);
        match variable {
            Value::String(text) => out.push_str(text),
            other => out.push_str(&other.to_string()),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    Some(Value::String(out))
}

fn check_keys(table: &Map<String, Value>, known: &[&str], prefix: &str, violations: &mut Vec<Violation>) {
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        let hint = suggestion(key, known.iter().copied());
        violations.push(Violation::new(format!("{prefix}{key}"), format!("is unknown{hint}")));
    }
}

fn sections(
    document: &Map<String, Value>,
    key: &str,
    violations: &mut Vec<Violation>,
) -> Vec<(String, Value)> {
    let Some(value) = document.get(key) else { return Vec::new() };
    let Value::Object(table) = value else {
        violations.push(Violation::new(key, "must be a table of sections"));
        return Vec::new();
    };
    for (name, section) in table {
        if !is_name(name) {
            let wanted = "is no name: 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter";
            violations.push(Violation::new(format!("{key}.{name}"), wanted));
        }
        if !section.is_object() {
            violations.push(Violation::new(format!("{key}.{name}"), "must be a table"));
        }
    }
    table
        .iter()
        .filter(|(_, section)| section.is_object())
        .map(|(name, table)| (name.clone(), table.clone()))
        .collect()
}

/// Reads `[jobs.NAME]`: kind, after and fresh are the job's; the rest is its spec.
fn read_job(name: &str, mut table: Value, violations: &mut Vec<Violation>) -> Option<JobRequest> {
    let prefix = format!("jobs.{name}");
    let fields = table.as_object_mut()?;
    let kind_value = fields.remove("kind").unwrap_or(Value::Null);
    let kind_text = kind_value.as_str().unwrap_or_default();
    let after = fields.remove("after").unwrap_or_else(|| Value::Array(Vec::new()));
    let fresh = fields.remove("fresh").unwrap_or(Value::Bool(false));
    let Some(kind) = spec::kind_from_name(kind_text) else {
        let names: Vec<&str> = spec::kinds().map(|(_, name)| name).collect();
        let hint = suggestion(kind_text, names.iter().copied());
        violations.push(Violation::new(
            format!("{prefix}.kind"),
            format!("must be one of {}{hint}", names.join(", ")),
        ));
        return None;
    };
    let after: Option<Vec<String>> = after
        .as_array()
        .and_then(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
    if after.is_none() {
        violations.push(Violation::new(format!("{prefix}.after"), "must be a list of job names"));
    }
    if fresh.as_bool().is_none() {
        violations.push(Violation::new(format!("{prefix}.fresh"), "must be true or false"));
    }
    let read = spec::from_json(kind, &table).and_then(|spec| spec::resolve(&spec).map(|_| spec));
    match read {
        Ok(spec) => Some(JobRequest {
            name: name.to_owned(),
            spec: Some(spec),
            after: after.unwrap_or_default(),
            fresh: fresh.as_bool().unwrap_or_default(),
        }),
        Err(faults) => {
            let within = faults
                .into_iter()
                .map(|fault| Violation::new(format!("{prefix}.{}", fault.field), fault.description));
            violations.extend(within);
            None
        }
    }
}

/// Every `@name` must be an import or a job of the file. (Cycles are the coordinator's to find: it checks
/// every submission.)
fn check_references(imports: &[(String, Value)], jobs: &[JobRequest], violations: &mut Vec<Violation>) {
    let known: Vec<&str> = imports
        .iter()
        .map(|(name, _)| name.as_str())
        .chain(jobs.iter().map(|job| job.name.as_str()))
        .collect();
    for (name, _) in imports.iter().filter(|(name, _)| jobs.iter().any(|job| job.name == *name)) {
        violations.push(Violation::new(format!("imports.{name}"), "has the name of a job; names are shared"));
    }
    if !violations.is_empty() {
        return; // a job that could not be read is not known: its references would be reported as faults
    }
    for job in jobs {
        for input in job.spec.as_ref().map(spec::inputs).unwrap_or_default() {
            if let Some(name) = input.value.strip_prefix('@').filter(|name| !known.contains(name)) {
                let hint = suggestion(name, known.iter().copied());
                let field = format!("jobs.{}.{}", job.name, input.path);
                violations.push(Violation::new(
                    field,
                    format!("names @{name}, which is no import and no job{hint}"),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        name = "demo"
        [variables]
        tiles = "somewhere"
        epochs = 3
        [imports.source]
        kind = "folder"
        path = "${tiles}/train"
        [jobs.baseline]
        kind = "train_encoder"
        dataset = "@source"
        method = "unprivileged"
        loss = "vicreg"
        epochs = "${epochs}"
    "#;

    fn set(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn variables_keep_their_type_and_sets_replace_them() {
        let sets = [set("tiles", "/data"), set("epochs", "7"), set("jobs.baseline.seed", "5")];
        let file = parse(FILE, &sets).unwrap();
        assert_eq!(file.imports[0].1["path"], "/data/train");
        let spec = spec::to_json(file.jobs[0].spec.as_ref().unwrap());
        assert_eq!((&spec["epochs"], &spec["seed"]), (&Value::from(7), &Value::from(5)));
    }

    #[test]
    fn faults_of_the_whole_file_are_reported_together() {
        let text = FILE.replace("method", "metod").replace("[imports", "[import") + "epohcs = 1\n";
        let faults = parse(&text, &[set("tile", "x")]).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        for expected in ["--set tile", "import", "jobs.baseline.metod", "jobs.baseline.epohcs"] {
            assert!(fields.contains(&expected), "{fields:?}");
        }
    }

    #[test]
    fn a_reference_to_nothing_is_a_fault_with_a_suggestion() {
        let faults = parse(&FILE.replace("@source", "@sorce"), &[]).unwrap_err();
        assert_eq!(faults[0].field, "jobs.baseline.dataset");
        assert!(faults[0].description.contains("did you mean \"source\"?"), "{faults:?}");
    }

    #[test]
    fn syntax_errors_name_the_line() {
        let faults = parse("name = \"x\"\n[jobs.a\n", &[]).unwrap_err();
        assert_eq!(faults[0].field, "line 2");
    }
}
