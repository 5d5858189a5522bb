//! Reading images by sample, from any thread, each verified by its SHA-256 in that very read.
//!
//! A store that is a folder is read in place. Other stores are read in ranges until a shard has been asked for
//! a few times, then the whole shard is fetched into the local cache, if it fits there (see `cache`).

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use counterstain_api::Digest;
use tokio::runtime::Handle;

use super::cache::Cache;
use super::layer::Layer;
use super::open::Dataset;
use super::table::{PackedMember, Table, TableShard};
use crate::{Error, Store};

/// From this read on, a shard is worth fetching whole.
const READS_BEFORE_FETCH: u32 = 3;
/// Files held open.
const OPEN_FILES: usize = 128;
/// How often use of a cached shard is noted, and whether it is still there is checked.
const NOTE_EVERY: Duration = Duration::from_secs(30);
/// When a shard that found no room is asked for again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Reads images. Clones share cache and open files; all methods may be called from any number of threads,
/// but not from a thread that drives the runtime: they block.
#[derive(Clone)]
pub struct Reader {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    cache: Cache,
    handle: Handle,
    slots: Mutex<HashMap<Digest, Arc<Slot>>>,
    clock: AtomicU64,
}

/// What a reader knows of one shard.
#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
    last_use: AtomicU64,
}

#[derive(Default)]
struct SlotState {
    reads: u32,
    file: Option<Arc<File>>,
    noted: Option<Instant>,
    refused: Option<Instant>,
}

impl Reader {
    /// A reader of `store` with a cache in `cache_dir` of at most `cache_bytes` (0: none), which any number of
    /// processes may share. The folder is made when it is needed. `handle` is the
    /// multi-threaded runtime that carries the store's requests.
    pub fn new(store: Store, cache_dir: &Path, cache_bytes: u64, handle: Handle) -> Self {
        let cache = Cache::new(cache_dir, cache_bytes);
        let inner = Inner { store, cache, handle, slots: Mutex::default(), clock: AtomicU64::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The encoded image of a sample in one of the dataset's own layers.
    ///
    /// # Errors
    /// `Invalid` for a sample or layer that is not there, `Corrupt` that names object and member, and those of the store.
    pub fn read(&self, dataset: &Dataset, sample: usize, layer: &str) -> Result<Bytes, Error> {
        let key = dataset.samples.get(sample).map(|record| record.key.as_str());
        self.read_from(&dataset.table, &dataset.digest, sample, key, layer)
    }

    /// The encoded image of a sample in a layer that is an artifact of its own.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_layer(&self, layer: &Layer, sample: usize) -> Result<Bytes, Error> {
        self.read_layer_named(layer, sample, &layer.info.name)
    }

    /// The encoded image of a sample in one of the layers that an artifact holds.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_layer_named(&self, layer: &Layer, sample: usize, name: &str) -> Result<Bytes, Error> {
        self.read_from(&layer.table, &layer.digest, sample, layer.key(sample), name)
    }

    fn read_from(
        &self,
        table: &Table,
        artifact: &Digest,
        sample: usize,
        key: Option<&str>,
        layer: &str,
    ) -> Result<Bytes, Error> {
        let Some((key, (shard, member))) = key.zip(table.find(sample, layer)) else {
            let reason =
                format!("has no sample {sample} with a layer {layer:?} ({} samples)", table.samples());
            return Err(Error::invalid(format!("artifact {artifact}"), reason));
        };
        let name = || format!("{key}.{layer}.{}", member.extension());
        if let Some(file) = self.local_file(&shard)? {
            match read_at(&file, &member) {
                Ok(bytes) if Digest::of(&bytes) == member.sha256 => return Ok(bytes),
                // The folder is the store: this is what there is.
                Ok(bytes) if self.is_direct(&shard) => {
                    return Err(self.corrupt(&shard, &name(), &Digest::of(&bytes), &member));
                }
                outcome => self.discard(&shard, outcome.err()),
            }
        }
        let range = member.offset..member.offset + member.size;
        let bytes =
            self.inner.handle.block_on(self.inner.store.get_range(&shard.tar, range)).map_err(|error| {
                match error {
                    Error::Corrupt { what, location, reason } => {
                        Error::Corrupt { what: format!("{what}, member {:?},", name()), location, reason }
                    }
                    error => error,
                }
            })?;
        let found = Digest::of(&bytes);
        if found == member.sha256 { Ok(bytes) } else { Err(self.corrupt(&shard, &name(), &found, &member)) }
    }

    fn corrupt(&self, shard: &TableShard, name: &str, found: &Digest, member: &PackedMember) -> Error {
        let what = format!("object {}, member {name:?},", shard.tar);
        self.inner
            .store
            .damaged(&what, format!("its bytes have digest {found}, the index says {}", member.sha256))
    }

    /// Whether the store itself is a folder that has the shard.
    fn is_direct(&self, shard: &TableShard) -> bool {
        self.inner.store.object_file(&shard.tar).is_some()
    }

    /// A file with the shard's bytes: the store's own, or one in the cache, fetched now if it is worth it.
    fn local_file(&self, shard: &TableShard) -> Result<Option<Arc<File>>, Error> {
        let slot = self.slot(&shard.tar);
        let mut state = lock(&slot.state);
        state.reads = state.reads.saturating_add(1);
        if self.must_check(&mut state)
            && let Some(file) = &state.file
        {
            // Removed by another process: let go, or its space is never free.
            let is_gone = file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
            if is_gone {
                state.file = None;
            } else if !self.is_direct(shard) {
                Cache::note_use(file);
            }
        }
        if state.file.is_none() {
            state.file = self.open_local(shard, &mut state)?.map(Arc::new);
            if state.file.is_some() {
                self.close_some(&shard.tar);
            }
        }
        Ok(state.file.clone())
    }

    fn must_check(&self, state: &mut SlotState) -> bool {
        let is_due = state.noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY);
        if is_due {
            state.noted = Some(Instant::now());
        }
        is_due
    }

    fn open_local(&self, shard: &TableShard, state: &mut SlotState) -> Result<Option<File>, Error> {
        let inner = &self.inner;
        if let Some(path) = inner.store.object_file(&shard.tar) {
            // Errors are left to the store's own way of reading, which tries again and words them well.
            return Ok(File::open(path).ok());
        }
        if let Some(file) = inner.cache.find(&shard.tar, shard.tar_size) {
            return Ok(Some(file));
        }
        let was_refused = state.refused.is_some_and(|refused| refused.elapsed() < ASK_AGAIN_AFTER);
        if state.reads < READS_BEFORE_FETCH || was_refused {
            return Ok(None);
        }
        let fetched = inner.cache.fetch(&inner.store, &inner.handle, &shard.tar, shard.tar_size)?;
        if fetched.is_none() {
            state.refused = Some(Instant::now());
        }
        Ok(fetched)
    }

    fn discard(&self, shard: &TableShard, error: Option<std::io::Error>) {
        lock(&self.slot(&shard.tar).state).file = None;
        if !self.is_direct(shard) {
            let reason =
                error.map_or_else(|| "a digest does not match".to_owned(), |error| error.to_string());
            tracing::warn!(object = %shard.tar, reason, "cached shard is damaged, removing it");
            self.inner.cache.remove(&shard.tar);
        }
    }

    fn slot(&self, tar: &Digest) -> Arc<Slot> {
        let slot = lock(&self.inner.slots).entry(*tar).or_default().clone();
        slot.last_use.store(self.inner.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        slot
    }

    /// Closes the files that were not used for longest, when there are too many.
    fn close_some(&self, keep: &Digest) {
        let others: Vec<Arc<Slot>> = lock(&self.inner.slots)
            .iter()
            .filter(|(tar, _)| *tar != keep)
            .map(|(_, slot)| slot.clone())
            .collect();
        // A slot that is locked is in use, and waiting for it here could wait for ourselves.
        let mut open: Vec<(u64, &Arc<Slot>)> = others
            .iter()
            .filter(|slot| slot.state.try_lock().is_ok_and(|state| state.file.is_some()))
            .map(|slot| (slot.last_use.load(Ordering::Relaxed), slot))
            .collect();
        open.sort_unstable_by_key(|(last_use, _)| *last_use);
        let surplus = open.len().saturating_sub(OPEN_FILES - 1);
        for (_, slot) in open.into_iter().take(surplus) {
            if let Ok(mut state) = slot.state.try_lock() {
                state.file = None;
            }
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Reader({:?})", self.inner.store)
    }
}

fn read_at(file: &File, member: &PackedMember) -> std::io::Result<Bytes> {
    // The size is the index's word, which was checked against the tar's size only; the file may be shorter.
    let available = file.metadata()?.len().saturating_sub(member.offset);
    if available < member.size {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let mut bytes = vec![0; member.size as usize];
    file.read_exact_at(&mut bytes, member.offset)?;
    Ok(bytes.into())
}

/// State behind these locks is valid after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
