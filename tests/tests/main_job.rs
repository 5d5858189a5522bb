//! The main job through the real services: undisturbed, killed at every place, interrupted and continued.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use system_tests::{Folder, Run, artifacts, descendants, eventually};

/// Generous: machines are noisy, and a test that fails for slowness teaches nothing.
const PATIENCE: Duration = Duration::from_secs(400);

fn methods(result: &Value) -> Vec<String> {
    let rows = result["rows"].as_array().expect("rows");
    let mut methods: Vec<String> =
        rows.iter().map(|row| row["method"].as_str().unwrap_or_default().to_owned()).collect();
    methods.sort();
    methods.dedup();
    methods
}

/// None once every job has succeeded: nobody will go on from a checkpoint then.
fn jobs_with_checkpoints(data: &Path) -> usize {
    fs::read_dir(data.join("store/checkpoints")).map_or(0, Iterator::count)
}

#[test]
fn a_run_that_was_killed_everywhere_gives_the_digests_of_an_undisturbed_one() {
    let folder = Folder::new();
    let undisturbed = Run::start(&folder, "undisturbed");
    let (data, out) = (undisturbed.data().to_owned(), undisturbed.out().to_owned());
    let result = undisturbed.result(PATIENCE);
    assert_eq!(methods(&result), ["colour-statistics", "random", "trident", "unprivileged"]);
    assert_eq!(result["pipeline"], "tiny");
    let metrics: Vec<&str> =
        result["rows"].as_array().unwrap().iter().filter_map(|row| row["metric"].as_str()).collect();
    assert!(metrics.contains(&"probe/accuracy") && metrics.contains(&"kmeans/accuracy"), "{metrics:?}");
    let report = fs::read_to_string(out.join("report.html")).expect("the report is written");
    assert!(
        report.contains("<svg") && report.contains("data:image/png;base64,"),
        "curves and gallery are inside"
    );
    assert!(
        !report.contains("src=\"http") && !report.contains("href=\"http"),
        "the report needs nothing else"
    );
    let expected = artifacts(&data);
    for kind in ["dataset", "generator", "layer", "encoder", "representations", "result"] {
        assert!(expected.contains_key(kind), "no {kind} in {expected:?}");
    }
    assert_eq!(jobs_with_checkpoints(&data), 0);
    fs::remove_dir_all(&data).expect("the folder can be removed");

    let disturbed = Run::start(&folder, "disturbed");
    let data = disturbed.data().to_owned();
    disturbed.wait_for_progress("generator", PATIENCE);
    disturbed.kill_program("counterstain-synthesis");
    disturbed.wait_for_progress("unprivileged", PATIENCE);
    disturbed.kill_program("counterstain-coordinator");
    disturbed.wait_for_progress("trident", PATIENCE);
    disturbed.kill_program("counterstain-training");
    disturbed.wait_for_progress("compare", PATIENCE);
    disturbed.kill_program("counterstain-evaluation");
    let again = disturbed.result(PATIENCE);
    assert_eq!(artifacts(&data), expected);
    assert_eq!(again, result);
    assert_eq!(jobs_with_checkpoints(&data), 0);
}

#[test]
fn a_run_that_was_interrupted_stops_cleanly_and_the_same_command_continues_it() {
    let folder = Folder::new();
    let first = Run::start(&folder, "data");
    first.wait_for_progress("generator", PATIENCE);
    let started = descendants(first.id());
    assert!(started.iter().any(|(_, name)| name == "counterstain-coordinator"), "{started:?}");
    let log = first.data().join("logs/coordinator.log");
    first.interrupt();
    std::thread::sleep(Duration::from_millis(50));
    first.interrupt(); // as `timeout` does: so soon, it is the same wish
    let output = first.wait(Duration::from_secs(60));
    assert!(!output.status.success(), "an interrupted run is no success");
    let log = fs::read_to_string(log).expect("the coordinator's log can be read");
    assert!(log.contains("stopping"), "the coordinator was not asked to stop: {log}");
    eventually(Duration::from_secs(10), "no process is left", || {
        let alive = |id: u32| fs::read_link(format!("/proc/{id}/exe")).is_ok();
        (!started.iter().any(|(id, _)| alive(*id))).then_some(())
    });

    // Killed without a chance to clean up: its programs must not outlive it either.
    let second = Run::start(&folder, "data");
    second.wait_for_progress("unprivileged", PATIENCE);
    let started = descendants(second.id());
    second.kill();
    eventually(Duration::from_secs(10), "no process is left", || {
        let alive = |id: u32| fs::read_link(format!("/proc/{id}/exe")).is_ok();
        (!started.iter().any(|(id, _)| alive(*id))).then_some(())
    });

    let third = Run::start(&folder, "data");
    let data = third.data().to_owned();
    let result = third.result(PATIENCE);
    assert_eq!(methods(&result).len(), 4);
    let before = artifacts(&data);

    // Everything exists: the same command computes nothing and says the same.
    let fourth = Run::start(&folder, "data");
    assert_eq!(fourth.result(Duration::from_secs(60)), result);
    assert_eq!(artifacts(&data), before);
}
