//! Keeps programs running, from one thread that lives as long as they do.
//!
//! Invariant: children are spawned and reaped by this thread alone, since the kernel's parent-death signal
//! is tied to the spawning thread.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::child;

/// Pause before the first restart; doubled for each further one up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A program that ran this long starts afresh with [`FIRST_PAUSE`].
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// How often children are looked at.
const POLL: Duration = Duration::from_millis(100);
/// How long workers may take to give their parts back.
const WORKER_GRACE: Duration = Duration::from_secs(30);
/// How long the coordinator may take to close its database.
const COORDINATOR_GRACE: Duration = Duration::from_secs(10);

/// A program to keep running.
#[derive(Clone, Debug)]
pub struct Program {
    /// Short name: `coordinator`, `training` ...
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// File that its output is appended to.
    pub log: PathBuf,
    /// Ended after all that are not.
    pub ends_last: bool,
}

/// What happened to a program.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its short name.
    pub name: String,
    /// How it ended.
    pub how: String,
    /// Pause before it is started again.
    pub restart_in: Duration,
    /// How often it has ended soon after its start, this time included.
    pub in_a_row: u32,
    /// Its log.
    pub log: PathBuf,
}

enum Order {
    Start(Program, Sender<Result<()>>),
    Stop(Sender<()>),
}

/// Handle of the supervising thread; dropping it ends all programs.
#[derive(Debug)]
pub struct Supervisor {
    orders: Sender<Order>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Supervisor {
    /// Starts the thread; `on_end` hears of every program that ended unasked.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn new(on_end: impl Fn(Ended) + Send + 'static) -> Result<Self> {
        let (orders, inbox) = channel();
        let thread =
            std::thread::Builder::new().name("supervisor".to_owned()).spawn(move || run(&inbox, &on_end))?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Starts a program and keeps it running.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub fn start(&self, program: Program) -> Result<()> {
        let (answer, result) = channel();
        self.orders
            .send(Order::Start(program, answer))
            .map_err(|_| anyhow::anyhow!("the supervisor has ended"))?;
        result.recv().map_err(|_| anyhow::anyhow!("the supervisor has ended"))?
    }

    /// Ends all programs, workers first, and waits for it.
    pub fn stop(&self) {
        let (answer, done) = channel();
        if self.orders.send(Order::Stop(answer)).is_ok() {
            let _ = done.recv();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Kept {
    program: Program,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
    in_a_row: u32,
    start_at: Instant,
}

impl Kept {
    /// Notes that the program is not running, and says so.
    fn ended(&mut self, how: String, on_end: &dyn Fn(Ended)) {
        let now = Instant::now();
        if now.duration_since(self.started) >= STABLE_AFTER {
            self.pause = FIRST_PAUSE;
            self.in_a_row = 0;
        }
        self.child = None;
        self.in_a_row += 1;
        self.start_at = now + self.pause;
        on_end(Ended {
            name: self.program.name.clone(),
            how,
            restart_in: self.pause,
            in_a_row: self.in_a_row,
            log: self.program.log.clone(),
        });
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }
}

fn run(inbox: &Receiver<Order>, on_end: &dyn Fn(Ended)) {
    let mut kept: HashMap<String, Kept> = HashMap::new();
    loop {
        match inbox.recv_timeout(POLL) {
            Ok(Order::Start(program, answer)) => {
                let started = child::spawn(&program.path, &program.arguments, &program.log);
                let _ = answer.send(started.map(|child| {
                    let now = Instant::now();
                    let entry = Kept {
                        program: program.clone(),
                        child: Some(child),
                        started: now,
                        pause: FIRST_PAUSE,
                        in_a_row: 0,
                        start_at: now,
                    };
                    kept.insert(program.name.clone(), entry);
                }));
            }
            Ok(Order::Stop(answer)) => {
                stop_all(&mut kept);
                let _ = answer.send(());
                return;
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                stop_all(&mut kept);
                return;
            }
        }
        for entry in kept.values_mut() {
            look_after(entry, on_end);
        }
    }
}

fn look_after(entry: &mut Kept, on_end: &dyn Fn(Ended)) {
    let now = Instant::now();
    match &mut entry.child {
        Some(child) => {
            if let Ok(Some(status)) = child.try_wait() {
                entry.ended(describe(status), on_end);
            }
        }
        None if now >= entry.start_at => {
            match child::spawn(&entry.program.path, &entry.program.arguments, &entry.program.log) {
                Ok(child) => {
                    entry.child = Some(child);
                    entry.started = now;
                }
                Err(error) => entry.ended(format!("{error:#}"), on_end),
            }
        }
        None => {}
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Workers first, so that they can give their parts back to a coordinator that still answers.
fn stop_all(kept: &mut HashMap<String, Kept>) {
    for (last, grace) in [(false, WORKER_GRACE), (true, COORDINATOR_GRACE)] {
        let mut children: Vec<Child> = kept
            .values_mut()
            .filter(|entry| entry.program.ends_last == last)
            .filter_map(|entry| entry.child.take())
            .collect();
        children.iter().for_each(child::ask_to_end);
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            children.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
            if children.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for mut child in children {
            // It had its time; its lease will lapse and the part go on from its last checkpoint.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
