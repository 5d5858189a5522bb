//! What can stop an import.

use counterstain_artifact::Skipped;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A folder or file could not be read at all.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file or folder.
        path: String,
        /// The operating system's reason; part of the message, so no source of its own.
        reason: std::io::Error,
    },
    /// Options that contradict each other or the data.
    #[error("{0}")]
    Invalid(String),
    /// Files that cannot be used: all of them, in order.
    #[error("{} cannot be used and nothing was imported; repair or remove them, or pass --skip-bad to leave them out and record them in the manifest{}", count(.0.len()), list(.0))]
    BadFiles(Vec<Skipped>),
    /// Classes without a single usable tile.
    #[error("{} without a usable tile: {}; remove the empty folders or add tiles", if .0.len() == 1 { "a class" } else { "classes" }, .0.join(", "))]
    EmptyClasses(Vec<String>),
    /// The store refused or failed.
    #[error("the store failed: {0}")]
    Store(#[from] counterstain_artifact::Error),
    /// Ctrl-C.
    #[error("interrupted; nothing was imported")]
    Interrupted,
}

impl ImportError {
    /// An unreadable file or folder.
    pub fn read(path: &std::path::Path, reason: std::io::Error) -> Self {
        Self::Read { path: path.display().to_string(), reason }
    }
}

fn count(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

fn list(files: &[Skipped]) -> String {
    files.iter().map(|file| format!("\n  {}: {}", file.path, file.reason)).collect()
}
