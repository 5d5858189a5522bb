//! What a run found: one line per check, counts per file and in total.

use serde::Serialize;

use crate::check::Verdict;

/// The verdict on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    /// Compared and too far apart, an error, or an input that nobody read.
    Fail,
    /// Nobody computed it: counts as failed.
    NotCompared,
    /// Stored for the reader only.
    Informative,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub file: String,
    pub case: String,
    /// The tensor or quantity.
    pub what: String,
    /// The largest error in the check's own measure; absent where nothing was
    /// compared or it is not finite.
    pub error: Option<f64>,
    pub tolerance: Option<String>,
    pub status: Status,
    pub detail: Option<String>,
}

impl Line {
    fn new(what: &str, status: Status) -> Self {
        Self {
            file: String::new(),
            case: String::new(),
            what: what.to_owned(),
            error: None,
            tolerance: None,
            status,
            detail: None,
        }
    }

    pub(crate) fn verdict(what: &str, verdict: Verdict) -> Self {
        Self {
            error: verdict.error.is_finite().then_some(verdict.error),
            tolerance: Some(verdict.tolerance),
            detail: verdict.detail,
            ..Self::new(what, if verdict.passed { Status::Ok } else { Status::Fail })
        }
    }

    pub(crate) fn agreement(what: &str) -> Self {
        Self { error: Some(0.0), tolerance: Some("exact".to_owned()), ..Self::new(what, Status::Ok) }
    }

    pub(crate) fn failure(what: &str, detail: String) -> Self {
        Self { detail: Some(detail), ..Self::new(what, Status::Fail) }
    }

    pub(crate) fn informative(what: &str) -> Self {
        Self::new(what, Status::Informative)
    }

    pub(crate) fn of(self, file: &str, case: &str) -> Self {
        Self { file: file.to_owned(), case: case.to_owned(), ..self }
    }

    /// Whether the line makes the run fail.
    #[must_use]
    pub fn failed(&self) -> bool {
        matches!(self.status, Status::Fail | Status::NotCompared)
    }

    /// The line as printed: file, what, largest error, tolerance, verdict.
    #[must_use]
    pub fn text(&self) -> String {
        let what = match self.case.as_str() {
            "" => self.what.clone(),
            case => format!("{case}: {}", self.what),
        };
        let error = self.error.map_or_else(|| "-".to_owned(), |error| format!("{error:.3e}"));
        let tolerance = self.tolerance.as_deref().unwrap_or("-");
        let verdict = match self.status {
            Status::Ok => "ok",
            Status::Fail | Status::NotCompared => "FAIL",
            Status::Informative => "informative",
        };
        let detail = match &self.detail {
            Some(detail) if self.failed() => format!("  ({detail})"),
            _ => String::new(),
        };
        format!("{:<30} {what:<58} {error:>10}  {tolerance:<28} {verdict}{detail}", self.file)
    }
}

/// How many lines there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lines on which something was compared.
    pub compared: usize,
    pub passed: usize,
    /// All failures, those not compared included.
    pub failed: usize,
    pub informative: usize,
    pub not_compared: usize,
}

impl Counts {
    /// Counts `lines`.
    #[must_use]
    pub fn of<'l>(lines: impl IntoIterator<Item = &'l Line>) -> Self {
        let mut counts = Self::default();
        for line in lines {
            counts.compared += usize::from(line.tolerance.is_some());
            counts.passed += usize::from(line.status == Status::Ok);
            counts.failed += usize::from(line.failed());
            counts.informative += usize::from(line.status == Status::Informative);
            counts.not_compared += usize::from(line.status == Status::NotCompared);
        }
        counts
    }

    /// The counts in words.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { compared, passed, failed, informative, not_compared } = self;
        format!(
            "{compared} compared, {passed} passed, {failed} failed, {informative} informative, {not_compared} not compared"
        )
    }
}

/// The lines of one file of the folder.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    pub file: String,
    /// Whether the project has a module for it.
    pub implemented: bool,
    pub counts: Counts,
    pub lines: Vec<Line>,
}

/// All files.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub files: Vec<FileReport>,
    pub total: Counts,
}

impl Report {
    /// Whether nothing failed and something was compared at all.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.total.failed == 0 && self.total.compared > 0
    }
}
