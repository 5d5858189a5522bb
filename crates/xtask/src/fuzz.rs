//! Fuzzing what parses bytes from outside; the targets are in `fuzz/`, a workspace of its own.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::setup::{cargo_tool, prepare};
use crate::shell::{command, exists_with, root, run};

/// A target with its dictionary.
const TARGETS: [(&str, &str); 7] = [
    ("checkpoint", "pickle"),
    ("weights", "safetensors"),
    ("image", "image"),
    ("labels", "image"),
    ("shard", "tar"),
    ("shard_index", "json"),
    ("manifest", "json"),
];

/// An allocation whose size a file decides, and work that grows faster than the file, are findings.
const LIMITS: [&str; 4] =
    ["-rss_limit_mb=1024", "-malloc_limit_mb=512", "-timeout=10", "-print_final_stats=1"];

/// Fuzzes the named targets (all when none is named), each for `seconds`, and fails at the first finding.
pub fn fuzz(names: &[String], seconds: u32) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !TARGETS.iter().any(|row| row.0 == name.as_str())) {
        bail!("no target is named {unknown:?}; there are {}", TARGETS.map(|row| row.0).join(", "));
    }
    if !exists_with("cargo", &["+nightly", "--version"]) {
        bail!("fuzzing needs a nightly toolchain; install it: rustup toolchain install nightly");
    }
    prepare()?;
    cargo_tool("fuzz")?;
    let corpus = root().join("fuzz/corpus");
    run(command("cargo", &["run", "--quiet", "--manifest-path", "fuzz/Cargo.toml"])
        // Beside what the workspace has built already.
        .args(["--target-dir", "target", "--package", "counterstain-fuzz-seeds", "--"])
        .arg(&corpus))?;
    for (name, dictionary) in
        TARGETS.iter().filter(|row| names.is_empty() || names.iter().any(|name| name == row.0))
    {
        fs::create_dir_all(corpus.join(name)).context("cannot make the folder of the corpus")?;
        run(&mut command("cargo", &["+nightly", "fuzz", "build", name]))?;
        let dictionary = root().join(format!("fuzz/dictionaries/{dictionary}.dict"));
        let outcome = run(command("cargo", &["+nightly", "fuzz", "run", name, "--"])
            .args(LIMITS)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-dict={}", dictionary.display())));
        outcome.with_context(|| {
            let repeat = format!("`cargo +nightly fuzz run {name} FILE` repeats it");
            format!("{name} has a finding; its file is under fuzz/artifacts/{name}, and {repeat}")
        })?;
    }
    Ok(())
}
