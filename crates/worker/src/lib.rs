//! What synthesis, training and evaluation workers share: they pull parts over leases, compute on a
//! thread of their own, and tell the coordinator how it goes.
//!
//! - [`Engine`] is what a service brings: from a [`Task`] to the digest of its output;
//! - [`Task`] is all that an engine sees of the world: spec, store, checkpoints, progress, the wish to stop;
//! - [`run`] is the process: registration, lease loop, heartbeats, online calls, a clean end.
//!
//! A worker holds one part at a time. An error or a panic of the engine fails the part, not the process.
//! A lease that was lost stops the engine at its next [`Task::check`]; whatever it still writes carries the
//! old fence and is refused.

mod checkpoint;
mod control;
mod error;
pub mod images;
mod lease;
mod options;
pub mod prefetch;
mod process;
mod report;
mod task;
pub mod testing;

use counterstain_api::Digest;
use counterstain_api::proto::job::v1::JobKind;

pub use checkpoint::{NewCheckpoint, SavedCheckpoint};
pub use control::{Control, Refused};
pub use error::TaskError;
pub use options::WorkerOptions;
pub use process::{OnlineContext, Setup, run};
pub use report::StatusHandle;
pub use task::Task;

/// The computation of a service.
pub trait Engine: Send + Sync + 'static {
    /// The kinds of job that it can do.
    fn kinds(&self) -> Vec<JobKind>;

    /// Does one part and returns the digest of its output artifact, which is in the store by then.
    ///
    /// Runs on a thread of its own. The output must be a function of spec, inputs and compute profile:
    /// no time, no cadence of checkpoints and no earlier attempt may change a bit of it.
    ///
    /// # Errors
    /// What went wrong, and whether another attempt can help. What [`Task::check`] returns is passed on.
    fn run(&self, task: &Task) -> Result<Digest, TaskError>;
}
