//! Live progress of a pipeline: a line per job on a terminal, plain lines otherwise.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use counterstain_api::proto::job::v1::{Job, JobState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::json::{has_ended, state_name};
use crate::output::{duration, seconds_between, short};

/// Pause between two lines about the progress of one job when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows jobs on stderr.
pub struct RunProgress {
    shape: Shape,
}

enum Shape {
    Bars { all: MultiProgress, by_job: HashMap<String, ProgressBar>, width: usize },
    Lines { last: HashMap<String, (JobState, Instant)> },
}

impl RunProgress {
    /// Progress of these jobs.
    pub fn new(jobs: &[Job]) -> Self {
        let width = jobs.iter().map(|job| job.name.len()).max().unwrap_or_default();
        let shape = if std::io::stderr().is_terminal() {
            Shape::Bars { all: MultiProgress::new(), by_job: HashMap::new(), width }
        } else {
            Shape::Lines { last: HashMap::new() }
        };
        let mut progress = Self { shape };
        jobs.iter().for_each(|job| progress.show(job));
        progress
    }

    /// Shows a job as it stands now.
    pub fn show(&mut self, job: &Job) {
        match &mut self.shape {
            Shape::Bars { all, by_job, width } => {
                let bar = by_job.entry(job.id.clone()).or_insert_with(|| {
                    let bar = all.add(ProgressBar::new(1));
                    bar.set_prefix(format!("{:width$}", job.name, width = *width));
                    bar
                });
                show_bar(bar, job);
            }
            Shape::Lines { last } => {
                let now = Instant::now();
                let is_due = last.get(&job.id).is_none_or(|(state, at)| {
                    *state != job.state() || (job.state() == JobState::Running && now - *at >= LINE_EVERY)
                });
                if is_due {
                    last.insert(job.id.clone(), (job.state(), now));
                    eprintln!("{}: {} {}", job.name, state_name(job.state()), describe_progress(job));
                }
            }
        }
    }

    /// Says something beside the jobs.
    pub fn note(&self, text: &str) {
        match &self.shape {
            Shape::Bars { all, .. } => all.suspend(|| eprintln!("{text}")),
            Shape::Lines { .. } => eprintln!("{text}"),
        }
    }

    /// Leaves the bars as they are.
    pub fn finish(&self) {
        if let Shape::Bars { by_job, .. } = &self.shape {
            by_job.values().for_each(ProgressBar::abandon);
            eprintln!();
        }
    }
}

fn show_bar(bar: &ProgressBar, job: &Job) {
    let (mark, template) = match job.state() {
        JobState::Running => ("▶", "{prefix:.bold} {bar:24.cyan/dim} {wide_msg}"),
        JobState::Succeeded => ("✓", "{prefix:.bold} {bar:24.green/dim} {wide_msg}"),
        JobState::Failed | JobState::Cancelled => ("✗", "{prefix:.bold} {bar:24.red/dim} {wide_msg}"),
        JobState::Blocked => ("–", "{prefix:.dim} {bar:24.dim/dim} {wide_msg}"),
        _ => ("·", "{prefix:.dim} {bar:24.dim/dim} {wide_msg:.dim}"),
    };
    bar.set_style(
        ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─"),
    );
    let (done, total) = match (&job.progress, job.state()) {
        (_, JobState::Succeeded) => (1, 1),
        (Some(progress), _) => (progress.done, progress.total.max(1)),
        (None, _) => (0, 1),
    };
    bar.set_length(total);
    bar.set_position(done);
    let description = describe_progress(job);
    bar.set_message(format!("{mark} {} {description}", state_name(job.state())));
    if has_ended(job.state()) {
        bar.abandon();
    }
}

/// Where a job stands in a line: phase, done, rate, time left, and the metric that tells most.
pub fn describe_progress(job: &Job) -> String {
    match job.state() {
        JobState::Succeeded => {
            let took = seconds_between(job.started_at, job.ended_at)
                .map(|seconds| format!(" in {}", duration(seconds)));
            let reused = if job.reused { " (known already)" } else { "" };
            format!("{}{}{reused}", short(&job.output), took.filter(|_| !job.reused).unwrap_or_default())
        }
        JobState::Failed | JobState::Blocked | JobState::Cancelled => {
            job.failure.as_ref().map(|failure| failure.message.replace('\n', " ")).unwrap_or_default()
        }
        _ => {
            let Some(progress) =
                job.progress.as_ref().filter(|progress| progress.total > 0 || progress.done > 0)
            else {
                return String::new();
            };
            let mut parts =
                vec![format!("{} {}/{} {}", progress.phase, progress.done, progress.total, progress.unit)];
            if let Some(rate) = progress.rate.filter(|rate| *rate > 0.0) {
                parts.push(if rate >= 10.0 { format!("{rate:.0}/s") } else { format!("{rate:.2}/s") });
            }
            if let Some(eta) = progress.eta_seconds {
                parts.push(format!("{} left", duration(eta)));
            }
            if let Some((name, value)) = key_metric(job) {
                parts.push(format!("{name} {value:.4}"));
            }
            parts.join(" · ")
        }
    }
}

/// The metric that tells most about how training goes.
fn key_metric(job: &Job) -> Option<(&str, f64)> {
    let preferred = ["loss", "loss_g_l1"];
    let named = preferred.iter().find_map(|name| job.metrics.get_key_value(*name));
    let any_loss = || {
        let mut losses: Vec<_> = job.metrics.iter().filter(|(name, _)| name.contains("loss")).collect();
        losses.sort_by(|first, second| first.0.cmp(second.0));
        losses.into_iter().next()
    };
    named.or_else(any_loss).map(|(name, value)| (name.as_str(), *value))
}

#[cfg(test)]
mod tests {
    use counterstain_api::proto::common::v1::Progress;

    use super::*;

    #[test]
    fn a_running_job_says_what_is_left_and_its_loss() {
        let job = Job {
            state: JobState::Running.into(),
            progress: Some(Progress {
                phase: "training".into(),
                done: 3,
                total: 10,
                unit: "steps".into(),
                eta_seconds: Some(7.0),
                rate: Some(1.0),
            }),
            metrics: [("loss".to_owned(), 2.5), ("std".to_owned(), 1.0)].into(),
            ..Job::default()
        };
        assert_eq!(describe_progress(&job), "training 3/10 steps · 1.00/s · 7.0 s left · loss 2.5000");
    }
}
