//! What the programs refuse from outside, and what they say.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use system_tests::{Folder, finish, program, programs, tiny_pipeline};

const PATIENCE: Duration = Duration::from_secs(60);

fn coordinator(folder: &Folder, listen: &str) -> Command {
    let mut command = program("counterstain-coordinator");
    command.arg("--listen").arg(listen);
    command.arg("--database").arg(format!("sqlite:{}", folder.join("coordinator.sqlite").display()));
    command.arg("--store").arg(folder.join("store"));
    command
}

fn refused(command: &mut Command) -> (i32, String) {
    let output = finish(command, PATIENCE);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{command:?} was not refused");
    (output.status.code().unwrap_or_default(), stderr)
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let folder = Folder::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let (code, message) = refused(&mut coordinator(&folder, &address));
    assert_eq!(code, 4, "{message}");
    assert!(
        message.contains(&address) && message.contains("in use") && message.contains("--listen"),
        "{message}"
    );
    let mut up = program("counterstain");
    up.arg("up").arg("--data").arg(folder.join("data")).arg("--listen").arg(&address);
    let (_, message) = refused(&mut up);
    assert!(message.contains("in use"), "{message}");
}

#[test]
fn an_address_that_others_can_reach_is_refused_by_default() {
    let folder = Folder::new();
    let (code, message) = refused(&mut coordinator(&folder, "0.0.0.0:0"));
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("--allow-remote"), "{message}");
}

#[test]
fn asking_for_a_gpu_where_there_is_none_says_what_was_found() {
    let folder = Folder::new();
    for service in ["synthesis", "training", "evaluation"] {
        let mut command = program(&format!("counterstain-{service}"));
        command.arg("--store").arg(folder.join("store")).args(["--device", "cuda:7"]);
        let (_, message) = refused(&mut command);
        assert!(message.contains("cuda:7") && message.contains("finds"), "{message}");
    }
}

#[test]
fn a_faulty_pipeline_runs_nothing_and_every_fault_is_named() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(tiny_pipeline()).unwrap();
    let faulty = folder.join("faulty.toml");
    std::fs::write(
        &faulty,
        text.replace("layer = \"nuclei\"", "layr = \"nuclei\"").replace("epochs = 8", "epochs = \"eight\""),
    )
    .unwrap();
    let data = folder.join("data");
    let (code, message) = refused(program("counterstain").arg("run").arg(&faulty).arg("--data").arg(&data));
    assert_eq!(code, 2, "{message}");
    for fault in
        ["jobs.nuclei.layr", "did you mean \"layer\"", "jobs.trident.epochs", "jobs.unprivileged.epochs"]
    {
        assert!(message.contains(fault), "{fault} is not in:\n{message}");
    }
    assert!(!data.join("store/manifests").exists(), "nothing was imported");
}

#[test]
fn a_cycle_is_refused_and_named() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(tiny_pipeline()).unwrap();
    let cyclic = folder.join("cyclic.toml");
    std::fs::write(&cyclic, text.replace("[jobs.generator]\n", "[jobs.generator]\nafter = [\"nuclei\"]\n"))
        .unwrap();
    let data = folder.join("data");
    let (code, message) = refused(program("counterstain").arg("run").arg(&cyclic).arg("--data").arg(&data));
    assert_eq!(code, 2, "{message}");
    assert!(
        message.contains("cycle") && message.contains("generator") && message.contains("nuclei"),
        "{message}"
    );
}

#[test]
fn the_programs_that_compute_nothing_link_no_libtorch() {
    for name in ["counterstain", "counterstain-coordinator"] {
        let output = Command::new("ldd").arg(programs().join(name)).output().expect("ldd is there");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("libc.so") && !text.contains("torch"), "{name}: {text}");
    }
}
