//! Process-wide settings of libtorch that decide the last bit of a result:
//! threads, deterministic algorithms, and the version itself.

use crate::error::Error;
use crate::ffi::bridge;

/// The version of libtorch this program was compiled against, `2.13.0` for example.
pub fn libtorch_version() -> String {
    bridge::libtorch_version()
}

/// The widest vector instructions libtorch's own kernels use here, in lower case:
/// `avx512`, `avx2` or `default`. The environment variable `ATEN_CPU_CAPABILITY` lowers it.
pub fn cpu_capability() -> String {
    bridge::cpu_capability().unwrap_or_else(|_| "default".to_owned()).to_lowercase()
}

/// Threads that one operator uses. 1 and 2 threads give different last bits.
pub fn threads() -> usize {
    bridge::intra_op_threads().ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(1)
}

/// Sets the threads that one operator uses, at least one.
pub fn set_threads(threads: usize) {
    let threads = i32::try_from(threads.max(1)).unwrap_or(i32::MAX);
    bridge::set_intra_op_threads(threads).expect("libtorch takes any number of threads above zero");
}

/// Threads that run independent operators side by side.
pub fn inter_op_threads() -> usize {
    bridge::inter_op_threads().ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(1)
}

/// Sets the threads that run independent operators side by side. libtorch takes
/// this once, before its first parallel work.
///
/// # Errors
/// When it was set, or used, before.
pub fn set_inter_op_threads(threads: usize) -> Result<(), Error> {
    let number = i32::try_from(threads.max(1)).unwrap_or(i32::MAX);
    bridge::set_inter_op_threads(number).map_err(|exception| Error::Setting {
        setting: "inter-op threads",
        reason: exception.what().to_owned(),
    })
}

/// Allows only algorithms that repeat the same bits (`true`), or any (`false`).
/// An operation that has no such algorithm then fails with its name. cuDNN's
/// benchmark, which picks algorithms by their measured time, is off either way.
///
/// Call it before threads are started: it may set `CUBLAS_WORKSPACE_CONFIG` in
/// the environment of the process.
pub fn deterministic(only: bool) {
    bridge::set_deterministic(only).expect("setting libtorch's flags cannot fail");
}

/// Whether only deterministic algorithms are allowed.
pub fn is_deterministic() -> bool {
    bridge::is_deterministic().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_tch_wants() {
        assert!(libtorch_version().starts_with("2.13."), "{}", libtorch_version());
    }

    #[test]
    fn threads_are_set_and_read_back() {
        let before = threads();
        set_threads(1);
        assert_eq!(threads(), 1);
        set_threads(0);
        assert_eq!(threads(), 1);
        set_threads(before);
    }

    #[test]
    fn inter_op_threads_can_be_set_once() {
        assert!(set_inter_op_threads(2).is_ok());
        assert_eq!(inter_op_threads(), 2);
        let error = set_inter_op_threads(3).expect_err("the second time is too late").to_string();
        assert!(error.starts_with("cannot set inter-op threads: "), "{error}");
    }

    #[test]
    fn the_deterministic_switch_is_read_back() {
        deterministic(true);
        assert!(is_deterministic());
        deterministic(false);
        assert!(!is_deterministic());
    }

    #[test]
    fn the_cpu_capability_is_a_lower_case_word() {
        let capability = cpu_capability();
        assert!(!capability.is_empty() && capability == capability.to_lowercase());
    }
}
