//! Labelled folders: `[train|valid|test/]LABEL/...`.

use std::collections::BTreeSet;

use counterstain_artifact::Skipped;

use super::super::description::FolderImport;
use super::super::error::ImportError;
use super::super::key::sample_key;
use super::super::source::Source;
use super::super::walk::{Found, walk};
use super::{
    Names, Plan, Planned, PlannedLayer, first_component, group_of, nothing_to_import, outer_level_is_split,
    read_groups, require_groups, split_of,
};

/// Plans an import of labelled folders.
///
/// # Errors
/// An unreadable folder or groups file, no image at all, or a class folder without an image.
pub fn plan_folder(import: &FolderImport) -> Result<Plan, ImportError> {
    let found = walk(&import.path)?;
    if found.images.is_empty() {
        return Err(nothing_to_import(&import.path));
    }
    let has_splits = outer_level_is_split(&found.images);
    reject_empty_classes(&found, has_splits)?;
    let groups = read_groups(import.groups.as_ref(), &import.path)?;

    let default_split = import.split.as_deref().unwrap_or("train");
    let mut names = Names::default();
    let mut plan = Plan::new(vec![PlannedLayer::primary(&import.path)], found.ignored);
    for image in &found.images {
        let (split, inner) = match first_component(image) {
            Some((outer, inner)) if has_splits => (split_of(outer).unwrap_or(default_split), inner),
            _ => (default_split, image.as_str()),
        };
        let label = first_component(inner).map(|(label, _)| names.get(label));
        plan.samples.push(Planned {
            key: sample_key(image),
            source: Source::Files(vec![image.clone()]),
            label,
            split: Some(names.get(split)),
            group: group_of(groups.as_ref(), &import.path.join(image)),
        });
    }
    require_groups(&plan, import.groups.as_ref(), &import.path)?;
    reject_unlabelled_among_labelled(&mut plan);
    Ok(plan)
}

/// A class folder without any image below it is a mistake that would only show as a missing class later.
fn reject_empty_classes(found: &Found, has_splits: bool) -> Result<(), ImportError> {
    let depth = if has_splits { 2 } else { 1 };
    let prefix = |path: &str| path.split('/').take(depth).collect::<Vec<_>>().join("/");
    let filled: BTreeSet<String> = found.images.iter().map(|image| prefix(image)).collect();
    let empty: Vec<String> = found
        .folders
        .iter()
        .filter(|folder| {
            let level = folder.split('/').count();
            // An empty split folder is as much a mistake as an empty class in it.
            level == depth
                || (level < depth && !filled.iter().any(|path| path.starts_with(&format!("{folder}/"))))
        })
        .filter(|folder| {
            !filled.contains(*folder) && !filled.iter().any(|path| path.starts_with(&format!("{folder}/")))
        })
        .cloned()
        .collect();
    if empty.is_empty() { Ok(()) } else { Err(ImportError::EmptyClasses(empty)) }
}

fn reject_unlabelled_among_labelled(plan: &mut Plan) {
    if plan.samples.iter().all(|sample| sample.label.is_none()) {
        return;
    }
    let (labelled, unlabelled): (Vec<_>, Vec<_>) =
        plan.samples.drain(..).partition(|sample| sample.label.is_some());
    plan.samples = labelled;
    plan.bad.extend(unlabelled.into_iter().map(|sample| Skipped {
        path: sample.source.shown(),
        reason: "lies in no class folder, while other tiles do".to_owned(),
    }));
}
