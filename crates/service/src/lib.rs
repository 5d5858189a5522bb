//! What every process does the same way: telemetry, the way to stop, health and reflection, and
//! connections to the coordinator.

pub mod connect;
pub mod listen;
pub mod reflection;
pub mod shutdown;
pub mod telemetry;
