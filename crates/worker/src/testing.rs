//! A task without a coordinator, for the tests of engines: commits are recorded instead of sent.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use counterstain_api::proto::job::v1::{JobSpec, Picture};
use counterstain_api::{Digest, Profile};
use counterstain_artifact::dataset::Reader;
use counterstain_artifact::{CheckpointPlace, PlacedCheckpoint, Store};
use tokio::runtime::Handle;

use crate::report::{Report, Stop};
use crate::{Control, Refused, Task};

const JOB: &str = "test";
const FENCE: u64 = 1;

/// What a task under test committed; may also stop it after a number of checkpoints.
#[derive(Debug, Default)]
pub struct Recorder {
    part: u32,
    checkpoints: Mutex<Vec<PlacedCheckpoint>>,
    stop_after: Option<usize>,
    report: Arc<Report>,
}

impl Recorder {
    /// The checkpoints so far; none was removed.
    pub fn checkpoints(&self) -> Vec<PlacedCheckpoint> {
        self.checkpoints.lock().expect("no test panics while it holds the lock").clone()
    }

    /// Values of a metric that the task reported, by step.
    pub fn metric(&self, name: &str) -> Vec<(u64, f64)> {
        let batch = self.report.batch(usize::MAX);
        batch
            .metrics
            .iter()
            .filter(|metric| metric.name == name)
            .map(|metric| (metric.step, metric.value))
            .collect()
    }

    /// The latest picture of each name that the task showed.
    pub fn pictures(&self) -> Vec<Picture> {
        self.report.batch(0).pictures
    }
}

#[async_trait]
impl Control for Recorder {
    async fn commit_checkpoint(&self, checkpoint: &Digest, step: u64) -> Result<(), Refused> {
        let mut checkpoints = self.checkpoints.lock().expect("no test panics while it holds the lock");
        let place = CheckpointPlace { job: JOB.to_owned(), part: self.part, fence: FENCE, step };
        checkpoints.push(PlacedCheckpoint { digest: *checkpoint, place });
        if self.stop_after == Some(checkpoints.len()) {
            self.report.stop(Stop::LeaseLost);
        }
        Ok(())
    }

    async fn find_artifact(&self, _key: &str) -> Result<Option<Digest>, Refused> {
        Ok(None)
    }

    async fn register_artifact(&self, _artifact: &Digest) -> Result<(), Refused> {
        Ok(())
    }
}

/// How a task under test is set up.
pub struct TestTask {
    /// The spec, resolved.
    pub spec: JobSpec,
    /// The store.
    pub store: Store,
    /// Checkpoint to go on from.
    pub checkpoint: Option<PlacedCheckpoint>,
    /// Part and number of parts.
    pub part: (u32, u32),
    /// Time between checkpoints; zero means one at every opportunity.
    pub checkpoint_interval: Duration,
    /// Stop (as if the lease were lost) after this many checkpoints.
    pub stop_after: Option<usize>,
    /// Compute threads of the profile.
    pub threads: u32,
}

impl TestTask {
    /// A new start on one part, without checkpoints.
    pub fn new(spec: JobSpec, store: Store) -> Self {
        let checkpoint_interval = Duration::from_secs(86_400);
        Self {
            spec,
            store,
            checkpoint: None,
            part: (0, 1),
            checkpoint_interval,
            stop_after: None,
            threads: 1,
        }
    }

    /// The task and the record of its commits. Call it outside the runtime's own threads' async code, and run
    /// the engine on a plain thread or in `spawn_blocking`.
    pub fn build(self, cache_dir: &Path, handle: Handle) -> (Task, Arc<Recorder>) {
        let report = Arc::new(Report::default());
        let recorder = Arc::new(Recorder {
            part: self.part.0,
            stop_after: self.stop_after,
            report: report.clone(),
            ..Recorder::default()
        });
        let reader = Reader::new(self.store.clone(), cache_dir, 1 << 30, handle.clone());
        let task = Task {
            job_id: JOB.to_owned(),
            part: self.part.0,
            part_count: self.part.1,
            attempt: 1,
            fence: FENCE,
            spec: self.spec,
            checkpoint: self.checkpoint,
            profile: Profile {
                device_class: "test".to_owned(),
                threads: self.threads,
                libtorch: "test".to_owned(),
                revision: 1,
            },
            store: self.store,
            reader,
            cache_dir: cache_dir.to_owned(),
            handle,
            control: recorder.clone(),
            report,
            checkpoint_interval: self.checkpoint_interval,
            last_checkpoint: Mutex::new(Instant::now()),
        };
        (task, recorder)
    }
}
