//! All that an engine sees of the world.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::{JobSpec, Picture};
use counterstain_api::spec;
use counterstain_api::{Digest, Profile};
use counterstain_artifact::dataset::Reader;
use counterstain_artifact::{PlacedCheckpoint, Store};
use counterstain_tile::Tile;
use counterstain_tile::encode::encode_png;
use counterstain_tile::strip::side_by_side;
use tokio::runtime::Handle;

use crate::control::{Backoff, Control};
use crate::report::{Report, Stop};
use crate::{Refused, TaskError};

/// Longest side of a panel of a picture, in pixels.
const PICTURE_SIDE: usize = 192;
/// Largest picture, in bytes.
const PICTURE_BYTES: usize = 384 << 10;

/// A part to work on, and the means to do so. All calls are for the compute thread: they may block.
pub struct Task {
    pub(crate) job_id: String,
    pub(crate) part: u32,
    pub(crate) part_count: u32,
    pub(crate) attempt: u32,
    pub(crate) fence: u64,
    pub(crate) spec: JobSpec,
    pub(crate) checkpoint: Option<PlacedCheckpoint>,
    pub(crate) profile: Profile,
    pub(crate) store: Store,
    pub(crate) reader: Reader,
    pub(crate) cache_dir: PathBuf,
    pub(crate) handle: Handle,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) report: Arc<Report>,
    pub(crate) checkpoint_interval: Duration,
    pub(crate) last_checkpoint: Mutex<Instant>,
}

impl Task {
    /// The resolved spec, artifacts as digests.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// Id of the job, for messages; nothing in an output may depend on it.
    pub fn job_id(&self) -> &str {
        &self.job_id
    }

    /// Index of the part, from 0.
    pub fn part(&self) -> u32 {
        self.part
    }

    /// How many parts the job has.
    pub fn part_count(&self) -> u32 {
        self.part_count
    }

    /// Number of the attempt, from 1, for messages.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The compute profile, as the output's manifest states it.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The object store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Reads samples through the local cache.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Folder for scratch files on the disk of the cache.
    pub fn cache_dir(&self) -> &Path {
        &self.cache_dir
    }

    /// The runtime, for I/O from this thread.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for I/O on the runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// The artifact that a job of this spec under this task's profile would make, if it exists.
    ///
    /// # Errors
    /// The coordinator refused, or the engine must stop.
    pub fn find_output_of(&self, resolved: &JobSpec) -> Result<Option<Digest>, TaskError> {
        let kind = spec::kind_name(spec::kind(resolved));
        let key = spec::artifact_key(kind, &spec::canonical_json(resolved), &self.profile);
        self.persist(|| self.control.find_artifact(&key))
    }

    /// Makes a by-product, already in the store, known to the coordinator, so that others find it.
    ///
    /// # Errors
    /// The coordinator refused, or the engine must stop.
    pub fn register_artifact(&self, artifact: &Digest) -> Result<(), TaskError> {
        self.persist(|| self.control.register_artifact(artifact))
    }

    /// Call it once a step, after a due checkpoint.
    ///
    /// # Errors
    /// The job was cancelled, the lease was lost or the process ends: pass it on at once.
    pub fn check(&self) -> Result<(), TaskError> {
        match self.report.stopped() {
            None => Ok(()),
            Some(Stop::Cancelled) => Err(TaskError::stopped("the job was cancelled")),
            Some(Stop::LeaseLost) => Err(TaskError::stopped("the lease was lost")),
            Some(Stop::ShuttingDown) => Err(TaskError::stopped("the worker is stopping")),
        }
    }

    /// How far the work is; rate and ETA are computed from it. Cheap: call it every step.
    pub fn progress(&self, phase: &str, done: u64, total: u64, unit: &str) {
        self.report.progress(phase, done, total, unit);
    }

    /// A value of a metric at a step. A replayed step adds nothing.
    pub fn metric(&self, step: u64, name: &str, value: f64) {
        self.report.metric(step, name, value);
    }

    /// Whether operators are due a new picture: by the clock. Making one must not change any bit of the output.
    pub fn picture_due(&self) -> bool {
        self.report.picture_due()
    }

    /// Shows operators what the job makes: images side by side, with the name of each. `step` is the step of a
    /// training, or the position of the sample. A picture that cannot be made is left out.
    pub fn picture(&self, name: &str, step: u64, panels: &[(&str, Tile<u8>)]) {
        let tiles: Vec<&Tile<u8>> = panels.iter().map(|(_, tile)| tile).collect();
        let png = side_by_side(&tiles, PICTURE_SIDE).and_then(|strip| encode_png(&strip));
        match png {
            Ok(png) if png.len() <= PICTURE_BYTES => self.report.picture(Picture {
                name: name.to_owned(),
                step,
                panels: panels.iter().map(|(panel, _)| (*panel).to_owned()).collect(),
                png,
            }),
            Ok(png) => tracing::debug!(name, step, bytes = png.len(), "a picture is too large"),
            Err(error) => tracing::debug!(name, step, %error, "a picture cannot be made"),
        }
    }

    /// A line for the job's log.
    pub fn info(&self, message: &str) {
        tracing::info!(job = self.job_id, part = self.part, "{message}");
        self.report.log("info", message);
    }

    /// A warning for the job's log.
    pub fn warn(&self, message: &str) {
        tracing::warn!(job = self.job_id, part = self.part, "{message}");
        self.report.log("warn", message);
    }

    /// Repeats a call while the coordinator cannot be reached.
    pub(crate) fn persist<T, F>(&self, call: impl Fn() -> F) -> Result<T, TaskError>
    where
        F: Future<Output = Result<T, Refused>>,
    {
        let mut backoff = Backoff::new();
        loop {
            match self.block_on(call()) {
                Ok(value) => return Ok(value),
                Err(error) if error.code == ErrorCode::StaleFence => {
                    self.report.stop(Stop::LeaseLost);
                    return Err(TaskError::stopped("the lease was lost"));
                }
                Err(error) if error.code == ErrorCode::Unavailable => {
                    self.check()?;
                    std::thread::sleep(backoff.next());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
