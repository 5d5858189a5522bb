//! Dependencies, division into parts, and assembly of the output.
//!
//! What became of a dependency is recorded in whatever state the job is; only a waiting or blocked job
//! changes its state by it.

use counterstain_api::Digest;
use counterstain_api::error::ErrorCode;

use super::step::Step;
use super::{Effect, Failure, JobId, JobState, Part, PartState, Refusal};

impl Step<'_> {
    pub(super) fn dependency_succeeded(&mut self, job: JobId) {
        let needed = self.job.needs.remove(&job);
        self.job.blocked_by.remove(&job);
        if needed && self.job.is_to_divide() {
            self.emit(Effect::Divide);
        }
    }

    pub(super) fn dependency_ended(&mut self, job: JobId, why: &str) {
        if !self.job.needs.contains(&job) {
            return;
        }
        self.job.blocked_by.insert(job);
        if self.job.state == JobState::Waiting {
            self.end(JobState::Blocked, Failure::new(ErrorCode::FailedPrecondition, why));
        }
    }

    pub(super) fn dependency_revived(&mut self, job: JobId) {
        let was_blocking = self.job.blocked_by.remove(&job);
        if was_blocking && self.job.state == JobState::Blocked && self.job.blocked_by.is_empty() {
            self.job.state = JobState::Waiting;
            self.job.failure = None;
            self.job.ended_at = None;
            self.emit(Effect::TellRevived);
        }
    }

    pub(super) fn divided(&mut self, parts: u32) -> Result<(), Refusal> {
        if !self.job.is_to_divide() {
            let action = "only a waiting job whose dependencies succeeded is divided into parts";
            return Err(Refusal::WrongState { state: self.job.state, action });
        }
        let part = Part { state: PartState::FREE, fence: 0, checkpoint: None, failures: 0, lost: 0 };
        self.job.parts = vec![part; parts.max(1) as usize];
        self.job.state = JobState::Queued;
        self.emit(Effect::WorkAvailable);
        Ok(())
    }

    pub(super) fn impossible(&mut self, failure: &Failure) -> Result<(), Refusal> {
        if !self.job.is_to_divide() && !self.job.is_to_assemble() {
            let action = "it waits neither to be divided nor to be assembled";
            return Err(Refusal::WrongState { state: self.job.state, action });
        }
        self.end(JobState::Failed, failure.clone());
        Ok(())
    }

    pub(super) fn assembled(&mut self, output: Digest) -> Result<(), Refusal> {
        if self.job.state == JobState::Succeeded && self.job.output == Some(output) {
            return Ok(());
        }
        if !self.job.is_to_assemble() {
            let action = "only a job whose parts are all done is assembled";
            return Err(Refusal::WrongState { state: self.job.state, action });
        }
        self.succeed(output);
        Ok(())
    }
}
