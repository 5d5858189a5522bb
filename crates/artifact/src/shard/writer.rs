//! Writing a shard: a deterministic tar on disk, hashed on the way, and its index.
//!
//! Memory holds the index and one sample, however large the tar gets.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use counterstain_api::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};

use super::index::{BLOCK, INDEX_SCHEMA, IndexedSample, Member, ShardIndex, TarInfo};
use super::key::{check_extension, check_key, check_layer_name, member_name};
use crate::body::ShardInfo;
use crate::manifest::NamedObject;
use crate::{Error, Store};

/// What is known of a sample beside its images; the content of `KEY.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleMeta {
    /// Patient or slide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `train`, `valid`, `test` ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

/// A sample on its way into a shard.
#[derive(Clone, Debug)]
pub struct SampleEntry {
    /// Key, see [`super::key_of_path`].
    pub key: String,
    /// Layer, extension and bytes of each image. Written in the order of the layers' names.
    pub files: Vec<(String, String, Bytes)>,
    /// Written as `KEY.json`; none in shards of a layer, whose dataset has it.
    pub meta: Option<SampleMeta>,
}

/// When a shard is full. Part of what decides a dataset's digest: do not vary without need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardLimits {
    /// Samples.
    pub samples: usize,
    /// Bytes of the tar; one sample may go beyond.
    pub bytes: u64,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self { samples: 1_000, bytes: 256 << 20 }
    }
}

/// Writes one shard.
pub struct ShardWriter {
    path: TempPath,
    builder: tar::Builder<HashingWriter>,
    samples: Vec<IndexedSample>,
    keys: HashSet<String>,
}

/// A written shard; its tar is removed when this is dropped.
pub struct FinishedShard {
    path: TempPath,
    /// The index.
    pub index: ShardIndex,
}

/// A shard that is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredShard {
    /// For the body.
    pub info: ShardInfo,
    /// Bytes of the tar.
    pub tar_size: u64,
    /// Bytes of the index.
    pub index_size: u64,
}

impl ShardWriter {
    /// Starts a shard in a new file of `dir`, which is made when missing.
    ///
    /// # Errors
    /// Those of the file.
    pub fn new(dir: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(|error| Error::io("create folder", dir, error))?;
        let file = NamedTempFile::with_prefix_in("shard-", dir)
            .map_err(|error| Error::io("create a file in", dir, error))?;
        let (file, path) = file.into_parts();
        let builder = tar::Builder::new(HashingWriter::new(file));
        Ok(Self { path, builder, samples: Vec::new(), keys: HashSet::new() })
    }

    /// Appends a sample.
    ///
    /// # Errors
    /// `Invalid` for a faulty or repeated key, layer or extension; `Full` or `Io` when the file cannot be
    /// written, after which the shard is lost.
    pub fn add(&mut self, entry: &SampleEntry) -> Result<(), Error> {
        check_key(&entry.key)?;
        let mut files: Vec<&(String, String, Bytes)> = entry.files.iter().collect();
        files.sort_by(|one, other| one.0.cmp(&other.0));
        for (layer, extension, _) in &files {
            check_layer_name(layer)?;
            check_extension(extension)?;
        }
        if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::invalid(
                format!("sample {:?}", entry.key),
                format!("has layer {:?} twice", pair[0].0),
            ));
        }
        if !self.keys.insert(entry.key.clone()) {
            return Err(Error::invalid(format!("sample {:?}", entry.key), "occurs twice"));
        }
        let mut members = BTreeMap::new();
        for (layer, extension, bytes) in files {
            let offset = self.append(&member_name(&entry.key, layer, extension), bytes)?;
            let member = Member {
                extension: extension.clone(),
                offset,
                sha256: Digest::of(bytes),
                size: bytes.len() as u64,
            };
            members.insert(layer.clone(), member);
        }
        if let Some(meta) = &entry.meta {
            let json = serde_json::to_vec(meta).expect("three optional strings are JSON");
            self.append(&format!("{}.json", entry.key), &json)?;
        }
        let SampleMeta { group, label, split } = entry.meta.clone().unwrap_or_default();
        self.samples.push(IndexedSample { group, key: entry.key.clone(), label, members, split });
        Ok(())
    }

    /// Appends a file and gives the offset of its bytes.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<u64, Error> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        self.builder
            .append_data(&mut header, name, bytes)
            .map_err(|error| Error::io("write", &self.path, error))?;
        let padded = (bytes.len() as u64).div_ceil(BLOCK) * BLOCK;
        Ok(self.builder.get_ref().position - padded)
    }

    /// Samples so far.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.builder.get_ref().position
    }

    /// Whether a limit is reached.
    pub fn is_full(&self, limits: &ShardLimits) -> bool {
        self.samples() >= limits.samples || self.bytes() >= limits.bytes
    }

    /// Ends the tar and makes its index.
    ///
    /// # Errors
    /// `Full` or `Io` when the file cannot be written.
    pub fn finish(self) -> Result<FinishedShard, Error> {
        let Self { path, builder, samples, .. } = self;
        let fail = |error| Error::io("write", &path, error);
        let mut writer = builder.into_inner().map_err(fail)?;
        writer.file.flush().map_err(fail)?;
        let tar =
            TarInfo { sha256: Digest::from_bytes(writer.hasher.finalize().into()), size: writer.position };
        let index = ShardIndex { samples, schema: INDEX_SCHEMA, tar };
        Ok(FinishedShard { path, index })
    }
}

impl FinishedShard {
    /// The tar, for as long as this value lives.
    pub fn tar_path(&self) -> &Path {
        &self.path
    }

    /// Keeps the tar and its index as `STEM.tar` and `STEM.index.json` in `dir`, for tools that read folders.
    ///
    /// # Errors
    /// Those of the files.
    pub fn save(self, dir: &Path, stem: &str) -> Result<(PathBuf, PathBuf), Error> {
        let tar = dir.join(format!("{stem}.tar"));
        let index = dir.join(format!("{stem}.index.json"));
        std::fs::write(&index, self.index.encode()).map_err(|error| Error::io("write", &index, error))?;
        self.path.persist(&tar).map_err(|error| Error::io("write", &tar, error.error))?;
        Ok((tar, index))
    }

    /// Writes tar and index to the store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put(self, store: &Store) -> Result<StoredShard, Error> {
        let tar = store.put_file(&self.path).await?;
        if tar.digest != self.index.tar.sha256 {
            let damage = std::io::Error::other("it reads back differently from what was written");
            return Err(Error::io("read", &self.path, damage));
        }
        let index = store.put_object(self.index.encode().into()).await?;
        let info =
            ShardInfo { tar: tar.digest, index: index.digest, samples: self.index.samples.len() as u64 };
        Ok(StoredShard { info, tar_size: tar.size, index_size: index.size })
    }
}

impl StoredShard {
    /// Its objects in a manifest, as shard `position`.
    pub fn objects(&self, position: usize) -> [NamedObject; 2] {
        let (tar, index) = super::object_names(position);
        [
            NamedObject { name: tar, size: self.tar_size, digest: self.info.tar },
            NamedObject { name: index, size: self.index_size, digest: self.info.index },
        ]
    }
}

/// Counts and hashes what goes through.
struct HashingWriter {
    file: BufWriter<File>,
    hasher: Sha256,
    position: u64,
}

impl HashingWriter {
    fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(1 << 18, file), hasher: Sha256::new(), position: 0 }
    }
}

impl Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
