//! Strips: images that hold one panel per layer, side by side.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::description::{Content, StripsImport};
use super::super::error::ImportError;
use super::super::key::sample_key;
use super::super::source::{Panels, Source};
use super::super::walk::walk;
use super::{
    Names, Plan, Planned, PlannedLayer, check_layer_name, first_component, group_of, nothing_to_import,
    outer_level_is_split, read_groups, require_groups, split_of,
};

/// Word for a panel that no layer takes.
const LEFT_OUT: &str = "-";

/// Plans an import of strips.
///
/// # Errors
/// Panels that name fewer than two layers, an invalid name, an unreadable folder or groups file, or no image.
pub fn plan_strips(import: &StripsImport) -> Result<Plan, ImportError> {
    let (panels, layers) = panels_and_layers(import)?;
    let found = walk(&import.path)?;
    if found.images.is_empty() {
        return Err(nothing_to_import(&import.path));
    }
    let groups = read_groups(import.groups.as_ref(), &import.path)?;
    let has_splits = outer_level_is_split(&found.images);
    let default_split = import.split.as_deref().unwrap_or("train");
    let mut names = Names::default();
    let mut plan = Plan::new(layers, found.ignored);
    for image in &found.images {
        let split = first_component(image).filter(|_| has_splits).and_then(|(outer, _)| split_of(outer));
        plan.samples.push(Planned {
            key: sample_key(image),
            source: Source::Strip { file: image.clone(), panels: Arc::clone(&panels) },
            label: None,
            split: Some(names.get(split.unwrap_or(default_split))),
            group: group_of(groups.as_ref(), &import.path.join(image)),
        });
    }
    require_groups(&plan, import.groups.as_ref(), &import.path)?;
    Ok(plan)
}

fn panels_and_layers(import: &StripsImport) -> Result<(Arc<Panels>, Vec<PlannedLayer>), ImportError> {
    let mut panels = Panels { count: import.panels.len(), places: Vec::new() };
    let mut layers = Vec::new();
    let mut known = BTreeSet::new();
    for (place, name) in import.panels.iter().enumerate().filter(|(_, name)| *name != LEFT_OUT) {
        check_layer_name(name)?;
        if !known.insert(name) {
            return Err(ImportError::Invalid(format!("panels: the layer {name:?} is named twice")));
        }
        panels.places.push(place);
        layers.push(PlannedLayer { name: name.clone(), content: Content::Image, root: import.path.clone() });
    }
    if layers.len() < 2 {
        let text = "panels must name at least two layers, from left to right, such as ihc,-,dapi; '-' leaves \
                    a panel out";
        return Err(ImportError::Invalid(text.to_owned()));
    }
    Ok((Arc::new(panels), layers))
}
