//! Folders that go away: a network disk that is not mounted looks like an empty folder.
//!
//! Each folder store carries the file `counterstain-store.json`. While it cannot be seen, the store is away: reading
//! waits, instead of reporting that objects are lost, and writing waits, instead of filling the mount point.

use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

const MARK: &str = "counterstain-store.json";
/// Version of the layout of keys.
const LAYOUT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Mark {
    layout: u32,
}

/// Marks a folder as a store, or checks the mark it has.
///
/// # Errors
/// `NewerSchema` for a store of a newer layout, `Location` for a faulty mark, and those of the folder.
pub(super) fn mark(folder: &Path) -> Result<(), Error> {
    let path = folder.join(MARK);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let mark: Mark = serde_json::from_slice(&bytes).map_err(|error| Error::Location {
                location: folder.display().to_string(),
                reason: format!("has a faulty {MARK}: {error}"),
            })?;
            if mark.layout > LAYOUT {
                let what = format!("store {}", folder.display());
                return Err(Error::NewerSchema { what, found: mark.layout, supported: LAYOUT });
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes = serde_json::to_vec(&Mark { layout: LAYOUT }).expect("a number is JSON");
            write_whole(folder, &path, &bytes).map_err(|error| Error::io("write", &path, error))
        }
        Err(error) => Err(Error::io("read", &path, error)),
    }
}

/// Another process may do the same at the same time: the file appears whole, whoever comes last.
fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::with_prefix_in(".mark-", folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(|_| ()).map_err(|error| error.error)
}

/// Whether the folder is there.
///
/// # Errors
/// One that passes as a store that is away for a while.
pub(super) async fn check_presence(folder: &Path) -> object_store::Result<()> {
    // On a runtime thread of its own: a network disk can hang.
    match tokio::fs::metadata(folder.join(MARK)).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(generic(error)),
        Err(error) => {
            let text = format!("the folder is away: {MARK} is not in it ({error})");
            Err(generic(std::io::Error::new(std::io::ErrorKind::NotConnected, text)))
        }
    }
}

fn generic(error: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "folder", source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_a_newer_layout_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        mark(folder.path()).unwrap();
        mark(folder.path()).unwrap();
        std::fs::write(folder.path().join(MARK), r#"{"layout":2}"#).unwrap();
        assert!(matches!(mark(folder.path()), Err(Error::NewerSchema { found: 2, .. })));
        std::fs::write(folder.path().join(MARK), "").unwrap();
        assert!(matches!(mark(folder.path()), Err(Error::Location { .. })));
    }
}
