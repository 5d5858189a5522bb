//! The golden-vector harness: runs the project's own code on the inputs of a
//! folder of reference vectors and compares every result with what independent
//! public implementations computed.
//!
//! A folder holds an `index.json` (SHA-256 of every file) and pairs of
//! `NAME.json` (cases, roles, tolerances) and `NAME.safetensors` (numbers). The
//! harness knows that form and nothing about shapes or seeds, so any folder of
//! the same form can be given to it.
//!
//! What is never lenient:
//! - a tensor of role output or intermediate that no code computed counts as
//!   failed, not as skipped (unless its check is `informative`, or the case
//!   states that it is given);
//! - an input or parameter that no code read is a failure;
//! - an index entry without implementation, or whose bytes differ from the
//!   index, is a failure;
//! - a reference value is never handed to the code under test: [`Case::input`]
//!   refuses names of role output and intermediate, and [`Case::given`] refuses
//!   those that the case does not state as given.

pub mod case;
pub mod cases;
pub mod check;
pub mod closed_formula;
pub mod description;
pub mod document;
pub mod folder;
pub mod report;
pub mod runner;

pub use case::Case;
pub use check::ComputedIn;
pub use document::Document;
