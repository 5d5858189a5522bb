//! Reading: nothing leaves here unverified, except ranges, which the caller verifies by a shard's index.

use std::io::Write as _;
use std::ops::Range;
use std::path::Path as FilePath;

use bytes::{Bytes, BytesMut};
use counterstain_api::Digest;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use sha2::{Digest as _, Sha256};

use super::{Store, object_name};
use crate::Error;
use crate::retry::Failure;

/// Large objects are read in ranges of this many bytes: a broken connection then costs one of them.
const CHUNK: u64 = 16 << 20;
/// Ranges of one object in flight.
const PARALLEL: usize = 4;

/// What lies under a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Absent,
    Sound,
    Damaged,
}

impl Store {
    /// Reads an object, verified.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, and those of the store.
    pub async fn get_object(&self, digest: &Digest) -> Result<Bytes, Error> {
        self.read_verified(&self.object_path(digest), &object_name(digest), digest, u64::MAX).await
    }

    /// Reads `range` of an object, exactly as long as asked for. **Not verified**: the caller checks the
    /// bytes against the member's hash in a verified index.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` when the object is too short, and those of the store.
    pub async fn get_range(&self, digest: &Digest, range: Range<u64>) -> Result<Bytes, Error> {
        let path = self.object_path(digest);
        let what = object_name(digest);
        self.range_at(&path, &what, range).await
    }

    /// Writes an object into a new or truncated file, in little memory, verified. On an error the file's
    /// content is worthless.
    ///
    /// # Errors
    /// As [`Store::get_object`], and those of the file.
    pub async fn get_to_file(
        &self,
        digest: &Digest,
        file: &std::fs::File,
        path: &FilePath,
    ) -> Result<u64, Error> {
        let mut writer = std::io::BufWriter::new(file);
        let at = self.object_path(digest);
        let what = object_name(digest);
        let write = |chunk: &Bytes| writer.write_all(chunk).map_err(|error| Error::io("write", path, error));
        let (found, size) = self.digest_of(&at, &what, write).await?;
        writer.flush().map_err(|error| Error::io("write", path, error))?;
        if found != *digest {
            return Err(self.corrupt(&what, &found));
        }
        Ok(size)
    }

    pub(super) async fn read_verified(
        &self,
        path: &Path,
        what: &str,
        digest: &Digest,
        largest: u64,
    ) -> Result<Bytes, Error> {
        // Small objects come with the first answer; of large ones it brings the size.
        let first = || async {
            let answer = self.inner.objects.get(path).await?;
            let size = answer.meta.size;
            if size > CHUNK.min(largest) { Ok((size, None)) } else { Ok((size, Some(answer.bytes().await?))) }
        };
        let (size, bytes) =
            self.trying(what, first).await.map_err(|failure| failure.into_error(what, self.location()))?;
        let bytes = match bytes {
            Some(bytes) => bytes,
            None if size > largest => {
                let reason = format!("it has {size} bytes, at most {largest} are possible");
                return Err(self.damaged(what, reason));
            }
            None => self.read_chunks(path, what, size).await?,
        };
        let found = hash(bytes.clone()).await;
        if found == *digest { Ok(bytes) } else { Err(self.corrupt(what, &found)) }
    }

    async fn read_chunks(&self, path: &Path, what: &str, size: u64) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        let mut chunks = std::pin::pin!(self.chunks(path, what, size));
        while let Some(chunk) = chunks.try_next().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    fn chunks<'a>(
        &'a self,
        path: &'a Path,
        what: &'a str,
        size: u64,
    ) -> impl futures::Stream<Item = Result<Bytes, Error>> + Send + 'a {
        let starts = (0..size.div_ceil(CHUNK)).map(|index| index * CHUNK);
        stream::iter(starts)
            .map(move |start| self.range_at(path, what, start..size.min(start + CHUNK)))
            .buffered(PARALLEL)
    }

    async fn range_at(&self, path: &Path, what: &str, range: Range<u64>) -> Result<Bytes, Error> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let read = || self.inner.objects.get_range(path, range.clone());
        let failure = match self.trying(what, read).await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => return Ok(bytes),
            Ok(_) => None,
            Err(Failure::Other(error @ Error::Refused { .. })) => Some(error),
            Err(failure) => return Err(failure.into_error(what, self.location())),
        };
        // Stores word "beyond the end" each in their own way; the size tells.
        let size = self.size_at(path, what).await?.unwrap_or_default();
        match failure {
            Some(error) if size >= range.end => Err(error),
            _ => Err(self.damaged(
                what,
                format!("it ends at byte {size}, bytes {} to {} are needed", range.start, range.end),
            )),
        }
    }

    /// Digest and size of what lies under a key, and each chunk of it to `each`.
    async fn digest_of(
        &self,
        path: &Path,
        what: &str,
        mut each: impl FnMut(&Bytes) -> Result<(), Error> + Send,
    ) -> Result<(Digest, u64), Error> {
        let head = || self.inner.objects.head(path);
        let meta =
            self.trying(what, head).await.map_err(|failure| failure.into_error(what, self.location()))?;
        let mut hasher = Sha256::new();
        let mut chunks = std::pin::pin!(self.chunks(path, what, meta.size));
        while let Some(chunk) = chunks.try_next().await? {
            hasher.update(&chunk);
            each(&chunk)?;
        }
        Ok((Digest::from_bytes(hasher.finalize().into()), meta.size))
    }

    /// Whether the bytes of `digest` lie under its key.
    pub(super) async fn content(&self, path: &Path, what: &str, digest: &Digest) -> Result<Content, Error> {
        match self.digest_of(path, what, |_| Ok(())).await {
            Ok((found, _)) if found == *digest => Ok(Content::Sound),
            Ok(_) | Err(Error::Corrupt { .. }) => Ok(Content::Damaged),
            Err(Error::NotFound { .. }) => Ok(Content::Absent),
            Err(error) => Err(error),
        }
    }

    fn corrupt(&self, what: &str, found: &Digest) -> Error {
        self.damaged(what, format!("its bytes have digest {found}"))
    }

    pub(crate) fn damaged(&self, what: &str, reason: String) -> Error {
        Error::Corrupt { what: what.to_owned(), location: self.location().to_owned(), reason }
    }
}

/// The digest of `bytes`, off the runtime's threads when there are many of them.
pub(super) async fn hash(bytes: Bytes) -> Digest {
    if bytes.len() < 1 << 20 {
        return Digest::of(&bytes);
    }
    tokio::task::spawn_blocking(move || Digest::of(&bytes)).await.expect("hashing does not panic")
}
