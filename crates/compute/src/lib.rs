//! What the services that compute with libtorch share, above the lease loop (`counterstain-worker`) and
//! the shim (`counterstain-torch`), neither of which knows the other.

mod desk;
mod errors;
mod pace;
mod process;
pub mod published;
mod spec;

pub use desk::Desk;
pub use errors::{guarded, libtorch_code, torch_code};
pub use pace::Pace;
pub use process::{Compute, main};
pub use spec::{autocast_dtype, digest};
