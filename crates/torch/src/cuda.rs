//! Loading libtorch_cuda.
//!
//! Nothing in a Rust program refers to libtorch_cuda's symbols, so the linker
//! drops it and libtorch would find no GPU. It registers itself when it is loaded,
//! which takes 0.4 s: only programs that may use CUDA do it.

use crate::error::Error;
use crate::ffi::bridge;
use std::path::PathBuf;
use std::sync::OnceLock;

/// What loading libtorch_cuda led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CudaLibrary {
    /// This libtorch was built without CUDA; the path is where the library would be.
    Absent(PathBuf),
    /// The file is there and the loader refused it, with its reason.
    Broken(String),
    /// It is part of the process now; this many devices were found, possibly none.
    Loaded { devices: usize },
}

static LIBRARY: OnceLock<CudaLibrary> = OnceLock::new();

/// Loads libtorch_cuda into the process, once, when it lies beside libtorch_cpu.
/// Afterwards `tch::Cuda::is_available()` tells the truth.
pub fn load_cuda() -> &'static CudaLibrary {
    LIBRARY.get_or_init(|| {
        let library = match libtorch_folder() {
            Ok(folder) => folder.join("libtorch_cuda.so"),
            Err(error) => return CudaLibrary::Broken(error.to_string()),
        };
        if !library.is_file() {
            return CudaLibrary::Absent(library);
        }
        match bridge::load_globally(&library.to_string_lossy()) {
            Ok(()) => CudaLibrary::Loaded { devices: count_devices() },
            Err(exception) => CudaLibrary::Broken(exception.what().to_owned()),
        }
    })
}

/// The folder that this process loaded libtorch from.
///
/// # Errors
/// When the loader does not know.
pub fn libtorch_folder() -> Result<PathBuf, Error> {
    let library = PathBuf::from(bridge::libtorch_cpu_path()?);
    let library = library.canonicalize().unwrap_or(library);
    let folder = library.parent().map(PathBuf::from);
    folder.ok_or_else(|| Error::Libtorch(format!("{} has no folder", library.display())))
}

fn count_devices() -> usize {
    usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

impl std::fmt::Display for CudaLibrary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(path) => {
                write!(f, "this libtorch has no CUDA (there is no {})", path.display())
            }
            Self::Broken(reason) => write!(f, "libtorch_cuda could not be loaded ({reason})"),
            Self::Loaded { devices: 0 } => {
                write!(f, "libtorch_cuda is loaded and finds no GPU or no working driver")
            }
            Self::Loaded { devices } => write!(f, "libtorch_cuda is loaded and finds {devices} GPU(s)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_mapped_when_it_exists() {
        let folder = libtorch_folder().expect("libtorch is loaded");
        let loaded = load_cuda();
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let mapped = maps.lines().any(|line| line.ends_with("/libtorch_cuda.so"));
        if folder.join("libtorch_cuda.so").exists() {
            assert!(mapped, "libtorch_cuda.so exists and is not mapped: {loaded}");
            assert!(matches!(loaded, CudaLibrary::Loaded { .. }), "{loaded}");
        } else {
            assert!(!mapped);
            assert!(matches!(loaded, CudaLibrary::Absent(_)), "{loaded}");
        }
    }

    #[test]
    fn available_means_that_a_device_was_found() {
        let devices = match load_cuda() {
            CudaLibrary::Loaded { devices } => *devices,
            _ => 0,
        };
        assert_eq!(tch::Cuda::is_available(), devices > 0);
    }
}
