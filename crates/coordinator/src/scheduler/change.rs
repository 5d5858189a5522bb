//! A change: events applied to jobs inside one transaction, with all that follows from them.

use std::collections::VecDeque;

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::{Digest, spec};

use crate::limits;
use crate::machine::{self, Effect, Event, JobId, Level, Millis, Policy};
use crate::storage::{Artifact, NewLogLine, Revision, StoredJob, Transaction};

/// What to do once a change is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signals {
    /// A part may be free.
    pub work: bool,
    /// A job waits to be divided or assembled.
    pub prepare: bool,
    /// Jobs that have succeeded.
    pub succeeded: Vec<JobId>,
}

/// A change in the making. Dropping it undoes it.
pub(super) struct Change {
    pub transaction: Box<dyn Transaction>,
    pub now: Millis,
    policy: Policy,
    signals: Signals,
}

/// An event on its way to a job.
struct Delivery {
    job: JobId,
    event: Event,
    /// Reference to replace in the job's spec, and by which digest.
    substitution: Option<(String, Digest)>,
}

/// What became of the job that an event was for.
pub(super) struct Applied {
    pub job: StoredJob,
    pub revision: Revision,
}

impl Change {
    pub fn new(transaction: Box<dyn Transaction>, now: Millis, policy: Policy) -> Self {
        Self { transaction, now, policy, signals: Signals::default() }
    }

    /// The job as it is in this transaction.
    pub async fn job(&mut self, id: JobId) -> Result<StoredJob, ApiError> {
        let job = self.transaction.job(id).await?;
        job.ok_or_else(|| ApiError::new(ErrorCode::NotFound, format!("there is no job {id}")))
    }

    /// Applies an event, and to its dependants what follows from it.
    ///
    /// # Errors
    /// The machine's refusal of this very event, or the database's failure.
    pub async fn apply(&mut self, id: JobId, event: Event) -> Result<Applied, ApiError> {
        let mut queue = VecDeque::from([Delivery { job: id, event, substitution: None }]);
        let mut first = None;
        while let Some(delivery) = queue.pop_front() {
            let before = self.job(delivery.job).await?;
            let (job, effects) = match machine::step(&before.job, &delivery.event, self.now, &self.policy) {
                Ok(next) => next,
                Err(refusal) if first.is_none() => return Err(refusal.into()),
                Err(refusal) => {
                    let message = format!("job {} refused what followed: {refusal}", delivery.job);
                    return Err(ApiError::new(ErrorCode::Internal, message));
                }
            };
            let mut after = StoredJob { job, ..before.clone() };
            if let Some((reference, digest)) = &delivery.substitution {
                spec::substitute(&mut after.spec, |input| {
                    (input.value == *reference).then(|| digest.to_string())
                });
            }
            let revision = self.transaction.update_job(&before, &after).await?;
            after.revision = revision;
            self.carry_out(&after, effects, &mut queue).await?;
            first.get_or_insert(Applied { job: after, revision });
        }
        // What followed may have changed the very job: a blocked dependant that was retried, for example.
        let mut applied = first.ok_or_else(|| ApiError::new(ErrorCode::Internal, "nothing was applied"))?;
        applied.job = self.job(id).await?;
        Ok(applied)
    }

    async fn carry_out(
        &mut self,
        job: &StoredJob,
        effects: Vec<Effect>,
        queue: &mut VecDeque<Delivery>,
    ) -> Result<(), ApiError> {
        let mut notes = Vec::new();
        for effect in effects {
            match effect {
                Effect::Divide if job.job.assembled => self.signals.prepare = true,
                Effect::Divide => {
                    let event = Event::Divided(1);
                    queue.push_back(Delivery { job: job.id, event, substitution: None });
                }
                Effect::Assemble => self.signals.prepare = true,
                Effect::WorkAvailable => self.signals.work = true,
                Effect::TellSucceeded(output) => {
                    self.signals.succeeded.push(job.id);
                    let substitution = Some((format!("@{}", job.name), output));
                    self.tell(job, Event::DependencySucceeded(job.id), substitution, queue).await?;
                }
                Effect::TellEnded { why } => {
                    let event = Event::DependencyEnded { job: job.id, why: format!("{} {why}", job.name) };
                    self.tell(job, event, None, queue).await?;
                }
                Effect::TellRevived => {
                    self.tell(job, Event::DependencyRevived(job.id), None, queue).await?;
                }
                Effect::Note { level, part, message } => notes.push(self.line(job, level, part, &message)),
            }
        }
        if !notes.is_empty() {
            self.transaction.add_logs(job.id, &notes, limits::LOG_LINES_PER_JOB).await?;
        }
        Ok(())
    }

    async fn tell(
        &mut self,
        job: &StoredJob,
        event: Event,
        substitution: Option<(String, Digest)>,
        queue: &mut VecDeque<Delivery>,
    ) -> Result<(), ApiError> {
        for dependant in self.transaction.dependants(job.id).await? {
            let substitution = substitution.clone();
            queue.push_back(Delivery { job: dependant, event: event.clone(), substitution });
        }
        Ok(())
    }

    fn line(&self, job: &StoredJob, level: Level, part: Option<u32>, message: &str) -> NewLogLine {
        match level {
            Level::Error => tracing::error!(job = %job.id, name = job.name, part, "{message}"),
            Level::Warn => tracing::warn!(job = %job.id, name = job.name, part, "{message}"),
            Level::Info => tracing::info!(job = %job.id, name = job.name, part, "{message}"),
        }
        let attempt = part.and_then(|index| job.job.parts.get(index as usize)).map_or(0, |part| part.fence);
        NewLogLine {
            at: self.now,
            level,
            message: limits::clip(message),
            part: part.unwrap_or_default(),
            attempt,
            sequence: None,
        }
    }

    /// Makes artifacts known.
    pub async fn put_artifacts(&mut self, artifacts: &[Artifact]) -> Result<(), ApiError> {
        for artifact in artifacts {
            self.transaction.put_artifact(artifact).await?;
        }
        Ok(())
    }

    /// Makes the change durable and says what to do now.
    pub async fn commit(self) -> Result<Signals, ApiError> {
        self.transaction.commit().await?;
        Ok(self.signals)
    }
}
