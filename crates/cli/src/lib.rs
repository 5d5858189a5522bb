//! The command line of Counterstain: imports, the local system, pipelines and reports.

pub mod import;
