//! A JSON file of the folder that has no tensors: named entries, each of which
//! the code under test must confirm (for instance the list of variable names of
//! every published network).

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

use crate::folder::Folder;
use crate::report::{Line, Status};

/// A document while its module runs.
pub struct Document {
    name: String,
    entries: Map<String, Value>,
    checked: BTreeSet<String>,
    lines: Vec<Line>,
}

impl Document {
    pub(crate) fn open(folder: &Folder, name: &str) -> anyhow::Result<Self> {
        let bytes = folder.read(&format!("{name}.json"))?;
        let entries =
            serde_json::from_slice(&bytes).with_context(|| format!("{name}.json is not a JSON object"))?;
        Ok(Self { name: name.to_owned(), entries, checked: BTreeSet::new(), lines: Vec::new() })
    }

    /// The names of the entries, in the file's order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// The value of the entry `name`.
    pub fn entry(&self, name: &str) -> anyhow::Result<&Value> {
        self.entries.get(name).with_context(|| format!("{}.json has no entry {name}", self.name))
    }

    /// Hands in the finding on an entry: `Ok` when the project's code agrees with
    /// it, otherwise what differs.
    pub fn record(&mut self, name: &str, finding: Result<(), String>) -> anyhow::Result<()> {
        ensure!(self.entries.contains_key(name), "{}.json has no entry {name}", self.name);
        ensure!(self.checked.insert(name.to_owned()), "{name} was already recorded");
        let line = match finding {
            Ok(()) => Line::agreement(name),
            Err(difference) => Line::failure(name, difference),
        };
        self.lines.push(line.of(&self.name, ""));
        Ok(())
    }

    pub(crate) fn finish(mut self, ended: anyhow::Result<()>) -> Vec<Line> {
        if let Err(error) = ended {
            self.lines.push(Line::failure("document", format!("{error:#}")).of(&self.name, ""));
        }
        for name in self.entries.keys().filter(|name| !self.checked.contains(*name)) {
            let line = Line::failure(name, "not checked".to_owned()).of(&self.name, "");
            self.lines.push(Line { status: Status::NotCompared, ..line });
        }
        self.lines
    }
}
