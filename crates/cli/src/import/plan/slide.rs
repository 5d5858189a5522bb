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

/// Plans an import of one slide, or of the slides in a folder.
///
/// # Errors
/// A folder without slides, or a slide that OpenSlide refuses (among the bad files).
pub fn plan_slides(import: &SlideImport) -> Result<Plan, ImportError> {
    let files = slides(&import.path)?;
    let root = if import.path.is_dir() { import.path.clone() } else { parent(&import.path) };
    let groups = read_groups(import.groups.as_ref(), &root)?;
    let mut plan = Plan::new(vec![PlannedLayer::primary(&root)], 0);
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
    Ok(plan)
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
