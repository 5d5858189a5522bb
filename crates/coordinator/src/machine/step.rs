//! The entry point: dispatches an event to the rule that handles it.

use super::{Effect, Event, Failure, Job, JobState, Level, Millis, PartState, Policy, Refusal};

/// What happens to `job` on `event` at time `now`: the job as it is afterwards and what has to be done
/// outside, or the reason why nothing happens.
///
/// # Errors
/// A [`Refusal`]; the job stays as it is.
pub fn step(job: &Job, event: &Event, now: Millis, policy: &Policy) -> Result<(Job, Vec<Effect>), Refusal> {
    let mut next = Step { job: job.clone(), now, policy, effects: Vec::new() };
    next.apply(event)?;
    Ok((next.job, next.effects))
}

/// A step in the making.
pub(super) struct Step<'policy> {
    pub(super) job: Job,
    pub(super) now: Millis,
    pub(super) policy: &'policy Policy,
    pub(super) effects: Vec<Effect>,
}

impl Step<'_> {
    fn apply(&mut self, event: &Event) -> Result<(), Refusal> {
        match event {
            Event::DependencySucceeded(job) => self.dependency_succeeded(*job),
            Event::DependencyEnded { job, why } => self.dependency_ended(*job, why),
            Event::DependencyRevived(job) => self.dependency_revived(*job),
            Event::Divided(parts) => self.divided(*parts)?,
            Event::Impossible(failure) => self.impossible(failure)?,
            Event::Lease { part, worker, profile } => self.lease(*part, *worker, profile)?,
            Event::Reuse(output) => self.reuse(*output)?,
            Event::Heartbeat(claim) => self.heartbeat(claim)?,
            Event::CommitCheckpoint(claim, checkpoint) => self.commit_checkpoint(claim, checkpoint)?,
            Event::Complete(claim, output) => self.complete(claim, *output)?,
            Event::Fail { claim, failure, retryable } => self.fail(claim, failure, *retryable)?,
            Event::Release(claim) => self.release(claim)?,
            Event::Abandon(claim) => self.abandon(claim)?,
            Event::Expire => self.expire(),
            Event::Assembled(output) => self.assembled(*output)?,
            Event::Cancel { reason } => self.cancel(reason)?,
            Event::Retry { fresh } => self.retry(*fresh)?,
            Event::Restart => self.restart(),
        }
        Ok(())
    }

    pub(super) fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn note(&mut self, level: Level, part: Option<u32>, message: impl Into<String>) {
        self.emit(Effect::Note { level, part, message: message.into() });
    }

    /// Ends the job without success and tells its dependants.
    pub(super) fn end(&mut self, state: JobState, failure: Failure) {
        self.job.state = state;
        self.job.ended_at = Some(self.now);
        let why = match state {
            JobState::Cancelled => "was cancelled".to_owned(),
            JobState::Blocked => "is blocked".to_owned(),
            _ => format!("failed: {}", failure.message),
        };
        let level = if state == JobState::Failed { Level::Error } else { Level::Warn };
        self.note(level, None, format!("{}: {}", state.name(), failure.message));
        self.job.failure = Some(failure);
        self.emit(Effect::TellEnded { why });
    }

    /// Ends the job with its output and tells its dependants.
    pub(super) fn succeed(&mut self, output: counterstain_api::Digest) {
        self.job.state = JobState::Succeeded;
        self.job.output = Some(output);
        self.job.failure = None;
        self.job.ended_at = Some(self.now);
        self.note(Level::Info, None, format!("succeeded with {}", output.short()));
        self.emit(Effect::TellSucceeded(output));
    }

    /// Sets a part free, and the job's profile with it when nothing holds the job to it.
    pub(super) fn set_part(&mut self, index: usize, state: PartState) {
        self.job.parts[index].state = state;
        let held = self.job.leases().next().is_some();
        if !held && !self.job.has_commits() {
            self.job.profile = None;
        }
    }
}
