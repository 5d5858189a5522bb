//! Properties that hold in every history of a job, whoever does what in which order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::machine::{JobState, PartState};

/// Something that somebody tries; much of it will be refused.
#[derive(Clone, Debug)]
enum Try {
    Wait(Millis),
    Dependency {
        number: u8,
        what: u8,
    },
    Divide,
    Lease {
        part: u32,
        worker: u8,
        profile: u8,
    },
    Reuse,
    /// A write by the holder (`stale == 0`), with an older fence, or by another worker.
    Write {
        part: u32,
        stale: u8,
        what: Write,
    },
    Expire,
    Assembled,
    Impossible,
    Cancel,
    Retry {
        fresh: bool,
    },
    Restart,
}

#[derive(Clone, Debug)]
enum Write {
    Heartbeat,
    Checkpoint(u64),
    Complete(u8),
    Fail(bool),
    Release,
    Abandon,
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        2 => Just(Write::Heartbeat),
        4 => (0_u64..20).prop_map(Write::Checkpoint),
        3 => (0_u8..2).prop_map(Write::Complete),
        2 => any::<bool>().prop_map(Write::Fail),
        1 => Just(Write::Release),
        1 => Just(Write::Abandon),
    ]
}

fn attempt() -> impl Strategy<Value = Try> {
    prop_oneof![
        4 => (0..2 * POLICY.lease).prop_map(Try::Wait),
        3 => (0_u8..2, 0_u8..3).prop_map(|(number, what)| Try::Dependency { number, what }),
        2 => Just(Try::Divide),
        8 => (0_u32..3, 0_u8..3, 0_u8..2).prop_map(|(part, worker, profile)| Try::Lease { part, worker, profile }),
        1 => Just(Try::Reuse),
        12 => (0_u32..3, prop_oneof![5 => Just(0_u8), 1 => 1_u8..3], write())
            .prop_map(|(part, stale, what)| Try::Write { part, stale, what }),
        3 => Just(Try::Expire),
        2 => Just(Try::Assembled),
        1 => Just(Try::Impossible),
        1 => Just(Try::Cancel),
        2 => any::<bool>().prop_map(|fresh| Try::Retry { fresh }),
        1 => Just(Try::Restart),
    ]
}

/// What was promised to somebody.
#[derive(Default)]
struct Promises {
    /// Step of the last acknowledged checkpoint of each part.
    checkpoints: BTreeMap<u32, u64>,
    /// Acknowledged output of each part.
    outputs: BTreeMap<u32, Digest>,
    /// Profile under which the holder of each part works.
    working: BTreeMap<u32, Profile>,
}

struct History {
    job: Job,
    now: Millis,
    parts: u32,
    promises: Promises,
}

impl History {
    fn event(&self, attempt: &Try) -> Option<(Event, bool)> {
        let mut stale_write = false;
        let event = match attempt {
            Try::Wait(_) => return None,
            Try::Dependency { number, what: 0 } => Event::DependencySucceeded(other_job(*number)),
            Try::Dependency { number, what: 1 } => {
                Event::DependencyEnded { job: other_job(*number), why: "failed".to_owned() }
            }
            Try::Dependency { number, .. } => Event::DependencyRevived(other_job(*number)),
            Try::Divide => Event::Divided(self.parts),
            Try::Lease { part, worker, profile } => lease(*part, *worker, *profile),
            Try::Reuse => Event::Reuse(digest("existing")),
            Try::Write { part, stale, what } => {
                let state = self.job.parts.get(*part as usize)?;
                let holder = match &state.state {
                    PartState::Leased(lease) => Some(lease.worker),
                    _ => None,
                };
                let mut claim = Claim { worker: worker(9), part: *part, fence: state.fence };
                match (stale, holder) {
                    (0, Some(holder)) => claim.worker = holder,
                    (1, Some(holder)) => {
                        claim = Claim { worker: holder, part: *part, fence: state.fence.saturating_sub(1) };
                    }
                    _ => {}
                }
                stale_write = holder != Some(claim.worker) || claim.fence != state.fence;
                match what {
                    Write::Heartbeat => Event::Heartbeat(claim),
                    Write::Checkpoint(step) => Event::CommitCheckpoint(claim, checkpoint(*step)),
                    Write::Complete(output) => Event::Complete(claim, digest(&format!("output {output}"))),
                    Write::Fail(retryable) => {
                        Event::Fail { claim, failure: failure(), retryable: *retryable }
                    }
                    Write::Release => Event::Release(claim),
                    Write::Abandon => Event::Abandon(claim),
                }
            }
            Try::Expire => Event::Expire,
            Try::Assembled => Event::Assembled(digest("assembled")),
            Try::Impossible => Event::Impossible(failure()),
            Try::Cancel => Event::Cancel { reason: String::new() },
            Try::Retry { fresh } => Event::Retry { fresh: *fresh },
            Try::Restart => Event::Restart,
        };
        Some((event, stale_write))
    }

    fn attempt(&mut self, attempt: &Try) {
        if let Try::Wait(time) = attempt {
            self.now += time;
        }
        let Some((event, stale_write)) = self.event(attempt) else { return };
        let before = self.job.clone();
        let outcome = step(&before, &event, self.now, &POLICY);
        if stale_write {
            match &outcome {
                // The one write that is repeated safely: the same completion.
                Ok((after, _)) if matches!(event, Event::Complete(..)) => assert_eq!(*after, before),
                Ok(_) => panic!("{event:?} was accepted on {before:?}"),
                Err(_) => {}
            }
        }
        let Ok((after, effects)) = outcome else { return };
        self.check_fences(&before, &after, &event);
        self.check_end(&before, &after, &event);
        self.keep_promises(&event, &after);
        self.check_shape(&after);
        assert_eq!(
            effects.contains(&Effect::Assemble),
            after.is_to_assemble() && !before.is_to_assemble(),
            "{event:?}"
        );
        self.job = after;
    }

    fn check_fences(&self, before: &Job, after: &Job, event: &Event) {
        for (index, (old, new)) in before.parts.iter().zip(&after.parts).enumerate() {
            let leased_now = matches!(event, Event::Lease { part, .. } if *part as usize == index);
            assert_eq!(new.fence, old.fence + u64::from(leased_now), "{event:?}");
            if leased_now {
                assert!(!matches!(old.state, PartState::Leased(_)), "two holders");
            }
        }
    }

    fn check_end(&self, before: &Job, after: &Job, event: &Event) {
        let allowed = match before.state {
            JobState::Succeeded => false,
            JobState::Failed => matches!(event, Event::Retry { .. }),
            JobState::Cancelled => matches!(event, Event::Retry { .. }),
            JobState::Blocked => matches!(event, Event::DependencyRevived(_) | Event::Cancel { .. }),
            _ => true,
        };
        assert!(allowed || after.state == before.state, "{event:?}: {:?} → {:?}", before.state, after.state);
        if before.state == JobState::Succeeded {
            assert_eq!(after.output, before.output);
        }
    }

    fn keep_promises(&mut self, event: &Event, after: &Job) {
        let Promises { checkpoints, outputs, working } = &mut self.promises;
        match event {
            Event::Lease { part, profile, .. } => drop(working.insert(*part, profile.clone())),
            Event::CommitCheckpoint(claim, checkpoint) => {
                checkpoints.insert(claim.part, checkpoint.step);
                assert_eq!(after.profile.as_ref(), working.get(&claim.part), "mixed profiles");
            }
            Event::Complete(claim, output) => {
                outputs.insert(claim.part, *output);
                assert_eq!(after.profile.as_ref(), working.get(&claim.part), "mixed profiles");
            }
            Event::Retry { fresh: true } => {
                checkpoints.clear();
                outputs.clear();
            }
            _ => {}
        }
        for (part, step) in &self.promises.checkpoints {
            let kept = after.parts[*part as usize].checkpoint.as_ref().map(|checkpoint| checkpoint.step);
            assert_eq!(kept, Some(*step), "an acknowledged checkpoint is gone after {event:?}");
        }
        for (part, output) in &self.promises.outputs {
            assert_eq!(after.parts[*part as usize].state, PartState::Done { output: *output }, "{event:?}");
        }
        for (part, _, _) in after.leases() {
            assert_eq!(after.profile.as_ref(), self.promises.working.get(&part), "{event:?}");
        }
    }

    fn check_shape(&self, job: &Job) {
        assert!(job.blocked_by.is_subset(&job.needs));
        assert_eq!(job.output.is_some(), job.state == JobState::Succeeded);
        assert_eq!(job.ended_at.is_some(), job.state.has_ended());
        let without_success = job.state.has_ended() && job.state != JobState::Succeeded;
        assert_eq!(job.failure.is_some(), without_success);
        if matches!(job.state, JobState::Queued | JobState::Running) {
            assert!(job.needs.is_empty() && !job.parts.is_empty());
            assert!(job.parts.iter().all(|part| part.state != PartState::Failed));
        }
        for part in &job.parts {
            assert!(part.failures <= POLICY.max_attempts && part.lost <= POLICY.max_lost_leases);
        }
        assert_eq!(job.profile.is_some(), job.has_commits() || job.leases().next().is_some());
    }

    /// From now on dependencies succeed, and a worker that never fails asks for parts: the job must end.
    fn finish(mut self) {
        for number in 0..2 {
            self.attempt(&Try::Dependency { number, what: 2 });
            self.attempt(&Try::Dependency { number, what: 0 });
        }
        self.attempt(&Try::Divide);
        for _ in 0..2 * self.parts {
            if self.job.state.has_ended() {
                break;
            }
            self.now += POLICY.lease + POLICY.max_backoff;
            self.attempt(&Try::Expire);
            for part in 0..self.parts {
                let profile = (0..2).find(|number| self.job.profile == Some(profile(*number))).unwrap_or(0);
                self.attempt(&Try::Lease { part, worker: 5, profile });
                self.attempt(&Try::Write { part, stale: 0, what: Write::Complete(0) });
            }
            self.attempt(&Try::Assembled);
        }
        assert!(self.job.state.has_ended(), "it goes on for ever: {:?}", self.job);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_its_promises_and_can_end(
        parts in 1_u32..4,
        needs in 0_u8..3,
        fresh in any::<bool>(),
        attempts in proptest::collection::vec(attempt(), 0..80),
    ) {
        let needs = (0..needs).map(other_job).collect();
        let job = Job::new(needs, parts > 1, fresh);
        let mut history = History { job, now: 1_000, parts, promises: Promises::default() };
        for attempt in &attempts {
            history.attempt(attempt);
        }
        history.finish();
    }
}
