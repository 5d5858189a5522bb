//! Child processes that never outlive their parent.
//!
//! The kernel kills a process when its parent ends if the process itself asked for that. So a program is
//! started through a short detour: this program, as `counterstain child`, asks and then becomes the other
//! program (the request survives `exec`). No unsafe code between fork and exec is needed.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use crate::options::ChildOptions;

/// Becomes the program of the options, which the kernel ends together with the parent.
///
/// # Errors
/// When the program cannot be started; otherwise this does not return.
pub fn become_child(options: &ChildOptions) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie this process to its parent")?;
    // The parent may have ended before the request: then nobody would send the signal.
    if getppid().map(Pid::as_raw_pid) != Some(options.parent) {
        anyhow::bail!("the process that started this one is gone");
    }
    let (program, arguments) = options.command.split_first().context("no program was named")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}

/// This program's file, as it was when first asked for: a later build may replace it while it runs, and the
/// system would then name a deleted file.
fn own_program() -> Result<&'static Path> {
    static OWN: LazyLock<std::io::Result<PathBuf>> = LazyLock::new(std::env::current_exe);
    OWN.as_deref().map_err(|error| anyhow::anyhow!("cannot find this program's own file: {error}"))
}

/// Starts a program whose output is appended to a log file, in a process group of its own (Ctrl-C in a
/// terminal reaches only the parent, which then ends its children in order).
///
/// The calling thread must live as long as the child: the kernel's signal is tied to it.
///
/// # Errors
/// When the log cannot be opened or the detour cannot be started.
pub fn spawn(program: &Path, arguments: &[OsString], log: &Path) -> Result<Child> {
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write the log {}", log.display()))?;
    let mut command = Command::new(own_program()?);
    command
        .arg("child")
        .arg("--parent")
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// Asks a child to end in order.
pub fn ask_to_end(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended already; then there is nothing to ask.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// The last lines of a log, for an error message.
pub fn tail(log: &Path, lines: usize) -> String {
    let text =
        std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
