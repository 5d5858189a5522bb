//! Painting a folder through a worker's stream, with a system that is up.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

use counterstain_tile::Tile;
use counterstain_tile::encode::encode_png;
use serde_json::Value;
use system_tests::{Folder, Run, artifacts, eventually, finish, program};

const PATIENCE: Duration = Duration::from_secs(400);

/// `counterstain up`, ended with the test.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn on(data: &Path, arguments: &[&str]) -> Command {
    let mut command = program("counterstain");
    command.args(arguments).arg("--data").arg(data);
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("no JSON ({error}): {}", String::from_utf8_lossy(&output.stderr));
    })
}

fn write_tile(folder: &Path, name: &str, side: usize) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("the folder can be made");
    fs::write(path, encode_png(&Tile::filled(side, side, 3, 200)).expect("encodable")).expect("writable");
}

#[test]
fn a_folder_is_painted_and_the_same_command_paints_what_is_left() {
    let folder = Folder::new();
    let run = Run::start_with(&folder, "data", "shards", &["--set", "imports.ocean.samples=20"]);
    let data = run.data().to_owned();
    run.result(PATIENCE);
    let manifest = artifacts(&data).remove("generator").expect("a generator was trained").remove(0);
    let digest = format!(
        "sha256:{}",
        manifest.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<String>()
    );

    let _up = Up(on(&data, &["up", "--listen", "127.0.0.1:0"]).spawn().expect("counterstain starts"));
    // The worker of the run that has ended is still listed.
    eventually(PATIENCE, "a second synthesis worker is listed", || {
        let output = finish(&mut on(&data, &["workers", "--json"]), PATIENCE);
        let workers: Value = serde_json::from_slice(&output.stdout).ok()?;
        let kinds = workers["workers"].as_array()?.iter().filter_map(|worker| worker["kinds"].as_array());
        (kinds.flatten().filter(|kind| *kind == "generate_layer").count() > 1).then_some(())
    });

    let (input, output) = (folder.join("in"), folder.join("out"));
    for name in ["a.png", "b/c.png"] {
        write_tile(&input, name, 32);
    }
    // Not divisible by 2^4, which the generator's depth needs; and no image at all.
    write_tile(&input, "odd.png", 20);
    fs::write(input.join("broken.png"), b"no picture").expect("writable");
    let synthesize = || {
        let mut command = on(&data, &["synthesize", "--json", "--generator", &digest]);
        command.arg(&input).arg(&output);
        finish(&mut command, PATIENCE)
    };
    let first = synthesize();
    let document = json(&first);
    assert!(!first.status.success(), "two images could not be painted");
    assert_eq!(document["painted"], 2, "{document:#}");
    let faults: Vec<&str> = document["faults"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|fault| fault["path"].as_str())
        .collect();
    assert_eq!(faults, ["broken.png", "odd.png"]);
    assert!(output.join("a.png").exists() && output.join("b/c.png").exists());

    for name in ["odd.png", "broken.png"] {
        fs::remove_file(input.join(name)).expect("it is there");
    }
    write_tile(&input, "d.png", 32);
    let second = synthesize();
    let document = json(&second);
    assert!(second.status.success(), "{document:#}");
    assert_eq!((&document["painted"], &document["painted_before"]), (&1.into(), &2.into()));

    let worth = json(&finish(&mut on(&data, &["generators", "--json", "--sort", "image/ssim"]), PATIENCE));
    let generator = &worth["generators"][0];
    assert_eq!(generator["method"], "pix2pix", "{worth:#}");
    let scores = generator["scores"].as_array().expect("a list");
    assert!(scores.iter().any(|score| score["metric"] == "image/ssim"), "{worth:#}");
}
