//! The vectors' checkpoint files: published formats, altered at random.

use counterstain_model::weights;
use std::path::PathBuf;

fn fixtures() -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(folder) = std::env::var("COUNTERSTAIN_VECTORS") else {
        println!("skipped: COUNTERSTAIN_VECTORS is not set");
        return Vec::new();
    };
    let folder = std::path::Path::new(&folder).join("fixtures");
    let entries = std::fs::read_dir(folder).expect("the vectors hold checkpoints");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let checkpoints = paths.filter(|path| path.extension().is_some_and(|kind| kind != "json"));
    checkpoints.map(|path| (path.clone(), std::fs::read(&path).expect("it can be read"))).collect()
}

#[test]
fn every_checkpoint_gives_weights_with_plain_names() {
    for (path, file) in fixtures() {
        let tensors = weights::read(&file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!tensors.is_empty(), "{}", path.display());
        assert!(tensors.iter().all(|(name, _)| !name.starts_with("module.")), "{}", path.display());
    }
}

#[test]
fn cut_and_altered_checkpoints_never_panic() {
    for (_, file) in fixtures() {
        for step in 0..200 {
            let position = step * 7919 % file.len();
            assert!(weights::read(&file[..position]).is_err());
            let mut altered = file.clone();
            altered[position] ^= 1 << (step % 8);
            let _ = weights::read(&altered);
        }
    }
}
