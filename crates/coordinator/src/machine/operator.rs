//! What an operator does to a job.

use counterstain_api::error::ErrorCode;

use super::step::Step;
use super::{Effect, Failure, JobState, Level, PartState, Refusal};

impl Step<'_> {
    /// Ends the job. Workers that hold parts learn of it with their next heartbeat.
    pub(super) fn cancel(&mut self, reason: &str) -> Result<(), Refusal> {
        match self.job.state {
            JobState::Cancelled => return Ok(()),
            JobState::Succeeded | JobState::Failed => {
                let action = "only a job that has not ended can be cancelled";
                return Err(Refusal::WrongState { state: self.job.state, action });
            }
            _ => {}
        }
        let message = if reason.is_empty() { "cancelled by an operator" } else { reason };
        self.end(JobState::Cancelled, Failure::new(ErrorCode::Cancelled, message));
        Ok(())
    }

    /// A new start: with fresh counts, from the last checkpoints and with the finished parts, or without.
    ///
    /// Leases that a cancelled job still has end here, so that a worker that has not stopped yet is stale.
    /// A blocked job is revived by the retry of what blocks it.
    pub(super) fn retry(&mut self, fresh: bool) -> Result<(), Refusal> {
        if !matches!(self.job.state, JobState::Failed | JobState::Cancelled) {
            let action = "only a failed or cancelled job can be retried";
            return Err(Refusal::WrongState { state: self.job.state, action });
        }
        for part in &mut self.job.parts {
            if fresh {
                part.checkpoint = None;
            }
            if fresh || !matches!(part.state, PartState::Done { .. }) {
                part.state = PartState::FREE;
            }
            part.failures = 0;
            part.lost = 0;
        }
        if !self.job.has_commits() {
            self.job.profile = None;
        }
        self.job.fresh |= fresh;
        self.job.failure = None;
        self.job.ended_at = None;
        let from = if fresh { "from the start" } else { "from its last checkpoint" };
        self.note(Level::Info, None, format!("retried by an operator, {from}"));
        self.emit(Effect::TellRevived);
        self.resume();
        Ok(())
    }

    /// Where a retried job stands.
    fn resume(&mut self) {
        if !self.job.blocked_by.is_empty() {
            let message = "a job that it needs has ended without success";
            self.end(JobState::Blocked, Failure::new(ErrorCode::FailedPrecondition, message));
            return;
        }
        if self.job.parts.is_empty() {
            self.job.state = JobState::Waiting;
            if self.job.is_to_divide() {
                self.emit(Effect::Divide);
            }
            return;
        }
        self.job.state = JobState::Running;
        if self.job.is_to_assemble() {
            self.emit(Effect::Assemble);
        } else {
            self.job.state = JobState::Queued;
            self.emit(Effect::WorkAvailable);
        }
    }
}
