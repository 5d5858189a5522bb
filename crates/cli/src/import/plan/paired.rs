//! Pairs: files with the same stem in the primary folder and in every layer's folder.

use std::collections::HashMap;

use counterstain_artifact::Skipped;

use super::super::description::{LayerSource, PairedImport};
use super::super::error::ImportError;
use super::super::key::{sample_key, stem};
use super::super::source::Source;
use super::super::walk::walk;
use super::{
    Names, PRIMARY, Plan, Planned, PlannedLayer, check_layer_name, first_component, group_of,
    nothing_to_import, outer_level_is_split, read_groups, require_groups, split_of,
};

/// Plans an import of pairs.
///
/// # Errors
/// An unreadable folder or groups file, an invalid layer name, or no image at all.
pub fn plan_paired(import: &PairedImport) -> Result<Plan, ImportError> {
    if import.layers.is_empty() {
        return Err(ImportError::Invalid(
            "a paired import needs at least one layer beside the primary images".into(),
        ));
    }
    for name in import.layers.keys() {
        check_layer_name(name)?;
        if name == PRIMARY {
            let text = format!("a layer cannot be named {PRIMARY:?}: that is the primary images' name");
            return Err(ImportError::Invalid(text));
        }
    }
    let primaries = walk(&import.primary)?;
    if primaries.images.is_empty() {
        return Err(nothing_to_import(&import.primary));
    }
    let mut plan = Plan::new(vec![PlannedLayer::primary(&import.primary)], primaries.ignored);
    let mut partners = Vec::new();
    for (name, source) in &import.layers {
        partners.push(LayerFiles::find(name, source, &mut plan)?);
        let (name, root) = (name.clone(), source.path.clone());
        plan.layers.push(PlannedLayer { name, content: source.content, root });
    }
    let groups = read_groups(import.groups.as_ref(), &import.primary)?;
    let has_splits = outer_level_is_split(&primaries.images);
    let default_split = import.split.as_deref().unwrap_or("train");
    let mut names = Names::default();
    for image in &primaries.images {
        let mut files = vec![image.clone()];
        let mut missing = Vec::new();
        for layer in &mut partners {
            match layer.take(stem(image)) {
                Some(file) => files.push(file),
                None => missing.push(layer.name.as_str()),
            }
        }
        if !missing.is_empty() {
            let layers = missing.join(", ");
            plan.bad.push(Skipped {
                path: image.clone(),
                reason: format!("no file with this stem in layer {layers}"),
            });
            continue;
        }
        let split = first_component(image).filter(|_| has_splits).and_then(|(outer, _)| split_of(outer));
        plan.samples.push(Planned {
            key: sample_key(image),
            source: Source::Files(files),
            label: None,
            split: Some(names.get(split.unwrap_or(default_split))),
            group: group_of(groups.as_ref(), &import.primary.join(image)),
        });
    }
    for layer in partners {
        layer.report_left_over(&mut plan.bad);
    }
    require_groups(&plan, import.groups.as_ref(), &import.primary)?;
    Ok(plan)
}

/// The files of one layer by stem, until a primary image takes them.
struct LayerFiles {
    name: String,
    by_stem: HashMap<String, (String, bool)>,
}

impl LayerFiles {
    fn find(name: &str, source: &LayerSource, plan: &mut Plan) -> Result<Self, ImportError> {
        let found = walk(&source.path)?;
        plan.ignored += found.ignored;
        let mut by_stem: HashMap<String, (String, bool)> = HashMap::with_capacity(found.images.len());
        for image in found.images {
            let lossy = image.to_ascii_lowercase();
            if source.content.must_be_exact() && (lossy.ends_with(".jpg") || lossy.ends_with(".jpeg")) {
                let reason = "is a JPEG file, which cannot hold exact labels; give PNG or TIFF".to_owned();
                plan.bad.push(Skipped { path: format!("{name}/{image}"), reason });
                // The stem is taken all the same, so that its primary image is not reported as well.
                by_stem.entry(stem(&image).to_owned()).or_insert((image, false));
                continue;
            }
            if let Some((other, _)) = by_stem.get(stem(&image)) {
                let reason = format!("has the same stem as {other}");
                plan.bad.push(Skipped { path: format!("{name}/{image}"), reason });
                continue;
            }
            by_stem.insert(stem(&image).to_owned(), (image, false));
        }
        Ok(Self { name: name.to_owned(), by_stem })
    }

    fn take(&mut self, stem: &str) -> Option<String> {
        let (file, taken) = self.by_stem.get_mut(stem)?;
        *taken = true;
        Some(file.clone())
    }

    fn report_left_over(self, bad: &mut Vec<Skipped>) {
        let mut left: Vec<String> =
            self.by_stem.into_values().filter(|(_, taken)| !taken).map(|(file, _)| file).collect();
        left.sort_unstable();
        bad.extend(left.into_iter().map(|file| Skipped {
            path: format!("{}/{file}", self.name),
            reason: "no primary image has this stem".to_owned(),
        }));
    }
}
