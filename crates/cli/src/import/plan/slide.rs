//! Whole-slide images: one sample for every tile with enough tissue.

use std::path::Path;
use std::sync::Arc;

use counterstain_artifact::Skipped;

use super::super::description::SlideImport;
use super::super::error::ImportError;
use super::super::key::sample_key;
use super::super::slides::Slide;
use super::super::source::Source;
use super::{Names, Plan, Planned, PlannedLayer, group_of, read_groups, require_groups};

/// Extensions of the formats that OpenSlide reads.
const EXTENSIONS: [&str; 11] =
    ["svs", "tif", "tiff", "ndpi", "mrxs", "scn", "vms", "vmu", "bif", "svslide", "dcm"];

/// How much the resolutions of one dataset's slides may differ, as a factor: 0.2499 and 0.25 microns are one.
const SAME_RESOLUTION: f64 = 1.05;

/// Plans an import of one slide, or of the slides in a folder.
///
/// # Errors
/// A folder without slides, a slide that OpenSlide refuses (among the bad files), or slides of which a level is asked
/// for that differs in resolution.
pub fn plan_slides(import: &SlideImport) -> Result<Plan, ImportError> {
    let files = slides(&import.path)?;
    let root = if import.path.is_dir() { import.path.clone() } else { parent(&import.path) };
    let groups = read_groups(import.groups.as_ref(), &root)?;
    let mut plan = Plan::new(vec![PlannedLayer::primary(&root)], 0);
    let mut resolutions = Vec::new();
    let mut names = Names::default();
    let split = names.get(import.split.as_deref().unwrap_or("train"));
    for name in files {
        let path = root.join(&name);
        let found = Slide::open(&path, &name, import)
            .and_then(|slide| Ok((slide.places(import.overlap, import.tissue)?, slide)));
        let (places, slide) = match found {
            Ok(found) => found,
            Err(reason) => {
                plan.bad.push(Skipped { path: name, reason });
                continue;
            }
        };
        if places.is_empty() {
            let reason = format!("has no tile with a tissue share of {}; lower tissue", import.tissue);
            plan.bad.push(Skipped { path: name, reason });
            continue;
        }
        resolutions.push((name.clone(), slide.tile_microns_per_pixel()));
        let (slide, key) = (Arc::new(slide), sample_key(&name));
        let group = group_of(groups.as_ref(), &path).unwrap_or(name);
        plan.samples.extend(places.into_iter().map(|place| Planned {
            key: format!("{key}/y{:06}_x{:06}", place.1, place.0),
            source: Source::Region { slide: Arc::clone(&slide), place },
            label: None,
            split: Some(Arc::clone(&split)),
            group: Some(group.clone()),
        }));
    }
    require_groups(&plan, import.groups.as_ref(), &root)?;
    plan.microns_per_pixel = common_resolution(&resolutions)?;
    Ok(plan)
}

/// The resolution of all slides; none when one of them does not say its own.
fn common_resolution(resolutions: &[(String, Option<f64>)]) -> Result<Option<f64>, ImportError> {
    let mut known = resolutions.iter().filter_map(|(name, size)| Some((name, (*size)?)));
    let Some((first_name, first)) = known.next() else { return Ok(None) };
    let is_other = |&(_, size): &(&String, f64)| first.max(size) > first.min(size) * SAME_RESOLUTION;
    if let Some((name, size)) = known.find(is_other) {
        return Err(ImportError::Invalid(format!(
            "the tiles would differ in resolution: {first:.4} microns per pixel in {first_name}, {size:.4} in {name}; \
             give microns_per_pixel instead of a level, or import these slides apart"
        )));
    }
    Ok(resolutions.iter().all(|(_, size)| size.is_some()).then_some(first))
}

fn parent(path: &Path) -> std::path::PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// Names of the slides, sorted.
fn slides(path: &Path) -> Result<Vec<String>, ImportError> {
    let name_of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let metadata = std::fs::metadata(path).map_err(|source| ImportError::read(path, source))?;
    if metadata.is_file() {
        return Ok(vec![name_of(path)]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|source| ImportError::read(path, source))? {
        let file = entry.map_err(|source| ImportError::read(path, source))?.path();
        let extension = file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if file.is_file() && EXTENSIONS.contains(&extension.as_str()) {
            found.push(name_of(&file));
        }
    }
    found.sort_unstable();
    if found.is_empty() {
        let text = format!(
            "there is no slide in {}; expected files ending in {}",
            path.display(),
            EXTENSIONS.join(", ")
        );
        return Err(ImportError::Invalid(text));
    }
    Ok(found)
}
