//! What the holder of a lease may do. Every rule begins with the check of the fence.

use counterstain_api::Digest;

use super::step::Step;
use super::{Checkpoint, Claim, Effect, Failure, JobState, Level, Millis, Part, PartState, Policy, Refusal};

impl Step<'_> {
    pub(super) fn heartbeat(&mut self, claim: &Claim) -> Result<(), Refusal> {
        self.held(claim)?;
        // A worker of a job that has ended is told to stop, and is given no more time for it.
        if !self.job.state.has_ended() {
            let expires_at = self.now + self.policy.lease;
            if let PartState::Leased(lease) = &mut self.job.parts[claim.part as usize].state {
                lease.expires_at = expires_at;
            }
        }
        Ok(())
    }

    pub(super) fn commit_checkpoint(&mut self, claim: &Claim, new: &Checkpoint) -> Result<(), Refusal> {
        self.held(claim)?;
        self.going_on()?;
        let part = &mut self.job.parts[claim.part as usize];
        match &part.checkpoint {
            Some(latest) if latest == new => {}
            Some(latest) if latest.step >= new.step => {
                return Err(Refusal::StepBack { step: new.step, latest: latest.step });
            }
            _ => {
                part.checkpoint = Some(new.clone());
                part.lost = 0;
            }
        }
        // It was alive to say this, which is worth a heartbeat.
        self.heartbeat(claim)
    }

    pub(super) fn complete(&mut self, claim: &Claim, output: Digest) -> Result<(), Refusal> {
        let part = self.part(claim.part)?;
        if let PartState::Done { output: known } = &part.state
            && part.fence == claim.fence
        {
            return if *known == output { Ok(()) } else { Err(Refusal::OtherOutput(claim.part)) };
        }
        self.held(claim)?;
        self.going_on()?;
        self.set_part(claim.part as usize, PartState::Done { output });
        if !self.job.assembled {
            self.succeed(output);
        } else {
            self.note(Level::Info, Some(claim.part), format!("done with {}", output.short()));
            if self.job.is_to_assemble() {
                self.emit(Effect::Assemble);
            }
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, claim: &Claim, failure: &Failure, retryable: bool) -> Result<(), Refusal> {
        self.held(claim)?;
        let index = claim.part as usize;
        if self.job.state.has_ended() {
            self.set_part(index, PartState::FREE);
            return Ok(());
        }
        let part = &mut self.job.parts[index];
        part.failures += 1;
        let (failures, attempt) = (part.failures, part.fence);
        self.job.failed_attempts += 1;
        let Failure { code, message } = failure;
        self.note(Level::Error, Some(claim.part), format!("attempt {attempt} failed: {code}: {message}"));
        if retryable && failures < self.policy.max_attempts {
            let not_before = self.now + pause(self.policy, failures);
            self.set_part(index, PartState::Pending { not_before });
            self.emit(Effect::WorkAvailable);
        } else {
            self.set_part(index, PartState::Failed);
            self.end(JobState::Failed, failure.clone());
        }
        Ok(())
    }

    pub(super) fn release(&mut self, claim: &Claim) -> Result<(), Refusal> {
        self.held(claim)?;
        self.set_part(claim.part as usize, PartState::FREE);
        let fence = claim.fence;
        self.note(Level::Info, Some(claim.part), format!("attempt {fence} was released by its worker"));
        if !self.job.state.has_ended() {
            self.emit(Effect::WorkAvailable);
        }
        Ok(())
    }

    pub(super) fn part(&self, index: u32) -> Result<&Part, Refusal> {
        let parts = self.job.parts.len();
        self.job.parts.get(index as usize).ok_or(Refusal::NoSuchPart { part: index, parts })
    }

    /// The claim is that of the part's holder.
    pub(super) fn held(&self, claim: &Claim) -> Result<(), Refusal> {
        let part = self.part(claim.part)?;
        match &part.state {
            PartState::Leased(lease) if lease.worker == claim.worker && part.fence == claim.fence => Ok(()),
            _ => Err(Refusal::StaleFence { part: claim.part, fence: claim.fence, latest: part.fence }),
        }
    }

    fn going_on(&self) -> Result<(), Refusal> {
        if self.job.state.has_ended() { Err(Refusal::Ended(self.job.state)) } else { Ok(()) }
    }
}

/// Pause after the given number of failures: it doubles with each, up to the longest.
fn pause(policy: &Policy, failures: u32) -> Millis {
    let doublings = failures.saturating_sub(1).min(32);
    policy.backoff.saturating_mul(1 << doublings).min(policy.max_backoff)
}
