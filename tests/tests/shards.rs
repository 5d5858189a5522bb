//! One generation job, shared by several synthesis workers, of which one dies in the middle.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use system_tests::{Folder, Run, artifacts, eventually};

/// Generous: machines are noisy, and a test that fails for slowness teaches nothing.
const PATIENCE: Duration = Duration::from_secs(400);

/// Waits until `count` workers hold parts of the layer at the same time.
fn wait_until_shared(run: &Run, count: usize) {
    eventually(PATIENCE, &format!("{count} workers share the layer"), || {
        let jobs = run.jobs();
        let paint = jobs.iter().find(|job| job["name"] == "paint")?;
        assert_ne!(paint["state"], "succeeded", "the layer was finished before {count} workers shared it");
        let parts = paint["parts"].as_array()?;
        let leased = |part: &&Value| part["state"] == "leased";
        let workers: BTreeSet<&str> =
            parts.iter().filter(leased).filter_map(|part| part["worker_id"].as_str()).collect();
        (workers.len() == count).then_some(())
    });
}

/// The layer's artifacts when `workers` paint it, and how often a lease was lost.
fn paint(workers: usize) -> (Vec<String>, u64) {
    let folder = Folder::new();
    let count = workers.to_string();
    let run = Run::start_with(&folder, "data", "shards", &["--synthesis-workers", &count]);
    let data = run.data().to_owned();
    let mut lost = 0;
    if workers > 1 {
        wait_until_shared(&run, workers);
        run.kill_program("counterstain-synthesis");
        lost = eventually(PATIENCE, "the dead worker's lease is lost", || {
            let jobs = run.jobs();
            let paint = jobs.iter().find(|job| job["name"] == "paint")?;
            paint["lost_leases"].as_u64().filter(|&lost| lost > 0)
        });
    }
    run.result(PATIENCE);
    let mut artifacts = artifacts(&data);
    (artifacts.remove("layer").expect("a layer was painted"), lost)
}

#[test]
fn a_layer_is_the_same_whoever_paints_it_and_whoever_dies() {
    let (alone, _) = paint(1);
    assert_eq!(alone.len(), 1);
    for workers in [2, 4] {
        let (shared, lost) = paint(workers);
        assert_eq!(shared, alone, "{workers} workers");
        assert!(lost > 0);
    }
}
