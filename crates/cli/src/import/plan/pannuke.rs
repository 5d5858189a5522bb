//! PanNuke: one sample for every row of every fold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::super::description::{Content, PannukeImport};
use super::super::error::ImportError;
use super::super::key::sample_key;
use super::super::pannuke::Fold;
use super::super::source::Source;
use super::{Names, PRIMARY, Plan, Planned, PlannedLayer};

/// Splits of the folds when none are given.
const SPLITS: [(u32, &str); 3] = [(1, "train"), (2, "valid"), (3, "test")];

/// Plans an import of PanNuke's folds.
///
/// # Errors
/// No fold, a fold that a given split does not cover, or an array that cannot be used.
pub fn plan_pannuke(import: &PannukeImport) -> Result<Plan, ImportError> {
    let splits = splits(import)?;
    let folds = Fold::find(&import.path)?;
    let numbers: Vec<u32> = folds.iter().map(|fold| fold.number).collect();
    if let Some(missing) = splits.keys().find(|number| !import.folds.is_empty() && !numbers.contains(number))
    {
        let text = format!("folds: there is no fold {missing} in {}", import.path.display());
        return Err(ImportError::Invalid(text));
    }
    let layer = |name: &str, content| PlannedLayer { name: name.into(), content, root: import.path.clone() };
    // In the order in which a fold reads a row.
    let layers = vec![
        layer(PRIMARY, Content::Image),
        layer("instances", Content::Instance),
        layer("types", Content::Label),
    ];
    let mut plan = Plan::new(layers, 0);
    let mut names = Names::default();
    for fold in folds {
        let Some(split) = splits.get(&fold.number) else {
            plan.ignored += fold.rows() as u64;
            continue;
        };
        let (fold, split) = (Arc::new(fold), names.get(split));
        for row in 0..fold.rows() {
            let label = fold.tissue(row).map(|tissue| names.get(tissue));
            let key = sample_key(&format!("fold{}/{row:05}.npy", fold.number));
            let source = Source::Row { fold: Arc::clone(&fold), row };
            plan.samples.push(Planned { key, source, label, split: Some(Arc::clone(&split)), group: None });
        }
    }
    if plan.samples.is_empty() {
        return Err(nothing_chosen(&import.path));
    }
    Ok(plan)
}

fn splits(import: &PannukeImport) -> Result<BTreeMap<u32, String>, ImportError> {
    if import.folds.is_empty() {
        return Ok(SPLITS.map(|(number, split)| (number, split.to_owned())).into());
    }
    import
        .folds
        .iter()
        .map(|(number, split)| match number.parse() {
            Ok(number) => Ok((number, split.clone())),
            Err(_) => Err(ImportError::Invalid(format!("folds: {number:?} is no number of a fold"))),
        })
        .collect()
}

fn nothing_chosen(folder: &Path) -> ImportError {
    ImportError::Invalid(format!("no fold in {} holds a tile of a chosen split", folder.display()))
}
