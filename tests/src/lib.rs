//! Starting the real programs, watching them from outside, and killing them.
//!
//! `COUNTERSTAIN_KEEP=1` keeps the folders of a test and prints where they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The tiny pipeline.
pub fn tiny_pipeline() -> PathBuf {
    pipeline("tiny")
}

/// A pipeline of the tests.
fn pipeline(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name).with_extension("toml")
}

/// The folder of the programs: that of this profile's builds.
pub fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.ancestors().nth(2).expect("tests lie in TARGET/PROFILE/deps").to_owned();
    assert!(
        folder.join("counterstain-coordinator").exists(),
        "no programs in {}: build them first, with `cargo build --workspace --bins` or `cargo xtask test`",
        folder.display()
    );
    folder
}

/// A program of the system, with the settings that make tests quick: short leases, frequent checkpoints.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(programs().join(name));
    for (variable, value) in [
        ("COUNTERSTAIN_LEASE_SECONDS", "4"),
        // A checkpoint of the tiny encoder is 128 MiB: oftener, a slow machine would do little else.
        ("COUNTERSTAIN_CHECKPOINT_SECONDS", "3"),
        ("RUST_LOG", "info"),
    ] {
        command.env(variable, value);
    }
    for variable in ["COUNTERSTAIN_COORDINATOR", "COUNTERSTAIN_STORE", "COUNTERSTAIN_DATA_DIR"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// A folder of a test's own.
pub struct Folder {
    path: PathBuf,
    kept: Option<tempfile::TempDir>,
}

impl Folder {
    /// A new, empty folder.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        if std::env::var_os("COUNTERSTAIN_KEEP").is_some() {
            let path = folder.keep();
            eprintln!("kept: {}", path.display());
            return Self { path, kept: None };
        }
        Self { path: folder.path().to_owned(), kept: Some(folder) }
    }

    /// A path inside.
    pub fn join(&self, name: &str) -> PathBuf {
        debug_assert!(self.kept.is_none() || self.path.exists());
        self.path.join(name)
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a command to its end, with a deadline.
pub fn finish(command: &mut Command, patience: Duration) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let id = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(patience) {
        Ok(output) => output.expect("the program's output can be read"),
        Err(_) => {
            kill(id);
            panic!("{command:?} did not end within {patience:?}");
        }
    }
}

/// `counterstain run` on a pipeline of the tests, in the background.
pub struct Run {
    child: Option<Child>,
    data: PathBuf,
    out: PathBuf,
}

impl Run {
    /// Starts the tiny pipeline on the data folder `data` of `folder`.
    pub fn start(folder: &Folder, data: &str) -> Self {
        Self::start_with(folder, data, "tiny", &[])
    }

    /// Starts the pipeline `name` with further arguments.
    pub fn start_with(folder: &Folder, data: &str, name: &str, arguments: &[&str]) -> Self {
        let data = folder.join(data);
        let out = data.join("out");
        let child = program("counterstain")
            .args(["run", "--json"])
            .arg(pipeline(name))
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("counterstain starts");
        Self { child: Some(child), data, out }
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The folder of report and result.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Process id of `counterstain run` itself.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it was not waited for").id()
    }

    /// Waits until a job of this name is running with work done, neither begun nor over.
    pub fn wait_for_progress(&self, job: &str, patience: Duration) {
        eventually(patience, &format!("job {job} is in the middle"), || {
            let jobs = self.jobs();
            let found = jobs.iter().find(|found| found["name"] == job)?;
            let done = found["progress"]["done"].as_u64().unwrap_or_default();
            let hopeless = ["failed", "blocked", "cancelled"].iter().any(|state| found["state"] == *state);
            assert!(!hopeless, "job {job} will not run: {found:#}");
            (found["state"] == "succeeded" || found["state"] == "running" && done > 0).then_some(())
        });
    }

    /// The jobs as the running system tells them; empty while it cannot.
    pub fn jobs(&self) -> Vec<Value> {
        let output = finish(
            program("counterstain").args(["jobs", "--json", "--data"]).arg(&self.data),
            Duration::from_secs(30),
        );
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        value.as_array().or_else(|| value["jobs"].as_array()).cloned().unwrap_or_default()
    }

    /// SIGKILL to one of the programs that the run started.
    pub fn kill_program(&self, name: &str) {
        let children = descendants(self.id());
        let found = children.iter().find(|(_, program)| program == name);
        let (id, _) = found.unwrap_or_else(|| panic!("no process {name} among {children:?}"));
        kill(*id);
    }

    /// SIGKILL to `counterstain run` itself.
    pub fn kill(mut self) {
        kill(self.id());
        let _ = self.child.take().expect("it was not waited for").wait();
    }

    /// SIGINT to `counterstain run`, as Ctrl-C sends it.
    pub fn interrupt(&self) {
        let id = Pid::from_raw(self.id() as i32).expect("a process id");
        kill_process(id, Signal::INT).expect("the process is there");
    }

    /// Waits for the end. Gives exit status, standard output and standard error.
    pub fn wait(mut self, patience: Duration) -> Output {
        let mut child = self.child.take().expect("it was not waited for");
        let mut pipes = (child.stdout.take(), child.stderr.take());
        let read = |pipe: &mut dyn std::io::Read| {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            bytes
        };
        let mut stderr = pipes.1.take().expect("piped");
        let errors = std::thread::spawn(move || read(&mut stderr));
        let mut stdout = pipes.0.take().expect("piped");
        let output = std::thread::spawn(move || read(&mut stdout));
        let status = eventually(patience, "the run ends", || child.try_wait().expect("it can be waited for"));
        Output {
            status,
            stdout: output.join().expect("the reader does not panic"),
            stderr: errors.join().expect("the reader does not panic"),
        }
    }

    /// Waits for success and gives the result document.
    pub fn result(self, patience: Duration) -> Value {
        let out = self.out.join("result.json");
        let output = self.wait(patience);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the run failed:\n{stderr}");
        let printed: Value = serde_json::from_slice(&output.stdout).expect("--json prints the result");
        let written: Value =
            serde_json::from_slice(&fs::read(out).expect("result.json is written")).expect("JSON");
        assert_eq!(printed, written);
        written
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill(child.id());
            let _ = child.wait();
        }
    }
}

/// Digests of the finished artifacts in a data folder's store, by kind; parts left out.
pub fn artifacts(data: &Path) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut folders = vec![data.join("store/manifests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).expect("the manifest can be read");
            let Ok(manifest) = serde_json::from_slice::<Value>(&bytes) else { continue };
            let kind = manifest["kind"].as_str().unwrap_or_default().to_owned();
            if !matches!(kind.as_str(), "layer-part" | "") {
                let name = path.strip_prefix(data).unwrap_or(&path).display().to_string();
                found.entry(kind).or_default().push(name);
            }
        }
    }
    for names in found.values_mut() {
        names.sort();
    }
    found
}

/// Repeats `look` until it gives something; panics with `what` when patience ends.
pub fn eventually<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < patience, "waited {patience:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// All processes below `ancestor`, with the file name of their program.
pub fn descendants(ancestor: u32) -> Vec<(u32, String)> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc is there").filter_map(Result::ok) {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name is in parentheses and may hold spaces: the parent is the second field after them.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent| (id, parent)));
    }
    let mut found = Vec::new();
    let mut below = vec![ancestor];
    while let Some(parent) = below.pop() {
        for (id, _) in parents.iter().filter(|(_, of)| *of == parent) {
            below.push(*id);
            let program = fs::read_link(format!("/proc/{id}/exe")).unwrap_or_default();
            let name = program.file_name().map(|name| name.to_string_lossy().into_owned());
            found.push((*id, name.unwrap_or_default()));
        }
    }
    found
}

fn kill(id: u32) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(id, Signal::KILL);
    }
}
