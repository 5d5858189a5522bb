//! Tars of the project and of other tools, and indices.

use anyhow::Result;
use bytes::Bytes;
use counterstain_artifact::shard::{SampleEntry, SampleMeta, ShardIndex, ShardWriter, scan};

use crate::Seed;

/// Tars with short and long names, with and without what is known of samples.
pub fn tars() -> Result<Vec<Seed>> {
    Ok(vec![
        ("own".to_owned(), own()?),
        ("long-names".to_owned(), foreign(&format!("folder/{}", "x".repeat(120)), false)?),
        ("short-names".to_owned(), foreign("a", false)?),
        ("extended".to_owned(), foreign("a", true)?),
        ("empty".to_owned(), tar::Builder::new(Vec::new()).into_inner()?),
    ])
}

/// The indices of the same tars.
pub fn indices() -> Result<Vec<Seed>> {
    tars()?.into_iter().map(|(name, tar)| Ok((name.clone(), index(&tar, &name)?.encode()))).collect()
}

fn index(tar: &[u8], what: &str) -> Result<ShardIndex> {
    Ok(scan(tar, what)?)
}

fn own() -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let mut writer = ShardWriter::new(folder.path())?;
    for (key, label) in [("train/a", Some("tumour")), ("train/b%2E1", None)] {
        let file = |layer: &str| (layer.to_owned(), "png".to_owned(), Bytes::from_static(b"pixels"));
        let meta = SampleMeta {
            group: Some("patient".to_owned()),
            label: label.map(str::to_owned),
            split: Some("train".to_owned()),
        };
        writer.add(&SampleEntry {
            key: key.to_owned(),
            files: vec![file("he"), file("nuclei")],
            meta: Some(meta),
        })?;
    }
    let finished = writer.finish()?;
    Ok(std::fs::read(finished.tar_path())?)
}

/// As GNU tar writes them, or with the extended headers of Python's tarfile.
fn foreign(key: &str, extended: bool) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        (format!("{key}.he.png"), b"pixels".as_slice()),
        (format!("{key}.json"), br#"{"label":"tumour"}"#),
        ("b.he.jpg".to_owned(), b""),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        if extended {
            builder.append_pax_extensions([("path", name.as_bytes()), ("mtime", b"1700000000.5")])?;
        }
        builder.append_data(&mut header, name, bytes)?;
    }
    Ok(builder.into_inner()?)
}
