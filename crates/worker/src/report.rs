//! What the compute thread has to say, until a heartbeat carries it; and the word to stop, on its way down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use counterstain_api::proto::common::v1::{Progress, RunStatus};
use counterstain_api::proto::job::v1::{Metric, Picture, WorkerLogLine};

/// Most metrics and log lines that are kept while the coordinator cannot be reached; the oldest go first.
const KEPT: usize = 100_000;
/// Pictures that wait for a heartbeat: the latest of each name.
const PICTURES: usize = 4;
/// Time between two pictures of a part.
const PICTURE_EVERY: Duration = Duration::from_secs(20);
/// Rates are measured over this much of the recent past.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Why the engine must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// An operator cancelled the job.
    Cancelled,
    /// The lease is no longer ours.
    LeaseLost,
    /// The process was asked to end.
    ShuttingDown,
}

/// Shared by the compute thread, the heartbeat and the online calls.
#[derive(Debug, Default)]
pub(crate) struct Report {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stop: Option<Stop>,
    progress: Progress,
    observations: VecDeque<(Instant, u64)>,
    metrics: VecDeque<Metric>,
    latest: BTreeMap<String, f64>,
    logs: VecDeque<WorkerLogLine>,
    next_log: u64,
    pictures: Vec<Picture>,
    last_picture: Option<Instant>,
}

/// What a heartbeat carries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub progress: Progress,
    pub metrics: Vec<Metric>,
    pub logs: Vec<WorkerLogLine>,
    pub pictures: Vec<Picture>,
}

impl Report {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of the engine is caught elsewhere; the plain data behind the lock stays usable.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn stop(&self, reason: Stop) {
        // The first reason stays: a lost lease must not turn into a release.
        self.state().stop.get_or_insert(reason);
    }

    pub fn stopped(&self) -> Option<Stop> {
        self.state().stop
    }

    pub fn progress(&self, phase: &str, done: u64, total: u64, unit: &str) {
        let now = Instant::now();
        let mut state = self.state();
        if state.progress.phase != phase {
            state.observations.clear();
        }
        state.observations.push_back((now, done));
        while state.observations.len() > 2 && now - state.observations[1].0 > RATE_WINDOW {
            state.observations.pop_front();
        }
        if state.observations.len() > 4096 {
            // Many small steps: thin out, keeping the oldest of the window.
            let kept = state.observations.iter().copied().step_by(2).collect();
            state.observations = kept;
        }
        let (first, first_done) = state.observations[0];
        let seconds = (now - first).as_secs_f64();
        let rate = (done > first_done && seconds > 0.0).then(|| (done - first_done) as f64 / seconds);
        state.progress = Progress {
            phase: phase.to_owned(),
            done,
            total,
            unit: unit.to_owned(),
            rate,
            eta_seconds: rate.map(|rate| total.saturating_sub(done) as f64 / rate),
        };
    }

    pub fn metric(&self, step: u64, name: &str, value: f64) {
        let mut state = self.state();
        state.latest.insert(name.to_owned(), value);
        if state.metrics.len() == KEPT {
            state.metrics.pop_front();
        }
        state.metrics.push_back(Metric { step, name: name.to_owned(), value });
    }

    pub fn log(&self, level: &str, message: &str) {
        let mut state = self.state();
        let sequence = state.next_log;
        state.next_log += 1;
        if state.logs.len() == KEPT {
            state.logs.pop_front();
        }
        state.logs.push_back(WorkerLogLine {
            level: level.to_owned(),
            message: message.to_owned(),
            sequence,
        });
    }

    pub fn picture_due(&self) -> bool {
        self.state().last_picture.is_none_or(|last| last.elapsed() >= PICTURE_EVERY)
    }

    pub fn picture(&self, picture: Picture) {
        let mut state = self.state();
        state.last_picture = Some(Instant::now());
        state.pictures.retain(|known| known.name != picture.name);
        if state.pictures.len() < PICTURES {
            state.pictures.push(picture);
        }
    }

    /// What to send now. It stays here until [`Report::acknowledge`]: a heartbeat may be lost.
    pub fn batch(&self, most: usize) -> Batch {
        let state = self.state();
        Batch {
            progress: state.progress.clone(),
            metrics: state.metrics.iter().take(most).cloned().collect(),
            logs: state.logs.iter().take(most).cloned().collect(),
            pictures: state.pictures.clone(),
        }
    }

    /// Drops what a heartbeat carried.
    pub fn acknowledge(&self, batch: &Batch) {
        let mut state = self.state();
        let sent = batch.metrics.len().min(state.metrics.len());
        state.metrics.drain(..sent);
        let sent = batch.logs.len().min(state.logs.len());
        state.logs.drain(..sent);
        state.pictures.retain(|picture| !batch.pictures.contains(picture));
    }

    pub fn is_flushed(&self) -> bool {
        let state = self.state();
        state.metrics.is_empty() && state.logs.is_empty() && state.pictures.is_empty()
    }

    fn status(&self, job_id: &str, part: u32) -> RunStatus {
        let state = self.state();
        RunStatus {
            job_id: job_id.to_owned(),
            part,
            progress: Some(state.progress.clone()),
            metrics: state.latest.clone().into_iter().collect(),
        }
    }
}

/// The run in hand, for the online calls.
#[derive(Clone, Debug, Default)]
pub struct StatusHandle {
    current: Arc<Mutex<Option<Current>>>,
}

#[derive(Debug)]
pub(crate) struct Current {
    pub job_id: String,
    pub part: u32,
    pub report: Arc<Report>,
}

impl StatusHandle {
    /// What the worker is doing now; empty while idle.
    pub fn get(&self) -> RunStatus {
        let current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*current {
            Some(Current { job_id, part, report }) => report.status(job_id, *part),
            None => RunStatus::default(),
        }
    }

    pub(crate) fn set(&self, current: Option<Current>) {
        *self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = current;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_acknowledged_is_sent_again() {
        let report = Report::default();
        report.metric(1, "loss", 2.0);
        let first = report.batch(10);
        report.metric(2, "loss", 1.0);
        assert_eq!(report.batch(10).metrics.len(), 2);
        report.acknowledge(&first);
        assert_eq!(report.batch(10).metrics[0].step, 2);
        assert!(!report.is_flushed());
    }

    #[test]
    fn the_latest_picture_of_a_name_waits_and_the_next_is_not_due_at_once() {
        let report = Report::default();
        assert!(report.picture_due());
        let picture = |step| Picture { name: "training".to_owned(), step, ..Picture::default() };
        report.picture(picture(1));
        let sent = report.batch(10);
        report.picture(picture(2));
        assert!(!report.picture_due());
        report.acknowledge(&sent);
        assert_eq!(report.batch(10).pictures, [picture(2)]);
        report.acknowledge(&report.batch(10));
        assert!(report.is_flushed());
    }

    #[test]
    fn the_first_reason_to_stop_stays() {
        let report = Report::default();
        report.stop(Stop::LeaseLost);
        report.stop(Stop::ShuttingDown);
        assert_eq!(report.stopped(), Some(Stop::LeaseLost));
    }

    #[test]
    fn a_new_phase_starts_a_new_rate() {
        let report = Report::default();
        report.progress("embed", 0, 10, "tiles");
        std::thread::sleep(Duration::from_millis(5));
        report.progress("embed", 5, 10, "tiles");
        assert!(report.batch(1).progress.eta_seconds.is_some());
        report.progress("probe", 5, 10, "steps");
        assert_eq!(report.batch(1).progress.rate, None);
    }
}
