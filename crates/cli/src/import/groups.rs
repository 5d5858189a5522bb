//! Patients or slides from a CSV file with the columns `path,group`.
//!
//! A path is relative to the imported folder or to the CSV file's own folder; rows about other files are
//! allowed, a file in which no row matches is not.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::ImportError;

/// Groups by absolute path.
#[derive(Debug, Default)]
pub struct Groups {
    by_path: HashMap<PathBuf, String>,
}

impl Groups {
    /// Reads `csv_path`; paths are looked up below `root`, then beside the CSV file.
    ///
    /// # Errors
    /// When the file cannot be read, lacks a column, or gives one path two groups.
    pub fn read(csv_path: &Path, root: &Path) -> Result<Self, ImportError> {
        let shown = csv_path.display();
        let mut reader = csv::Reader::from_path(csv_path)
            .map_err(|error| ImportError::Invalid(format!("cannot read the groups in {shown}: {error}")))?;
        let headers = reader
            .headers()
            .map_err(|error| ImportError::Invalid(format!("cannot read the groups in {shown}: {error}")))?;
        let column = |name: &str| {
            headers.iter().position(|header| header.trim() == name).ok_or_else(|| {
                ImportError::Invalid(format!(
                    "{shown} has no column {name:?}; its first line must be path,group"
                ))
            })
        };
        let (path_column, group_column) = (column("path")?, column("group")?);
        let beside = csv_path.parent().unwrap_or(Path::new(""));
        let mut by_path = HashMap::new();
        for (index, record) in reader.records().enumerate() {
            let line = index + 2;
            let record =
                record.map_err(|error| ImportError::Invalid(format!("{shown}, line {line}: {error}")))?;
            let (Some(path), Some(group)) = (record.get(path_column), record.get(group_column)) else {
                return Err(ImportError::Invalid(format!(
                    "{shown}, line {line}: fewer columns than the first line"
                )));
            };
            if group.trim().is_empty() {
                continue;
            }
            for base in [root, beside] {
                let known = by_path.insert(absolute(&base.join(path)), group.trim().to_owned());
                if known.is_some_and(|known| known != group.trim()) {
                    return Err(ImportError::Invalid(format!(
                        "{shown}, line {line}: a second group for {path}"
                    )));
                }
            }
        }
        Ok(Self { by_path })
    }

    /// The group of the file at `path`, if the CSV names one.
    pub fn of(&self, path: &Path) -> Option<&str> {
        self.by_path.get(&absolute(path)).map(String::as_str)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_below_the_root_and_beside_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let csv_path = folder.path().join("groups.csv");
        std::fs::write(&csv_path, "path,group\nset/a.png,p1\nb.png,p2\n").unwrap();
        let root = folder.path().join("set");
        let groups = Groups::read(&csv_path, &root).unwrap();
        assert_eq!(groups.of(&root.join("a.png")), Some("p1"));
        assert_eq!(groups.of(&root.join("b.png")), Some("p2"));
        assert_eq!(groups.of(&root.join("c.png")), None);
    }

    #[test]
    fn a_missing_column_and_a_second_group_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let csv_path = folder.path().join("groups.csv");
        std::fs::write(&csv_path, "file,group\na,b\n").unwrap();
        let error = Groups::read(&csv_path, folder.path()).unwrap_err().to_string();
        assert!(error.contains("no column \"path\""), "{error}");
        std::fs::write(&csv_path, "path,group\na.png,one\na.png,two\n").unwrap();
        let error = Groups::read(&csv_path, folder.path()).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("second group"), "{error}");
    }
}
