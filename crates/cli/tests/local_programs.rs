//! The local system's programs, with scripts in their place: how they start, end and fail.

#![allow(clippy::unwrap_used, reason = "these are helpers of tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAMS: [&str; 4] = [
    "counterstain-coordinator",
    "counterstain-synthesis",
    "counterstain-training",
    "counterstain-evaluation",
];

fn counterstain(bin: &Path, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterstain"));
    command
        .env("COUNTERSTAIN_BIN_DIR", bin)
        .env_remove("COUNTERSTAIN_COORDINATOR")
        .env_remove("COUNTERSTAIN_STORE");
    command.arg("--data").arg(data).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Programs that do what `script` says.
fn scripts(folder: &Path, script: &str) {
    for name in PROGRAMS {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what} did not happen within 20 s");
}

#[test]
fn a_missing_program_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = counterstain(folder.path(), &folder.path().join("data")).arg("up").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let message = stderr(&output);
    assert!(message.contains("counterstain-coordinator") && message.contains("cargo build"), "{message}");
}

#[test]
fn a_coordinator_that_cannot_start_is_reported_with_its_log_and_not_retried_for_long() {
    let folder = tempfile::tempdir().unwrap();
    scripts(folder.path(), "echo 'the database is from another planet' >&2; exit 6");
    let started = Instant::now();
    let output = counterstain(folder.path(), &folder.path().join("data"))
        .args(["up", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let message = stderr(&output);
    assert!(!output.status.success());
    assert!(message.contains("from another planet") && message.contains("coordinator.log"), "{message}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[test]
fn no_program_outlives_the_command_that_started_it_even_when_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    scripts(
        folder.path(),
        &format!("echo $$ > {}.new && mv {0}.new {0}; exec sleep 1000", pid_file.display()),
    );
    let mut up = counterstain(folder.path(), &folder.path().join("data"))
        .args(["up", "--listen", "127.0.0.1:0"])
        .spawn()
        .unwrap();
    let child = eventually("the start of the coordinator", || std::fs::read_to_string(&pid_file).ok());
    let process = format!("/proc/{}", child.trim());
    assert!(Path::new(&process).exists());
    up.kill().unwrap();
    up.wait().unwrap();
    eventually("the end of the coordinator", || (!Path::new(&process).exists()).then_some(()));
}

#[test]
fn import_errors_are_complete_on_stderr_and_structured_with_json() {
    let folder = tempfile::tempdir().unwrap();
    let tiles = folder.path().join("tiles/a");
    std::fs::create_dir_all(&tiles).unwrap();
    std::fs::write(tiles.join("one.png"), b"no picture").unwrap();
    std::fs::write(tiles.join("two.jpg"), b"").unwrap();
    let import = |json: bool| {
        let mut command = counterstain(folder.path(), &folder.path().join("data"));
        command.args(["import", "folder"]).arg(folder.path().join("tiles"));
        if json {
            command.arg("--json");
        }
        command.output().unwrap()
    };
    let output = import(false);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("a/one.png") && message.contains("a/two.jpg"), "{message}");
    let output = import(true);
    let message = stderr(&output);
    let document: serde_json::Value = serde_json::from_str(message.lines().last().unwrap()).unwrap();
    assert_eq!(document["error"]["code"], "invalid_argument");
    assert!(output.stdout.is_empty());
}

#[test]
fn without_a_coordinator_imports_are_listed_from_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let run = |arguments: &[&str]| {
        let output = counterstain(folder.path(), &data).args(arguments).arg("--json").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let imported = run(&["import", "simulated", "--samples", "10", "--size", "32"]);
    let digest = imported["digest"].as_str().unwrap();
    assert_eq!(run(&["artifacts"])["artifacts"][0]["digest"], digest);
    assert_eq!(run(&["show", &digest[..20]])["manifest"]["body"]["samples"], 10);
    let out = folder.path().join("out");
    run(&["export", digest, "--out", out.to_str().unwrap()]);
    assert!(out.join("shards/00000.tar").is_file() && out.join("manifest.json").is_file());
}

#[test]
fn a_coordinator_that_is_not_there_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = counterstain(folder.path(), &folder.path().join("data"))
        .args(["jobs", "--coordinator", "http://127.0.0.1:9"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9));
    let message = stderr(&output);
    assert!(message.contains("http://127.0.0.1:9") && message.contains("counterstain up"), "{message}");
}
