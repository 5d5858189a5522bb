//! The sweep: time's own events. Leases that are over are lost, and parts whose pause is over are free.

use std::time::Duration;

use super::{Result, Scheduler};
use crate::machine::{Event, Millis};

impl Scheduler {
    /// Sweeps until the coordinator stops.
    pub(super) async fn sweep(self) {
        let interval = Duration::from_millis((self.policy().lease / 20).clamp(20, 1_000));
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut swept_until = self.clock().now();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.inner.stop.cancelled() => return,
            }
            let now = self.clock().now();
            match self.sweep_once(swept_until, now).await {
                Ok(()) => swept_until = now,
                Err(error) => tracing::error!("the sweep failed and will be repeated: {error}"),
            }
        }
    }

    async fn sweep_once(&self, from: Millis, now: Millis) -> Result<()> {
        for job in self.storage().jobs_with_leases_until(now).await? {
            self.act(job, Event::Expire).await?;
        }
        if self.storage().pause_ended(from, now).await? {
            self.inner.work.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}
