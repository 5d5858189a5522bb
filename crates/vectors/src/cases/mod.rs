//! The project's code on each file of the vectors: one module per file, or per
//! family of files of the same form.
//!
//! A module reads a [`Case`](crate::Case)'s parameters and inputs, calls the code
//! of the product crates, and hands in every output and intermediate. To add one,
//! write `cases/NAME.rs` with `pub fn run(case: &mut Case) -> anyhow::Result<()>`
//! and register it here under the file's name without extension.

use crate::runner::{Implementation, Registry};

/// Every implementation, by file name without extension.
pub const REGISTRY: &Registry = &[];

/// Shorthand for a registry line.
#[allow(dead_code)]
const fn cases(run: fn(&mut crate::Case) -> anyhow::Result<()>) -> Implementation {
    Implementation::Cases(run)
}
