//! Progress of long commands: a bar on a terminal, plain lines otherwise, JSON lines with `--json`.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::import::Step;
use crate::output::duration;

/// Pause between two lines when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the progress of a command's steps on stderr.
pub struct StepProgress {
    command: &'static str,
    name: String,
    started: Instant,
    shape: Shape,
}

enum Shape {
    Bar(ProgressBar),
    Lines { json: bool, last: Mutex<Option<Instant>> },
}

impl StepProgress {
    /// Progress of `command` on `name`.
    pub fn new(command: &'static str, name: &str, json: bool) -> Self {
        let shape = if !json && std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(
                "{prefix:.bold} {bar:32.cyan/dim} {pos}/{len} {msg} · {per_sec:.0} · {eta} left",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key(
                "per_sec",
                |state: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
                    let _ = write!(text, "{:.0}/s", state.per_sec());
                },
            );
            Shape::Bar(ProgressBar::new(0).with_style(style).with_prefix(name.to_owned()))
        } else {
            Shape::Lines { json, last: Mutex::new(None) }
        };
        Self { command, name: name.to_owned(), started: Instant::now(), shape }
    }

    /// Shows a step.
    pub fn show(&self, step: Step) {
        match &self.shape {
            Shape::Bar(bar) => {
                bar.set_length(step.total);
                bar.set_position(step.done);
                let bad = if step.bad > 0 { format!(", {} unusable", step.bad) } else { String::new() };
                bar.set_message(format!("{} {}{bad}", step.unit, step.phase));
            }
            Shape::Lines { json, last } => {
                let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let is_due = last.is_none_or(|last| last.elapsed() >= LINE_EVERY) || step.done == step.total;
                if is_due {
                    *last = Some(Instant::now());
                    eprintln!("{}", self.line(step, *json));
                }
            }
        }
    }

    fn line(&self, step: Step, json: bool) -> String {
        let elapsed = self.started.elapsed().as_secs_f64();
        let rate = step.done as f64 / elapsed.max(1e-3);
        let eta = (step.total - step.done.min(step.total)) as f64 / rate.max(1e-9);
        if json {
            return json!({ self.command: self.name, "phase": step.phase, "done": step.done, "total": step.total,
                "unit": step.unit, "unusable": step.bad, "rate": rate, "eta_seconds": eta })
            .to_string();
        }
        let bad = if step.bad > 0 { format!(", {} unusable", step.bad) } else { String::new() };
        let Step { phase, done, total, unit, .. } = step;
        format!("{}: {phase} {done}/{total} {unit}{bad}, {rate:.0}/s, {} left", self.name, duration(eta))
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Shape::Bar(bar) = &self.shape {
            bar.finish_and_clear();
        }
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
