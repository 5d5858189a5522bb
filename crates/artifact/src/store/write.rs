//! Writing: put-if-absent, and nothing half-written under a key.
//!
//! A folder gets a staged file that is synced and then linked under its name; S3 gets a conditional PUT, or
//! for large objects a multipart upload, which becomes visible as a whole. Overwriting can only happen with the same bytes.

use std::io::Read as _;
use std::path::Path as FilePath;

use bytes::Bytes;
use counterstain_api::Digest;
use futures::TryStreamExt as _;
use futures::stream::FuturesUnordered;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use sha2::{Digest as _, Sha256};

use super::read::{Content, hash};
use super::{ObjectRef, Store, object_name};
use crate::Error;
use crate::retry::Failure;

/// Bytes of one part of an upload in parts.
const PART: usize = 8 << 20;
/// Files up to this size are read whole.
const LARGEST_WHOLE_FILE: u64 = PART as u64;
/// Byte objects above this size are uploaded in parts, so that a single request stays short.
const LARGEST_SINGLE_PUT: usize = 64 << 20;
/// Parts in flight.
const PARALLEL: usize = 3;

impl Store {
    /// Writes an object. When this returns, these bytes are durable under their digest, whoever wrote them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put_object(&self, bytes: Bytes) -> Result<ObjectRef, Error> {
        let digest = hash(bytes.clone()).await;
        let size = bytes.len() as u64;
        self.put_at(&self.object_path(&digest), &object_name(&digest), &digest, bytes).await?;
        Ok(ObjectRef { digest, size })
    }

    /// Writes a file as an object, in little memory however large it is.
    ///
    /// # Errors
    /// Those of the store and of the file; `Io` when the file changes meanwhile.
    pub async fn put_file(&self, file: &FilePath) -> Result<ObjectRef, Error> {
        let path = file.to_owned();
        let (digest, size) = blocking(move || digest_of_file(&path)).await?;
        if size <= LARGEST_WHOLE_FILE {
            let path = file.to_owned();
            let bytes =
                blocking(move || std::fs::read(&path).map_err(|error| Error::io("read", &path, error)))
                    .await?;
            if Digest::of(&bytes) != digest {
                return Err(changed(file));
            }
            return self.put_object(bytes.into()).await;
        }
        let at = self.object_path(&digest);
        let what = object_name(&digest);
        if self.content(&at, &what, &digest).await? != Content::Sound {
            self.upload(&at, &what, &digest, || Source::open(file)).await?;
        }
        Ok(ObjectRef { digest, size })
    }

    pub(super) async fn put_at(
        &self,
        path: &Path,
        what: &str,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<(), Error> {
        if bytes.len() > LARGEST_SINGLE_PUT {
            if self.content(path, what, digest).await? != Content::Sound {
                self.upload(path, what, digest, || Ok(Source::Memory(bytes.clone()))).await?;
            }
            return Ok(());
        }
        // An object may vanish between the refused write and the look at it; that it does so twice is no accident.
        for _ in 0..3 {
            match self.put(path, what, &bytes, PutMode::Create).await {
                Ok(()) => return Ok(()),
                Err(Failure::Exists) => {}
                Err(failure) => return Err(failure.into_error(what, self.location())),
            }
            match self.content(path, what, digest).await? {
                Content::Sound => return Ok(()),
                Content::Absent => {}
                Content::Damaged => {
                    tracing::warn!(what, location = self.location(), "object was damaged, writing it again");
                    return self
                        .put(path, what, &bytes, PutMode::Overwrite)
                        .await
                        .map_err(|failure| failure.into_error(what, self.location()));
                }
            }
        }
        Err(Failure::Exists.into_error(what, self.location()))
    }

    pub(super) async fn put(
        &self,
        path: &Path,
        what: &str,
        bytes: &Bytes,
        mode: PutMode,
    ) -> Result<(), Failure> {
        let put =
            || self.inner.objects.put_opts(path, PutPayload::from_bytes(bytes.clone()), mode.clone().into());
        match self.trying(what, put).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.write_failure(what, failure)),
        }
    }

    /// Uploads in parts; the whole upload is tried again when it fails.
    async fn upload(
        &self,
        path: &Path,
        what: &str,
        digest: &Digest,
        open: impl Fn() -> Result<Source, Error>,
    ) -> Result<(), Error> {
        // A fault of the local file is not the store's and is not tried again.
        let attempt = || async {
            let source = match open() {
                Ok(source) => source,
                Err(error) => return Ok(Err(error)),
            };
            let mut upload = self.inner.objects.put_multipart(path).await?;
            let outcome = send_parts(upload.as_mut(), source, digest).await;
            if matches!(outcome, Ok(Ok(()))) {
                upload.complete().await?;
            } else if let Err(error) = upload.abort().await {
                tracing::debug!(what, error = %error, "could not clean up after a failed upload");
            }
            outcome
        };
        self.trying(what, attempt)
            .await
            .map_err(|failure| self.write_failure(what, failure).into_error(what, self.location()))?
    }

    /// For writing, "not found" speaks of the place.
    fn write_failure(&self, what: &str, failure: Failure) -> Failure {
        match failure {
            Failure::Absent(_) => Failure::Other(Error::Refused {
                what: what.to_owned(),
                location: self.location().to_owned(),
                source: "the bucket does not exist".into(),
            }),
            failure => failure,
        }
    }
}

/// Sends all parts. The inner error is the local file's, the outer one the store's.
async fn send_parts(
    upload: &mut dyn MultipartUpload,
    mut source: Source,
    digest: &Digest,
) -> object_store::Result<Result<(), Error>> {
    let mut hasher = Sha256::new();
    let mut in_flight = FuturesUnordered::new();
    loop {
        // Reading 8 MiB from a local disk is short enough for a runtime thread.
        let part = match source.next_part() {
            Ok(part) => part,
            Err(error) => return Ok(Err(error)),
        };
        if part.is_empty() {
            break;
        }
        hasher.update(&part);
        in_flight.push(upload.put_part(PutPayload::from_bytes(part)));
        if in_flight.len() >= PARALLEL {
            in_flight.try_next().await?;
        }
    }
    while in_flight.try_next().await?.is_some() {}
    let found = Digest::from_bytes(hasher.finalize().into());
    Ok(if found == *digest { Ok(()) } else { Err(source.changed()) })
}

/// Where the parts come from.
enum Source {
    File { file: std::fs::File, path: std::path::PathBuf },
    Memory(Bytes),
}

impl Source {
    fn open(path: &FilePath) -> Result<Self, Error> {
        let file = std::fs::File::open(path).map_err(|error| Error::io("open", path, error))?;
        Ok(Self::File { file, path: path.to_owned() })
    }

    /// The next part; empty at the end.
    fn next_part(&mut self) -> Result<Bytes, Error> {
        match self {
            Self::Memory(bytes) => Ok(bytes.split_to(PART.min(bytes.len()))),
            Self::File { file, path } => {
                let mut part = Vec::with_capacity(PART);
                let read = file.by_ref().take(PART as u64).read_to_end(&mut part);
                read.map_err(|error| Error::io("read", path, error))?;
                Ok(part.into())
            }
        }
    }

    fn changed(&self) -> Error {
        match self {
            Self::File { path, .. } => changed(path),
            Self::Memory(_) => Error::invalid("object", "changed while it was uploaded"),
        }
    }
}

fn changed(path: &FilePath) -> Error {
    Error::io("upload", path, std::io::Error::other("the file changed meanwhile"))
}

fn digest_of_file(path: &FilePath) -> Result<(Digest, u64), Error> {
    let fail = |error| Error::io("read", path, error);
    let mut file = std::fs::File::open(path).map_err(fail)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).map_err(fail)?;
        if count == 0 {
            return Ok((Digest::from_bytes(hasher.finalize().into()), size));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.expect("file reading does not panic")
}
