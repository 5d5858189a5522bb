//! Finds the images below a folder.
//!
//! Invariants: images come sorted by relative path (bytes), so the order depends on names alone; hidden
//! files and files that are no images are passed over; symbolic links are followed to a bounded depth.

use std::path::Path;

use super::error::ImportError;
use super::key::relative_name;

/// Deepest nesting that is followed: a loop of links ends here.
const MAX_DEPTH: usize = 32;

/// Extensions of files that are taken as images, in lower case.
const IMAGE_EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "tif", "tiff"];

/// What is below a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// Relative paths of images, sorted.
    pub images: Vec<String>,
    /// Relative paths of folders, sorted, the root left out.
    pub folders: Vec<String>,
    /// Files that are neither hidden nor images.
    pub ignored: u64,
}

/// Walks `root`.
///
/// # Errors
/// When a folder cannot be listed, or nesting is deeper than 32.
pub fn walk(root: &Path) -> Result<Found, ImportError> {
    let mut found = Found::default();
    visit(root, root, 0, &mut found)?;
    found.images.sort_unstable();
    found.folders.sort_unstable();
    Ok(found)
}

fn visit(root: &Path, folder: &Path, depth: usize, found: &mut Found) -> Result<(), ImportError> {
    if depth > MAX_DEPTH {
        let folder = folder.display();
        return Err(ImportError::Invalid(format!(
            "{folder} is nested deeper than {MAX_DEPTH} folders: a loop of links?"
        )));
    }
    let entries = std::fs::read_dir(folder).map_err(|source| ImportError::read(folder, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| ImportError::read(folder, source))?;
        if entry.file_name().as_encoded_bytes().first() == Some(&b'.') {
            continue;
        }
        let path = entry.path();
        let is_folder = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => path.is_dir(),
            Ok(kind) => kind.is_dir(),
            Err(source) => return Err(ImportError::read(&path, source)),
        };
        if is_folder {
            found.folders.push(relative_name(root, &path));
            visit(root, &path, depth + 1, found)?;
        } else if is_image_name(&path) {
            found.images.push(relative_name(root, &path));
        } else {
            found.ignored += 1;
        }
    }
    Ok(())
}

fn is_image_name(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| IMAGE_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_sorted_and_other_files_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/2.PNG", "b/1.jpg", "a.tiff", "notes.txt", ".hidden.png", "b/.DS_Store"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        let found = walk(folder.path()).unwrap();
        assert_eq!(found.images, ["a.tiff", "b/1.jpg", "b/2.PNG"]);
        assert_eq!(found.folders, ["b"]);
        assert_eq!(found.ignored, 1);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let error = walk(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
