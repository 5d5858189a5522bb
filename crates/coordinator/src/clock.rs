//! The coordinator's clock, which alone decides about leases and pauses.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::machine::Millis;

/// Milliseconds since the Unix epoch that never go back while the process lives.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    started_at: Millis,
}

impl Clock {
    /// A clock that is set by the system's.
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: millis(since_epoch) }
    }

    /// The time now.
    pub fn now(&self) -> Millis {
        self.started_at + millis(self.started.elapsed())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// A duration in whole milliseconds.
pub fn millis(duration: std::time::Duration) -> Millis {
    duration.as_millis().try_into().unwrap_or(Millis::MAX)
}
