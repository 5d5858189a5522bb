//! Making the index of a tar from the tar alone: to check a shard, or to take one in that another tool wrote.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use counterstain_api::Digest;
use sha2::{Digest as _, Sha256};

use super::index::{INDEX_SCHEMA, IndexedSample, Member, ShardIndex, TarInfo};
use super::key::{check_extension, check_key, check_layer_name};
use super::writer::SampleMeta;
use crate::Error;

/// The bytes before a member's own may be at most so many: its header, and what extends it. Names are at most a
/// twentieth of this, and a tar can state any length.
const LARGEST_HEADERS: u64 = 32 << 10;
/// A `KEY.json` that is larger is refused.
const LARGEST_JSON: u64 = 1 << 20;

/// Reads a tar to its end, in little memory, and gives its index; `what` names it in errors.
///
/// # Errors
/// `Mismatch` for what is no such tar: truncated, other kinds of member than files, faulty or repeated names.
pub fn scan(reader: impl Read, what: &str) -> Result<ShardIndex, Error> {
    let headers = Cell::new(None);
    let mut reader = HashingReader { inner: reader, hasher: Sha256::new(), position: 0, headers: &headers };
    let mut collector = Collector::default();
    read_entries(&mut reader, &mut collector)
        .map_err(|reason| Error::mismatch(what, format!("is not a sound shard: {reason}")))?;
    let tar = TarInfo { sha256: Digest::from_bytes(reader.hasher.finalize().into()), size: reader.position };
    Ok(ShardIndex { samples: collector.samples, schema: INDEX_SCHEMA, tar })
}

fn read_entries<R: Read>(reader: &mut HashingReader<'_, R>, collector: &mut Collector) -> Result<(), String> {
    let headers = reader.headers;
    let text = |error: std::io::Error| error.to_string();
    let mut archive = tar::Archive::new(&mut *reader);
    let mut entries = archive.entries().map_err(text)?;
    loop {
        headers.set(Some(LARGEST_HEADERS));
        let Some(entry) = entries.next() else { break };
        headers.set(None);
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
    headers.set(None);
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

struct HashingReader<'a, R> {
    inner: R,
    hasher: Sha256,
    position: u64,
    /// While headers are read: the bytes that they may still have.
    headers: &'a Cell<Option<u64>>,
}

impl<R: Read> Read for HashingReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(left) = self.headers.get() {
            let left = left.checked_sub(count as u64).ok_or_else(|| {
                std::io::Error::other(format!("a member has more than {LARGEST_HEADERS} bytes of headers"))
            })?;
            self.headers.set(Some(left));
        }
        self.hasher.update(&buffer[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: tar::EntryType, name: &str, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header
    }

    #[test]
    fn a_name_of_any_length_takes_no_memory() {
        let reads = |kind: tar::EntryType| {
            let header = entry(kind, "././@LongLink", 1 << 40);
            // Nothing ends this tar: only the limit does.
            let error =
                scan(header.as_bytes().as_slice().chain(std::io::repeat(b'a')), "the tar").unwrap_err();
            assert!(error.to_string().contains("32768 bytes of headers"), "{error}");
        };
        reads(tar::EntryType::GNULongName);
        reads(tar::EntryType::GNULongLink);
        reads(tar::EntryType::XHeader);
    }

    #[test]
    fn members_of_any_length_are_read_beside_that_limit() {
        let size = 4 * LARGEST_HEADERS;
        let mut tar = entry(tar::EntryType::Regular, "a.he.png", size).as_bytes().to_vec();
        tar.resize(tar.len() + size as usize, 1);
        tar.resize(tar.len() + size as usize, 0);
        let index = scan(tar.as_slice(), "the tar").unwrap();
        assert_eq!(index.samples[0].members["he"].size, size);
        assert_eq!(index.tar.size, tar.len() as u64);
    }
}
