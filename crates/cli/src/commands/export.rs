//! `export`: the files of an artifact in a folder, for other tools.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use counterstain_api::Digest;
use counterstain_api::error::ErrorCode;
use serde_json::json;

use super::artifacts::lineage;
use super::{geojson, open_store};
use crate::failure::fail;
use crate::options::{Common, ExportOptions};
use crate::output::{print_json, say, size};

/// Writes all objects of an artifact under their names, verified, and its manifest as manifest.json.
pub async fn export(common: &Common, options: ExportOptions) -> Result<()> {
    let found = lineage(common, &options.artifact).await?;
    let artifact = found
        .first()
        .ok_or_else(|| fail(ErrorCode::NotFound, format!("there is no artifact {}", options.artifact)))?;
    let digest: Digest = artifact.digest.parse()?;
    let store = open_store(common)?;
    if options.geojson {
        return geojson::export(common, &store, digest, &options.out).await;
    }
    let manifest = store.manifest(&digest).await?;
    let out = &options.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let mut files = Vec::new();
    for object in &manifest.objects {
        let path = out.join(plain_relative(&object.name)?);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        let file =
            std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        store.get_to_file(&object.digest, &file, &path).await?;
        if !common.json {
            say!("{}  {}", path.display(), size(object.size));
        }
        files.push(json!({ "path": path, "size": object.size, "digest": object.digest }));
    }
    let path = out.join("manifest.json");
    let text = format!("{:#}\n", serde_json::to_value(&manifest)?);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    if common.json {
        print_json(&json!({ "digest": digest, "manifest": path, "files": files }));
    } else {
        say!("{}", path.display());
    }
    Ok(())
}

/// An object's name as a path that cannot leave the folder.
pub(super) fn plain_relative(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    let is_plain =
        !name.is_empty() && path.components().all(|component| matches!(component, Component::Normal(_)));
    if is_plain {
        Ok(path.to_owned())
    } else {
        Err(fail(
            ErrorCode::Corrupt,
            format!("the manifest names an object {name:?}, which is no plain path"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_the_folder_are_refused() {
        assert!(plain_relative("shards/00000.tar").is_ok());
        for name in ["", "../x", "/etc/passwd", "a/../../b"] {
            assert!(plain_relative(name).is_err(), "{name}");
        }
    }
}
