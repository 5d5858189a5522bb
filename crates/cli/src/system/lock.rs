//! One system per data folder: an advisory lock that the kernel releases when its holder ends.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use counterstain_api::error::{ApiError, ErrorCode};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// What the holder of the lock says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningSystem {
    /// Process that started it.
    pub pid: u32,
    /// Address of its coordinator.
    pub coordinator: String,
    /// Location of its store.
    pub store: String,
}

/// The held lock; dropping it, or ending in any way, releases it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

fn lock_path(data: &Path) -> PathBuf {
    data.join("lock")
}

impl Lock {
    /// Takes the lock of a data folder.
    ///
    /// # Errors
    /// `conflict` when another process holds it; otherwise why the file cannot be made.
    pub fn take(data: &Path) -> Result<Self> {
        let path = lock_path(data);
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot make the lock file {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = running_system(data).map_or_else(String::new, |system| {
                format!(" (process {}, {})", system.pid, system.coordinator)
            });
            let data = data.display();
            return Err(ApiError::new(
                ErrorCode::Conflict,
                format!("a system is already up on the data folder {data}{holder}"),
            )
            .help("use it as it is, stop it with Ctrl-C where it runs, or choose another folder with --data DIR")
            .into());
        }
        Ok(Self { file })
    }

    /// Says where the system is, for other commands on the same data folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&mut self, system: &RunningSystem) -> Result<()> {
        let text = serde_json::to_string(system)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        Ok(self.file.flush()?)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Stale words mislead less when they are gone; the kernel lock is what counts.
        let _ = self.file.set_len(0);
    }
}

/// The system that is up on a data folder, if one is and has said where.
pub fn running_system(data: &Path) -> Option<RunningSystem> {
    let mut file = File::open(lock_path(data)).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_system_on_one_data_folder_is_refused_and_told_where_the_first_is() {
        let data = tempfile::tempdir().unwrap();
        let mut lock = Lock::take(data.path()).unwrap();
        let system =
            RunningSystem { pid: 7, coordinator: "http://127.0.0.1:7070".into(), store: "/somewhere".into() };
        lock.announce(&system).unwrap();
        assert_eq!(running_system(data.path()), Some(system));
        let error = Lock::take(data.path()).unwrap_err().to_string();
        assert!(error.contains("already up") && error.contains("127.0.0.1:7070"), "{error}");
        drop(lock);
        assert_eq!(running_system(data.path()), None);
        Lock::take(data.path()).unwrap();
    }
}
