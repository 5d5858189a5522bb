//! Making the index of a tar from the tar alone: to check a shard, or to take one in that another tool wrote.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use counterstain_api::Digest;
use sha2::{Digest as _, Sha256};

use super::index::{INDEX_SCHEMA, IndexedSample, Member, ShardIndex, TarInfo};
use super::key::{check_extension, check_key, check_layer_name};
use super::writer::SampleMeta;
use crate::Error;

/// A `KEY.json` that is larger is refused.
const LARGEST_JSON: u64 = 1 << 20;

/// Reads a tar to its end, in little memory, and gives its index; `what` names it in errors.
///
/// # Errors
/// `Mismatch` for what is no such tar: truncated, other kinds of member than files, faulty or repeated names.
pub fn scan(reader: impl Read, what: &str) -> Result<ShardIndex, Error> {
    let mut reader = HashingReader { inner: reader, hasher: Sha256::new(), position: 0 };
    let mut collector = Collector::default();
    read_entries(&mut reader, &mut collector)
        .map_err(|reason| Error::mismatch(what, format!("is not a sound shard: {reason}")))?;
    let tar = TarInfo { sha256: Digest::from_bytes(reader.hasher.finalize().into()), size: reader.position };
    Ok(ShardIndex { samples: collector.samples, schema: INDEX_SCHEMA, tar })
}

fn read_entries<R: Read>(reader: &mut HashingReader<R>, collector: &mut Collector) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut archive = tar::Archive::new(&mut *reader);
    for entry in archive.entries().map_err(text)? {
        let mut entry = entry.map_err(text)?;
        let name = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| "a name is not UTF-8".to_owned())?;
        if !entry.header().entry_type().is_file() {
            return Err(format!("{name:?} is not a plain file"));
        }
        let (size, offset) = (entry.size(), entry.raw_file_position());
        let (key, rest) = split_name(&name)?;
        if rest == "json" {
            if size > LARGEST_JSON {
                return Err(format!("{name:?} has {size} bytes; at most {LARGEST_JSON} are allowed"));
            }
            let mut json = Vec::new();
            entry.read_to_end(&mut json).map_err(text)?;
            let meta =
                serde_json::from_slice(&json).map_err(|error| format!("{name:?} is faulty: {error}"))?;
            collector.meta(key, meta)?;
            continue;
        }
        let Some((layer, extension)) = rest.split_once('.') else {
            return Err(format!("{name:?} names no layer; expected KEY.LAYER.EXTENSION"));
        };
        let mut hasher = Sha256::new();
        let mut buffer = [0; 16 << 10];
        let mut seen = 0;
        loop {
            let count = entry.read(&mut buffer).map_err(text)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            seen += count as u64;
        }
        if seen != size {
            return Err(format!("it ends inside {name:?}"));
        }
        let sha256 = Digest::from_bytes(hasher.finalize().into());
        collector.member(key, layer, Member { extension: extension.to_owned(), offset, sha256, size })?;
    }
    // Whatever follows the end marks belongs to the tar's digest too.
    std::io::copy(reader, &mut std::io::sink()).map_err(text)?;
    Ok(())
}

/// Key and rest of a member's name: the key ends at the first dot.
fn split_name(name: &str) -> Result<(&str, &str), String> {
    name.split_once('.').ok_or_else(|| format!("{name:?} has no extension"))
}

#[derive(Default)]
struct Collector {
    samples: Vec<IndexedSample>,
    keys: HashSet<String>,
}

impl Collector {
    /// The sample of `key`: members of one sample stand together.
    fn sample(&mut self, key: &str) -> Result<&mut IndexedSample, String> {
        if self.samples.last().is_none_or(|sample| sample.key != key) {
            check_key(key).map_err(|error| error.to_string())?;
            if !self.keys.insert(key.to_owned()) {
                return Err(format!("sample {key:?} occurs twice"));
            }
            let key = key.to_owned();
            self.samples.push(IndexedSample {
                group: None,
                key,
                label: None,
                members: BTreeMap::new(),
                split: None,
            });
        }
        Ok(self.samples.last_mut().expect("one was just pushed"))
    }

    fn meta(&mut self, key: &str, meta: SampleMeta) -> Result<(), String> {
        let sample = self.sample(key)?;
        let SampleMeta { group, label, split } = meta;
        (sample.group, sample.label, sample.split) = (group, label, split);
        Ok(())
    }

    fn member(&mut self, key: &str, layer: &str, member: Member) -> Result<(), String> {
        check_layer_name(layer)
            .and_then(|()| check_extension(&member.extension))
            .map_err(|error| error.to_string())?;
        match self.sample(key)?.members.insert(layer.to_owned(), member) {
            None => Ok(()),
            Some(_) => Err(format!("sample {key:?} has layer {layer:?} twice")),
        }
    }
}

struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
    position: u64,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.position += count as u64;
        Ok(count)
    }
}
