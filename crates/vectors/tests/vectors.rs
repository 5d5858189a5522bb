//! Runs every implemented file of `$COUNTERSTAIN_VECTORS`.

use counterstain_vectors::folder::Folder;
use counterstain_vectors::{cases, runner};

#[test]
fn every_implemented_file_of_the_vectors_is_equal() {
    let Some(root) = std::env::var_os("COUNTERSTAIN_VECTORS") else {
        println!("skipped: COUNTERSTAIN_VECTORS is not set");
        return;
    };
    let folder = Folder::open(root.as_ref()).expect("COUNTERSTAIN_VECTORS names a folder of vectors");
    let only: Vec<String> = cases::REGISTRY.iter().map(|(name, _)| (*name).to_owned()).collect();
    if only.is_empty() {
        return;
    }
    let report = runner::run(&folder, cases::REGISTRY, &only, |file| {
        for line in file.lines.iter().filter(|line| line.failed()) {
            println!("{}", line.text());
        }
        println!("{}: {}", file.file, file.counts.text());
    });
    assert!(report.passed(), "{}", report.total.text());
}
