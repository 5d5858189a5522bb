//! Writes small valid files of every format that is fuzzed, as seeds of the corpora.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml -p counterstain-fuzz-seeds -- CORPUS`; `cargo xtask fuzz` does it.

mod documents;
mod pictures;
mod shards;
mod weights;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A seed: its name and its bytes.
pub type Seed = (String, Vec<u8>);

fn main() -> Result<()> {
    let corpus = PathBuf::from(std::env::args_os().nth(1).context("name the folder of the corpora")?);
    let targets = [
        ("checkpoint", weights::checkpoints()),
        ("weights", weights::all()?),
        ("image", pictures::images()?),
        ("labels", pictures::labels()?),
        ("shard", shards::tars()?),
        ("shard_index", shards::indices()?),
        ("manifest", documents::manifests()?),
    ];
    for (target, seeds) in targets {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (name, bytes) in seeds {
            let path = folder.join(format!("seed-{name}"));
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}
