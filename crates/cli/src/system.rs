//! The whole system on one machine: the coordinator and the three workers as child processes.
//!
//! Invariants: one system per data folder (a lock file); no child outlives the command that started it,
//! however that ends; a child that dies is started again after a growing pause.

pub mod binaries;
pub mod child;
mod local;
pub mod lock;
mod supervisor;

pub use local::{LocalOptions, LocalSystem};
pub use supervisor::Ended;
