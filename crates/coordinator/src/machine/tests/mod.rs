//! Tests of the machine: rules one by one, and properties of every history.

mod properties;
mod rules;

use counterstain_api::error::ErrorCode;
use counterstain_api::{Digest, Profile};
use uuid::Uuid;

use super::{Checkpoint, Claim, Effect, Event, Failure, Job, Millis, Policy, Refusal, step};

pub(super) const POLICY: Policy =
    Policy { lease: 100, max_attempts: 3, max_lost_leases: 4, backoff: 10, max_backoff: 40 };

pub(super) fn profile(number: u8) -> Profile {
    Profile { device_class: format!("cpu/{number}"), threads: 1, libtorch: "2.13.0".to_owned(), revision: 1 }
}

pub(super) fn worker(number: u8) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(number))
}

pub(super) fn other_job(number: u8) -> Uuid {
    Uuid::from_u128(0x2000 + u128::from(number))
}

pub(super) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub(super) fn claim(worker_number: u8, part: u32, fence: u64) -> Claim {
    Claim { worker: worker(worker_number), part, fence }
}

pub(super) fn checkpoint(step: u64) -> Checkpoint {
    Checkpoint { digest: digest(&format!("checkpoint {step}")), step, fence: 1 }
}

pub(super) fn failure() -> Failure {
    Failure::new(ErrorCode::Internal, "it broke")
}

pub(super) fn lease(part: u32, worker_number: u8, profile_number: u8) -> Event {
    Event::Lease { part, worker: worker(worker_number), profile: profile(profile_number) }
}

/// A job in the hands of a test.
pub(super) struct Run {
    pub job: Job,
    pub now: Millis,
}

impl Run {
    /// A job that was divided into this many parts.
    pub fn divided(parts: u32) -> Self {
        let mut run = Self { job: Job::new([].into(), parts > 1, false), now: 1_000 };
        run.apply(Event::Divided(parts));
        run
    }

    /// The event happens and is accepted.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        let (job, effects) = step(&self.job, &event, self.now, &POLICY)
            .unwrap_or_else(|refusal| panic!("{event:?} was refused: {refusal}"));
        self.job = job;
        effects
    }

    /// The event is refused.
    pub fn refused(&self, event: Event) -> Refusal {
        step(&self.job, &event, self.now, &POLICY).expect_err("the event was accepted")
    }
}
