//! The rows that cross the storage traits.

use std::collections::{BTreeMap, BTreeSet};

use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1::{JobKind, JobSpec};
use counterstain_api::{Digest, Profile};
use uuid::Uuid;

use super::Revision;
use crate::machine::{Job, JobId, JobState, Level, Millis, WorkerId};

/// A pipeline to add.
#[derive(Clone, Debug)]
pub struct NewPipeline {
    /// Its id.
    pub id: Uuid,
    /// Its name, for people.
    pub name: String,
    /// Who submitted it.
    pub principal: String,
    /// The client's key for the submission.
    pub idempotency_key: String,
    /// Digest of what was submitted.
    pub content: Digest,
    /// When.
    pub created_at: Millis,
}

/// A job to add. Jobs of a pipeline come in topological order, with rising ids.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Its name, unique in the pipeline.
    pub name: String,
    /// Its kind.
    pub kind: JobKind,
    /// Its resolved spec.
    pub spec: JobSpec,
    /// Names of the jobs that it needs.
    pub after: Vec<String>,
    /// The machine's view of it.
    pub job: Job,
}

/// A pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// When it was submitted.
    pub created_at: Millis,
}

/// What an idempotency key was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The pipeline that was made.
    pub pipeline: Uuid,
    /// Digest of what was submitted.
    pub content: Digest,
}

/// A job as the machine and the worker protocol need it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredJob {
    /// Its id.
    pub id: JobId,
    /// Its pipeline.
    pub pipeline: Uuid,
    /// The pipeline's name.
    pub pipeline_name: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: JobKind,
    /// Its resolved spec; references to jobs are replaced by digests as these become known.
    pub spec: JobSpec,
    /// Names of the jobs that it needs.
    pub after: Vec<String>,
    /// When it was submitted.
    pub created_at: Millis,
    /// Revision of its latest change.
    pub revision: Revision,
    /// The machine's view of it.
    pub job: Job,
}

/// A job as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The job.
    pub stored: StoredJob,
    /// Progress of its parts, where known.
    pub progress: Vec<Option<Progress>>,
    /// Latest value of each metric.
    pub metrics: BTreeMap<String, f64>,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// In one of these states; empty means all.
    pub states: BTreeSet<&'static str>,
    /// Of one of these kinds; empty means all.
    pub kinds: BTreeSet<&'static str>,
    /// Of this pipeline.
    pub pipeline: Option<Uuid>,
    /// With an id before this one.
    pub before: Option<JobId>,
    /// At most this many.
    pub limit: u32,
}

impl JobFilter {
    /// Lists jobs in this state too.
    pub fn state(&mut self, state: JobState) {
        self.states.insert(state.name());
    }
}

/// What a worker that wants a part has to offer.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The kinds of job it can do.
    pub kinds: Vec<JobKind>,
    /// Its compute profile.
    pub profile: Profile,
}

/// A log line to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLogLine {
    /// When it arrived.
    pub at: Millis,
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// The part it is about.
    pub part: u32,
    /// The attempt it is about; 0 when it is about none.
    pub attempt: u64,
    /// The worker's number of the line in the attempt; none for lines of the coordinator.
    pub sequence: Option<u64>,
}

/// A kept log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its place in the job's log; rises.
    pub cursor: u64,
    /// The line.
    pub line: NewLogLine,
}

/// A registered worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its id.
    pub id: WorkerId,
    /// Its name; may repeat.
    pub name: String,
    /// The kinds of job it can do.
    pub kinds: Vec<JobKind>,
    /// Its compute profile.
    pub profile: Profile,
    /// Address of its online calls; empty if none.
    pub address: String,
    /// When it registered.
    pub registered_at: Millis,
    /// When it was last heard of.
    pub seen_at: Millis,
    /// Job and part in hand.
    pub holds: Option<(JobId, u32)>,
}

/// A known artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its digest.
    pub digest: Digest,
    /// Its kind, as in the manifest.
    pub kind: String,
    /// Its artifact key; none for imports.
    pub key: Option<String>,
    /// The manifest as JSON.
    pub manifest: String,
    /// What it was made from, in the manifest's order.
    pub inputs: Vec<Digest>,
    /// Job that made it.
    pub job: Option<JobId>,
    /// When it became known.
    pub created_at: Millis,
    /// Tags that point to it; ignored when it is added.
    pub tags: Vec<String>,
    /// Its place in the order in which artifacts became known; given by the database.
    pub cursor: u64,
}

/// A tag to set.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Its name.
    pub tag: String,
    /// The artifact that it points to.
    pub digest: Digest,
    /// When it was set.
    pub at: Millis,
}
