//! Leases: taking, losing and extending them, and reuse of what exists instead.

use counterstain_api::error::ErrorCode;
use counterstain_api::{Digest, Profile};

use super::step::Step;
use super::{Claim, Effect, Failure, JobState, Lease, Level, PartState, Refusal, WorkerId};

impl Step<'_> {
    pub(super) fn lease(&mut self, index: u32, worker: WorkerId, profile: &Profile) -> Result<(), Refusal> {
        self.workable()?;
        let part = self.part(index)?;
        match part.state {
            PartState::Pending { not_before } if not_before > self.now => {
                return Err(Refusal::Pausing { part: index, not_before });
            }
            PartState::Pending { .. } => {}
            _ => return Err(Refusal::NotFree(index)),
        }
        match &self.job.profile {
            Some(other) if other != profile => return Err(Refusal::OtherProfile(other.clone())),
            _ => self.job.profile = Some(profile.clone()),
        }
        let expires_at = self.now + self.policy.lease;
        let part = &mut self.job.parts[index as usize];
        part.fence += 1;
        part.state = PartState::Leased(Lease { worker, expires_at });
        let attempt = part.fence;
        self.job.state = JobState::Running;
        self.job.started_at.get_or_insert(self.now);
        self.note(Level::Info, Some(index), format!("attempt {attempt} leased to worker {worker}"));
        Ok(())
    }

    pub(super) fn reuse(&mut self, output: Digest) -> Result<(), Refusal> {
        self.workable()?;
        if self.job.fresh || self.job.leases().next().is_some() {
            let action = "its output is reused only if no fresh run was asked for and no part is leased";
            return Err(Refusal::WrongState { state: self.job.state, action });
        }
        self.job.reused = true;
        self.succeed(output);
        Ok(())
    }

    pub(super) fn abandon(&mut self, claim: &Claim) -> Result<(), Refusal> {
        self.held(claim)?;
        self.lose(claim.part, "its worker asked for other work");
        Ok(())
    }

    pub(super) fn expire(&mut self) {
        let over: Vec<u32> = self
            .job
            .leases()
            .filter(|(_, _, lease)| lease.expires_at <= self.now)
            .map(|(index, _, _)| index)
            .collect();
        for index in over {
            self.lose(index, "its worker sent no heartbeat");
        }
    }

    /// A lease is lost. It counts unless the job has ended, for then the worker was told to stop.
    fn lose(&mut self, index: u32, why: &str) {
        let ended = self.job.state.has_ended();
        let part = &mut self.job.parts[index as usize];
        if !ended {
            part.lost += 1;
        }
        let (lost, attempt) = (part.lost, part.fence);
        self.set_part(index as usize, PartState::FREE);
        if ended {
            return;
        }
        self.job.lost_leases += 1;
        self.note(Level::Warn, Some(index), format!("attempt {attempt} lost its lease: {why}"));
        if lost >= self.policy.max_lost_leases {
            self.set_part(index as usize, PartState::Failed);
            let message = format!("part {index} lost {lost} leases without a new checkpoint; last, {why}");
            self.end(JobState::Failed, Failure::new(ErrorCode::Unavailable, message));
        } else {
            self.emit(Effect::WorkAvailable);
        }
    }

    pub(super) fn restart(&mut self) {
        let expires_at = self.now + self.policy.lease;
        for part in &mut self.job.parts {
            if let PartState::Leased(lease) = &mut part.state {
                lease.expires_at = lease.expires_at.max(expires_at);
            }
        }
    }

    /// The job has parts to work on.
    fn workable(&self) -> Result<(), Refusal> {
        match self.job.state {
            JobState::Queued | JobState::Running => Ok(()),
            state => Err(Refusal::WrongState { state, action: "only a queued or running job is worked on" }),
        }
    }
}
