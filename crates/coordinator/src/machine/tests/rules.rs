//! The rules one by one.

use super::*;
use crate::machine::{JobState, PartState};

#[test]
fn a_job_with_one_part_succeeds_with_the_output_of_its_part() {
    let mut run = Run::divided(1);
    assert_eq!(run.job.state, JobState::Queued);
    run.apply(lease(0, 1, 1));
    assert_eq!(run.job.state, JobState::Running);
    assert_eq!(run.job.started_at, Some(1_000));
    let effects = run.apply(Event::Complete(claim(1, 0, 1), digest("out")));
    assert_eq!(run.job.state, JobState::Succeeded);
    assert_eq!(run.job.output, Some(digest("out")));
    assert!(effects.contains(&Effect::TellSucceeded(digest("out"))));
}

#[test]
fn the_last_part_to_complete_asks_for_assembly() {
    let mut run = Run::divided(2);
    run.apply(lease(0, 1, 1));
    run.apply(lease(1, 2, 1));
    let effects = run.apply(Event::Complete(claim(2, 1, 1), digest("b")));
    assert!(!effects.contains(&Effect::Assemble));
    let effects = run.apply(Event::Complete(claim(1, 0, 1), digest("a")));
    assert!(effects.contains(&Effect::Assemble));
    assert_eq!(run.job.state, JobState::Running);
    run.apply(Event::Assembled(digest("layer")));
    assert_eq!(run.job.output, Some(digest("layer")));
}

#[test]
fn a_part_has_one_holder() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    assert_eq!(run.refused(lease(0, 2, 1)), Refusal::NotFree(0));
}

#[test]
fn a_stale_fence_cannot_finish_a_part() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    run.now += POLICY.lease;
    run.apply(Event::Expire);
    run.apply(lease(0, 2, 1));
    let stale = Refusal::StaleFence { part: 0, fence: 1, latest: 2 };
    assert_eq!(run.refused(Event::Complete(claim(1, 0, 1), digest("late"))), stale);
    assert_eq!(run.refused(Event::CommitCheckpoint(claim(1, 0, 1), checkpoint(5))), stale);
    assert_eq!(run.refused(Event::Heartbeat(claim(1, 0, 1))), stale);
    let forged = Refusal::StaleFence { part: 0, fence: 2, latest: 2 };
    assert_eq!(run.refused(Event::Heartbeat(claim(1, 0, 2))), forged);
}

#[test]
fn completing_twice_with_one_fence_is_one_completion() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    run.apply(Event::Complete(claim(1, 0, 1), digest("out")));
    let before = run.job.clone();
    assert!(run.apply(Event::Complete(claim(1, 0, 1), digest("out"))).is_empty());
    assert_eq!(run.job, before);
    assert_eq!(run.refused(Event::Complete(claim(1, 0, 1), digest("other"))), Refusal::OtherOutput(0));
}

#[test]
fn a_heartbeat_renews_the_lease() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    run.now += POLICY.lease - 1;
    run.apply(Event::Heartbeat(claim(1, 0, 1)));
    run.now += POLICY.lease - 1;
    run.apply(Event::Expire);
    assert!(matches!(run.job.parts[0].state, PartState::Leased(_)));
}

#[test]
fn a_failed_attempt_is_repeated_after_a_pause_that_doubles() {
    let mut run = Run::divided(1);
    for (attempt, pause) in [(1, 10), (2, 20)] {
        run.apply(lease(0, 1, 1));
        run.apply(Event::Fail { claim: claim(1, 0, attempt), failure: failure(), retryable: true });
        let not_before = run.now + pause;
        assert_eq!(run.refused(lease(0, 1, 1)), Refusal::Pausing { part: 0, not_before });
        run.now = not_before;
    }
    run.apply(lease(0, 1, 1));
    run.apply(Event::Fail { claim: claim(1, 0, 3), failure: failure(), retryable: true });
    assert_eq!(run.job.state, JobState::Failed);
    assert_eq!(run.job.failed_attempts, 3);
    assert_eq!(run.job.failure, Some(failure()));
}

#[test]
fn a_failure_that_another_attempt_cannot_help_ends_the_job_and_keeps_its_checkpoint() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    run.apply(Event::CommitCheckpoint(claim(1, 0, 1), checkpoint(7)));
    run.apply(Event::Fail { claim: claim(1, 0, 1), failure: failure(), retryable: false });
    assert_eq!(run.job.state, JobState::Failed);
    assert_eq!(run.job.parts[0].checkpoint, Some(checkpoint(7)));
    run.apply(Event::Retry { fresh: false });
    assert_eq!(run.job.state, JobState::Queued);
    assert_eq!(run.job.parts[0].checkpoint, Some(checkpoint(7)));
    assert_eq!(run.job.profile, Some(profile(1)));
}

#[test]
fn lost_leases_are_no_failures_and_a_new_checkpoint_resets_their_count() {
    let mut run = Run::divided(1);
    for fence in 1..POLICY.max_lost_leases {
        run.apply(lease(0, 1, 1));
        run.now += POLICY.lease;
        run.apply(Event::Expire);
        assert_eq!(run.job.state, JobState::Running, "after {fence}");
    }
    run.apply(lease(0, 1, 1));
    let fence = run.job.parts[0].fence;
    run.apply(Event::CommitCheckpoint(claim(1, 0, fence), checkpoint(1)));
    assert_eq!(run.job.parts[0].lost, 0);
    for _ in 0..POLICY.max_lost_leases {
        run.now += POLICY.lease;
        run.apply(Event::Expire);
        if run.job.state == JobState::Running {
            run.apply(lease(0, 1, 1));
        }
    }
    assert_eq!(run.job.state, JobState::Failed);
    assert_eq!(run.job.failed_attempts, 0);
    assert_eq!(run.job.lost_leases, 2 * POLICY.max_lost_leases - 1);
}

#[test]
fn a_released_part_is_neither_failed_nor_lost() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    let effects = run.apply(Event::Release(claim(1, 0, 1)));
    assert!(effects.contains(&Effect::WorkAvailable));
    assert_eq!((run.job.failed_attempts, run.job.lost_leases), (0, 0));
    run.apply(lease(0, 2, 2));
}

#[test]
fn a_checkpoint_goes_forward() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    run.apply(Event::CommitCheckpoint(claim(1, 0, 1), checkpoint(7)));
    run.apply(Event::CommitCheckpoint(claim(1, 0, 1), checkpoint(7)));
    let back = Refusal::StepBack { step: 6, latest: 7 };
    assert_eq!(run.refused(Event::CommitCheckpoint(claim(1, 0, 1), checkpoint(6))), back);
}

#[test]
fn what_is_committed_binds_the_job_to_the_profile() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    run.apply(Event::Release(claim(1, 0, 1)));
    run.apply(lease(0, 2, 2)); // nothing was committed yet
    run.apply(Event::CommitCheckpoint(claim(2, 0, 2), checkpoint(1)));
    run.apply(Event::Release(claim(2, 0, 2)));
    assert_eq!(run.refused(lease(0, 1, 1)), Refusal::OtherProfile(profile(2)));
    run.apply(lease(0, 3, 2));
    run.apply(Event::Cancel { reason: String::new() });
    run.apply(Event::Retry { fresh: true });
    run.apply(lease(0, 1, 1));
}

#[test]
fn parts_that_are_worked_on_together_have_one_profile() {
    let mut run = Run::divided(2);
    run.apply(lease(0, 1, 1));
    assert_eq!(run.refused(lease(1, 2, 2)), Refusal::OtherProfile(profile(1)));
    run.apply(lease(1, 2, 1));
}

#[test]
fn a_cancelled_job_tells_its_worker_and_takes_nothing_more() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    let effects = run.apply(Event::Cancel { reason: "enough".to_owned() });
    assert!(effects.iter().any(|effect| matches!(effect, Effect::TellEnded { .. })));
    run.apply(Event::Heartbeat(claim(1, 0, 1)));
    let ended = Refusal::Ended(JobState::Cancelled);
    assert_eq!(run.refused(Event::Complete(claim(1, 0, 1), digest("out"))), ended);
    run.apply(Event::Release(claim(1, 0, 1)));
    assert_eq!(run.job.state, JobState::Cancelled);
    assert!(run.job.leases().next().is_none());
}

#[test]
fn a_worker_that_missed_the_cancellation_is_stale_after_the_retry() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    run.apply(Event::Cancel { reason: String::new() });
    run.apply(Event::Retry { fresh: false });
    assert!(matches!(run.refused(Event::Heartbeat(claim(1, 0, 1))), Refusal::StaleFence { .. }));
    run.apply(lease(0, 2, 1));
    assert_eq!(run.job.parts[0].fence, 2);
}

#[test]
fn a_restart_extends_leases_that_ended_while_the_coordinator_was_away() {
    let mut run = Run::divided(1);
    run.apply(lease(0, 1, 1));
    run.now += 50 * POLICY.lease;
    run.apply(Event::Restart);
    run.apply(Event::Expire);
    run.apply(Event::Complete(claim(1, 0, 1), digest("out")));
}

#[test]
fn a_job_waits_for_all_that_it_needs() {
    let mut run = Run { job: Job::new([other_job(1), other_job(2)].into(), false, false), now: 0 };
    assert!(run.apply(Event::DependencySucceeded(other_job(1))).is_empty());
    assert_eq!(run.apply(Event::DependencySucceeded(other_job(2))), [Effect::Divide]);
    assert!(run.job.is_to_divide());
}

#[test]
fn a_job_is_blocked_by_what_fails_and_revived_by_its_retry() {
    let mut run = Run { job: Job::new([other_job(1), other_job(2)].into(), false, false), now: 0 };
    let ended = |number| Event::DependencyEnded { job: other_job(number), why: "a failed".to_owned() };
    run.apply(ended(1));
    run.apply(ended(2));
    assert_eq!(run.job.state, JobState::Blocked);
    run.apply(Event::DependencyRevived(other_job(1)));
    assert_eq!(run.job.state, JobState::Blocked);
    // It need not be told that the other one is revived before that one succeeds.
    run.apply(Event::DependencyRevived(other_job(2)));
    assert_eq!(run.job.state, JobState::Waiting);
    run.apply(Event::DependencySucceeded(other_job(2)));
    run.apply(Event::DependencySucceeded(other_job(1)));
    assert!(run.job.is_to_divide());
}

#[test]
fn an_existing_artifact_ends_a_job_unless_a_fresh_run_was_asked_for() {
    let mut run = Run::divided(1);
    run.apply(Event::Reuse(digest("known")));
    assert!(run.job.reused && run.job.state == JobState::Succeeded);
    let mut fresh = Run { job: Job::new([].into(), false, true), now: 0 };
    fresh.apply(Event::Divided(1));
    assert!(matches!(fresh.refused(Event::Reuse(digest("known"))), Refusal::WrongState { .. }));
}

#[test]
fn a_succeeded_job_can_be_neither_cancelled_nor_retried() {
    let mut run = Run::divided(1);
    run.apply(Event::Reuse(digest("known")));
    assert!(matches!(run.refused(Event::Cancel { reason: String::new() }), Refusal::WrongState { .. }));
    assert!(matches!(run.refused(Event::Retry { fresh: true }), Refusal::WrongState { .. }));
}

#[test]
fn finished_parts_survive_a_retry() {
    let mut run = Run::divided(2);
    run.apply(lease(0, 1, 1));
    run.apply(Event::Complete(claim(1, 0, 1), digest("a")));
    run.apply(lease(1, 1, 1));
    run.apply(Event::Fail { claim: claim(1, 1, 1), failure: failure(), retryable: false });
    run.apply(Event::Retry { fresh: false });
    assert_eq!(run.job.parts[0].state, PartState::Done { output: digest("a") });
    run.apply(lease(1, 1, 1));
    assert!(run.apply(Event::Complete(claim(1, 1, 2), digest("b"))).contains(&Effect::Assemble));
}
