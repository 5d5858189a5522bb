//! Camelyon17 as WILDS distributes it (Koh et al. 2021; the data are Bándi et al. 2019).
//!
//! Invariants: the split is WILDS's official one: centre 1 validates, centre 2 tests, the other three are
//! divided into training and in-distribution validation tiles by the table's own column.

use std::collections::HashMap;
use std::path::Path;

use counterstain_artifact::Skipped;

use super::super::description::Camelyon17Import;
use super::super::error::ImportError;
use super::super::key::sample_key;
use super::super::source::Source;
use super::{Names, Plan, Planned, PlannedLayer};

/// The table's name.
const TABLE: &str = "metadata.csv";

/// Plans an import of Camelyon17.
///
/// # Errors
/// A table that is missing, lacks a column or holds an impossible value.
pub fn plan_camelyon17(import: &Camelyon17Import) -> Result<Plan, ImportError> {
    let table = import.path.join(TABLE);
    let invalid = |text: String| ImportError::Invalid(format!("{}{text}", table.display()));
    let mut reader = csv::Reader::from_path(&table).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(source) => ImportError::read(&table, source),
        other => invalid(format!(": {other:?}")),
    })?;
    let headers = reader.headers().map_err(|error| invalid(format!(": {error}")))?;
    let columns = Columns::find(headers).map_err(|text| invalid(format!(": {text}")))?;

    let mut names = Names::default();
    let mut plan = Plan::new(vec![PlannedLayer::primary(&import.path)], 0);
    for record in reader.into_records() {
        let record = record.map_err(|error| invalid(format!(": {error}")))?;
        let line = record.position().map_or(0, csv::Position::line);
        let row = columns.row(&record).map_err(|text| invalid(format!(", line {line}: {text}")))?;
        let file = row.file();
        if !import.path.join(&file).is_file() {
            let reason = format!("is named in line {line} of {TABLE}, but there is no such file");
            plan.bad.push(Skipped { path: file, reason });
            continue;
        }
        plan.samples.push(Planned {
            key: sample_key(&file),
            source: Source::Files(vec![file]),
            label: Some(names.get(row.label)),
            split: Some(names.get(row.split)),
            group: Some(format!("centre_{}/patient_{}", row.centre, row.patient)),
        });
    }
    if plan.samples.is_empty() && plan.bad.is_empty() {
        return Err(invalid(" names no tile".to_owned()));
    }
    report_unlisted(&import.path, &mut plan)?;
    Ok(plan)
}

/// Tiles that the table does not name are counted as passed over.
fn report_unlisted(folder: &Path, plan: &mut Plan) -> Result<(), ImportError> {
    let patches = folder.join("patches");
    if patches.is_dir() {
        let found = super::super::walk::walk(&patches)?;
        plan.ignored = (found.images.len() as u64).saturating_sub(plan.samples.len() as u64);
    }
    Ok(())
}

/// Where the columns are.
struct Columns(HashMap<&'static str, usize>);

impl Columns {
    const NAMES: [&'static str; 7] = ["patient", "node", "x_coord", "y_coord", "tumor", "center", "split"];

    fn find(headers: &csv::StringRecord) -> Result<Self, String> {
        let mut places = HashMap::new();
        for name in Self::NAMES {
            let place = headers.iter().position(|header| header.trim() == name).ok_or_else(|| {
                format!("has no column {name:?}; WILDS's table has {}", Self::NAMES.join(", "))
            })?;
            places.insert(name, place);
        }
        Ok(Self(places))
    }

    fn row(&self, record: &csv::StringRecord) -> Result<Row, String> {
        let text = |name: &str| record.get(self.0[name]).unwrap_or_default().trim();
        let number = |name: &str| {
            text(name)
                .parse::<u32>()
                .map_err(|_| format!("{name} must be a whole number, is {:?}", text(name)))
        };
        let label = match number("tumor")? {
            0 => "normal",
            1 => "tumor",
            other => return Err(format!("tumor must be 0 or 1, is {other}")),
        };
        let centre = number("center")?;
        let split = match (centre, number("split")?) {
            (1, _) => "valid",
            (2, _) => "test",
            (0 | 3 | 4, 0) => "train",
            (0 | 3 | 4, 1) => "id_valid",
            (0 | 3 | 4, other) => return Err(format!("split must be 0 or 1, is {other}")),
            (other, _) => return Err(format!("center must be 0 to 4, is {other}")),
        };
        let (patient, node) = (number("patient")?, number("node")?);
        let (x, y) = (number("x_coord")?, number("y_coord")?);
        // Tables keep the leading zeros of a patient's number or lose them; file names have them.
        Ok(Row { patient: format!("{patient:03}"), node, x, y, label, split, centre })
    }
}

struct Row {
    patient: String,
    node: u32,
    x: u32,
    y: u32,
    label: &'static str,
    split: &'static str,
    centre: u32,
}

impl Row {
    fn file(&self) -> String {
        let Self { patient, node, x, y, .. } = self;
        format!("patches/patient_{patient}_node_{node}/patch_patient_{patient}_node_{node}_x_{x}_y_{y}.png")
    }
}
