//! Runs the registered modules over a folder and collects the report.

use std::collections::BTreeSet;

use crate::case::Case;
use crate::description::CaseDescription;
use crate::document::Document;
use crate::folder::{Folder, VectorFile};
use crate::report::{Counts, FileReport, Line, Report, Status};

/// What runs the project's code on an entry of the index.
#[derive(Clone, Copy)]
pub enum Implementation {
    /// For `NAME.json` + `NAME.safetensors`: called once for every case.
    Cases(fn(&mut Case) -> anyhow::Result<()>),
    /// For a `NAME.json` without tensors: called once.
    Document(fn(&mut Document) -> anyhow::Result<()>),
}

/// Implementations by file name without extension.
pub type Registry = [(&'static str, Implementation)];

/// Runs everything the index lists, or only the named files (without extension,
/// or with). `finished` is called with each file's report as soon as it exists.
pub fn run(
    folder: &Folder,
    registry: &Registry,
    only: &[String],
    mut finished: impl FnMut(&FileReport),
) -> Report {
    let wanted: BTreeSet<&str> = only.iter().map(|name| stem(name)).collect();
    let mut files = Vec::new();
    let mut finish = |file: &str, implemented: bool, lines: Vec<Line>| {
        let report = FileReport { file: file.to_owned(), implemented, counts: Counts::of(&lines), lines };
        finished(&report);
        files.push(report);
    };
    let names: Vec<&str> = folder.names().filter(|name| !name.contains('/')).map(stem).collect();
    let names: BTreeSet<&str> = names.into_iter().collect();
    for name in names.iter().copied().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        let implementation = registry.iter().find(|(known, _)| *known == name).map(|(_, run)| *run);
        finish(name, implementation.is_some(), run_file(folder, name, implementation));
    }
    for missing in wanted.iter().filter(|name| !names.contains(**name)) {
        finish(missing, false, vec![Line::failure("file", "not in index.json".to_owned()).of(missing, "")]);
    }
    // What lies in subfolders is read by the modules; what no module read has no
    // implementation. A partial run cannot tell.
    if wanted.is_empty() {
        for unread in
            folder.names().filter(|name| !folder.was_read(name)).map(str::to_owned).collect::<Vec<_>>()
        {
            let detail = "listed in index.json but read by no implementation".to_owned();
            finish(&unread, false, vec![Line::failure("file", detail).of(&unread, "")]);
        }
    }
    let total = Counts::of(files.iter().flat_map(|file| &file.lines));
    Report { files, total }
}

fn stem(name: &str) -> &str {
    name.strip_suffix(".json").or_else(|| name.strip_suffix(".safetensors")).unwrap_or(name)
}

fn run_file(folder: &Folder, name: &str, implementation: Option<Implementation>) -> Vec<Line> {
    let failure = |detail: String| vec![Line::failure("file", detail).of(name, "")];
    let has_tensors = folder.lists(&format!("{name}.safetensors"));
    match implementation {
        None => {
            let mut lines = failure("no implementation for this file".to_owned());
            if has_tensors {
                match folder.vector_file(name) {
                    Ok(file) => lines.extend(not_compared(&file)),
                    Err(error) => lines.extend(failure(format!("{error:#}"))),
                }
            } else if let Err(error) = folder.read(&format!("{name}.json")) {
                lines.extend(failure(format!("{error:#}")));
            }
            lines
        }
        Some(Implementation::Cases(run)) => match folder.vector_file(name) {
            Ok(file) => {
                let cases = &file.description.cases;
                let repeated = cases
                    .iter()
                    .enumerate()
                    .filter(|(at, case)| cases[..*at].iter().any(|earlier| earlier.name == case.name));
                let mut lines: Vec<Line> = repeated
                    .map(|(_, case)| {
                        Line::failure("case", "two cases have this name".to_owned()).of(name, &case.name)
                    })
                    .collect();
                lines.extend(cases.iter().flat_map(|case| run_case(folder, &file, case, run)));
                lines
            }
            Err(error) => failure(format!("{error:#}")),
        },
        Some(Implementation::Document(run)) => {
            if has_tensors {
                return failure("has tensors, but its implementation expects none".to_owned());
            }
            match Document::open(folder, name) {
                Ok(mut document) => {
                    let ended = caught(|| run(&mut document));
                    document.finish(ended)
                }
                Err(error) => failure(format!("{error:#}")),
            }
        }
    }
}

fn not_compared(file: &VectorFile) -> Vec<Line> {
    let mut lines = Vec::new();
    for case in &file.description.cases {
        let names = case.tensors.iter().filter(|name| !case.given.contains(name));
        for name in names {
            let Some(entry) = file.description.tensors.get(name) else { continue };
            if entry.role.is_computed() {
                let line = Line::failure(name, "not computed".to_owned()).of(&file.name, &case.name);
                lines.push(Line { status: Status::NotCompared, ..line });
            }
        }
    }
    lines
}

fn run_case(
    folder: &Folder,
    file: &VectorFile,
    description: &CaseDescription,
    run: fn(&mut Case) -> anyhow::Result<()>,
) -> Vec<Line> {
    let mut case = Case::new(folder, file, description);
    let ended = caught(|| run(&mut case));
    case.finish(ended)
}

/// A panic (tch panics on libtorch errors) fails the case, not the run.
fn caught(run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    match counterstain_torch::guard(|| Ok::<_, counterstain_torch::Error>(run())) {
        Ok(ended) => ended,
        Err(panicked) => Err(panicked.into()),
    }
}
