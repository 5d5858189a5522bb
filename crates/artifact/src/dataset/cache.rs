//! The local cache of whole shards: a folder of a limited size that any number of processes may share.
//!
//! - `HEX.tar` is a shard, put under this name only when it was fetched and verified as a whole.
//! - `HEX.part` is one being fetched; whoever fetches it holds a file lock on it, so a part without a lock
//!   was left by a process that died. It has its final length from the start, so that it counts as used space.
//! - `lock` is held while room is made. Space is given back by last use (the modification time, which
//!   readers renew). What was used in the last minutes stays: data that does not fit is read in
//!   ranges then, instead of turning the cache over again and again.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use counterstain_api::Digest;
use tokio::runtime::Handle;

use crate::{Error, Store};

/// A shard that was used this recently is not removed for another.
const PROTECTED_FOR: Duration = Duration::from_secs(300);

pub(super) struct Cache {
    dir: PathBuf,
    limit: u64,
    protected_for: Duration,
}

/// Room that was made: a locked, empty file of the final length.
struct Reserved {
    file: File,
    part: PathBuf,
}

impl Cache {
    pub(super) fn new(dir: &Path, limit: u64) -> Self {
        Self { dir: dir.join("shards"), limit, protected_for: PROTECTED_FOR }
    }

    /// A cached shard, if it is there with its full length. Its bytes are verified by whoever reads them.
    pub(super) fn find(&self, tar: &Digest, size: u64) -> Option<File> {
        if self.limit == 0 {
            return None;
        }
        let file = File::open(self.path(tar, "tar")).ok()?;
        if file.metadata().ok()?.len() != size {
            self.remove(tar);
            return None;
        }
        Self::note_use(&file);
        Some(file)
    }

    /// Fetches a shard into the cache; none when there is no room, or another process is at it.
    pub(super) fn fetch(
        &self,
        store: &Store,
        handle: &Handle,
        tar: &Digest,
        size: u64,
    ) -> Result<Option<File>, Error> {
        if size > self.limit {
            return Ok(None);
        }
        // A cache that cannot be written makes reading slower, not impossible.
        let reserved = match self.reserve(tar, size) {
            Ok(reserved) => reserved,
            Err(error) => {
                tracing::warn!(cache = %self.dir.display(), error = %error, "cache cannot be used");
                None
            }
        };
        let Some(Reserved { file, part }) = reserved else {
            return Ok(self.find(tar, size));
        };
        let outcome = handle.block_on(store.get_to_file(tar, &file, &part)).and_then(|_| {
            let path = self.path(tar, "tar");
            std::fs::rename(&part, &path).map_err(|error| Error::io("rename", &part, error))?;
            Self::note_use(&file);
            file.unlock().map_err(|error| Error::io("unlock", &path, error))
        });
        match outcome {
            Ok(()) => Ok(Some(file)),
            Err(error) => {
                // Best effort: without its lock, the next one to make room removes it.
                let _ = std::fs::remove_file(&part);
                match error {
                    Error::Full { .. } | Error::Io { .. } => {
                        tracing::warn!(cache = %self.dir.display(), error = %error, "cache cannot be used");
                        Ok(None)
                    }
                    error => Err(error),
                }
            }
        }
    }

    /// Removes a shard that turned out to be damaged.
    pub(super) fn remove(&self, tar: &Digest) {
        let path = self.path(tar, "tar");
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), error = %error, "could not remove a damaged shard");
        }
    }

    /// Notes that a shard was used now.
    pub(super) fn note_use(file: &File) {
        // On a cache of another user this fails, and the order of removal is then that of fetching.
        let _ = file.set_modified(SystemTime::now());
    }

    fn reserve(&self, tar: &Digest, size: u64) -> std::io::Result<Option<Reserved>> {
        std::fs::create_dir_all(&self.dir)?;
        let dir_lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(self.dir.join("lock"))?;
        dir_lock.lock()?;
        if self.path(tar, "tar").exists() {
            return Ok(None);
        }
        let part = self.path(tar, "part");
        if !self.make_room(size)? || part.exists() {
            return Ok(None);
        }
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(&part)?;
        file.lock()?;
        file.set_len(size)?;
        Ok(Some(Reserved { file, part }))
    }

    /// Removes what died processes left and what was not used for longest, until `size` more bytes fit.
    fn make_room(&self, size: u64) -> std::io::Result<bool> {
        let mut used = 0;
        let mut candidates = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let path = entry.path();
            // What another process removes meanwhile needs no room.
            let Ok(metadata) = entry.metadata() else { continue };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("part") if is_abandoned(&path) => std::fs::remove_file(&path)?,
                Some("part") => used += metadata.len(),
                Some("tar") => {
                    used += metadata.len();
                    candidates.push((metadata.modified()?, metadata.len(), path));
                }
                _ => {}
            }
        }
        candidates.sort();
        for (modified, length, path) in candidates {
            if used + size <= self.limit {
                break;
            }
            if modified.elapsed().unwrap_or_default() < self.protected_for {
                break;
            }
            std::fs::remove_file(&path)?;
            used -= length;
        }
        Ok(used + size <= self.limit)
    }

    fn path(&self, tar: &Digest, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", tar.hex()))
    }
}

/// Whether nobody holds the lock of a part.
fn is_abandoned(part: &Path) -> bool {
    match File::open(part).map(|file| file.try_lock()) {
        Ok(Ok(())) => true,
        Ok(Err(TryLockError::WouldBlock)) => false,
        Ok(Err(TryLockError::Error(_))) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(dir: &Path, limit: u64, protected_for: Duration) -> Cache {
        Cache { protected_for, ..Cache::new(dir, limit) }
    }

    fn rig() -> (tokio::runtime::Runtime, Store, tempfile::TempDir) {
        (
            tokio::runtime::Runtime::new().unwrap(),
            Store::open("memory:").unwrap(),
            tempfile::tempdir().unwrap(),
        )
    }

    fn put(runtime: &tokio::runtime::Runtime, store: &Store, fill: u8) -> Digest {
        runtime.block_on(store.put_object(vec![fill; 1_000].into())).unwrap().digest
    }

    #[test]
    fn the_cache_keeps_its_limit_and_lets_the_oldest_go() {
        let (runtime, store, dir) = rig();
        let cache = cache(dir.path(), 2_500, Duration::ZERO);
        let digests: Vec<Digest> = (0..3).map(|fill| put(&runtime, &store, fill)).collect();
        for digest in &digests {
            assert!(cache.fetch(&store, runtime.handle(), digest, 1_000).unwrap().is_some());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(cache.find(&digests[0], 1_000).is_none());
        assert!(cache.find(&digests[1], 1_000).is_some() && cache.find(&digests[2], 1_000).is_some());
    }

    #[test]
    fn what_is_in_use_is_not_turned_over() {
        let (runtime, store, dir) = rig();
        let cache = cache(dir.path(), 1_500, PROTECTED_FOR);
        let (first, second) = (put(&runtime, &store, 1), put(&runtime, &store, 2));
        assert!(cache.fetch(&store, runtime.handle(), &first, 1_000).unwrap().is_some());
        assert!(cache.fetch(&store, runtime.handle(), &second, 1_000).unwrap().is_none());
        assert!(cache.find(&first, 1_000).is_some());
    }

    #[test]
    fn parts_of_died_processes_are_removed_and_those_of_living_ones_are_not() {
        let (runtime, store, dir) = rig();
        let cache = cache(dir.path(), 1_500, PROTECTED_FOR);
        let digest = put(&runtime, &store, 1);
        std::fs::create_dir_all(&cache.dir).unwrap();
        let part = cache.path(&digest, "part");
        let living = File::create(&part).unwrap();
        living.lock().unwrap();
        assert!(cache.fetch(&store, runtime.handle(), &digest, 1_000).unwrap().is_none());
        assert!(part.exists());
        drop(living);
        assert!(cache.fetch(&store, runtime.handle(), &digest, 1_000).unwrap().is_some());
        assert!(!part.exists());
    }

    #[test]
    fn a_truncated_file_is_no_hit() {
        let (runtime, store, dir) = rig();
        let cache = cache(dir.path(), 1_500, PROTECTED_FOR);
        let digest = put(&runtime, &store, 1);
        cache.fetch(&store, runtime.handle(), &digest, 1_000).unwrap().unwrap();
        std::fs::write(cache.path(&digest, "tar"), [1; 10]).unwrap();
        assert!(cache.find(&digest, 1_000).is_none());
        assert!(!cache.path(&digest, "tar").exists());
    }
}
