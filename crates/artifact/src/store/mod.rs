//! The store: content-addressed objects and manifests in a folder, in memory or in S3.
//!
//! Keys are `objects/sha256/ab/cdef…` and `manifests/sha256/ab/cdef…`. Each is written once, with
//! put-if-absent; a write that finds its key taken verifies what is there and mends it if it is damaged. Nothing is
//! ever removed but checkpoints, which lie apart.

mod checkpoints;
mod folder;
mod probe;
mod read;
mod write;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use counterstain_api::Digest;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::Error;
use crate::location::{self, Opened};
use crate::manifest::Manifest;
use crate::retry::{self, Failure, RetryPolicy};

pub use checkpoints::{CheckpointPlace, PlacedCheckpoint};

/// A manifest is a list of names; anything larger than this is not one.
const LARGEST_MANIFEST: u64 = 64 << 20;

/// An object that is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// A store. Clones are cheap and share connections.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    folder: Option<PathBuf>,
    location: String,
    retry: RetryPolicy,
}

impl Store {
    /// Opens the store at `location`: `/folder` or `file:///folder` (made when missing), `memory:` (a fresh,
    /// empty one), or `s3://bucket/prefix` with the `AWS_*` variables (`AWS_ENDPOINT` for another server than
    /// Amazon's; plain http only on loopback or with `AWS_ALLOW_HTTP=true`). Nothing is read yet: see [`Store::probe`].
    ///
    /// # Errors
    /// `Location` with what would be right.
    pub fn open(location: &str) -> Result<Self, Error> {
        Self::open_with(location, &location::environment())
    }

    /// As [`Store::open`], with `settings` (`AWS_*` names and values) in place of the environment.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(location: &str, settings: &[(String, String)]) -> Result<Self, Error> {
        let Opened { objects, prefix, folder } = location::open(location, settings)?;
        if let Some(folder) = &folder {
            folder::mark(folder)?;
        }
        let location = match &folder {
            Some(folder) => folder.display().to_string(),
            None => location.to_owned(),
        };
        Ok(Self {
            inner: Arc::new(Inner { objects, prefix, folder, location, retry: RetryPolicy::default() }),
        })
    }

    /// A store on a given back end; `location` names it in errors.
    pub fn from_backend(objects: Arc<dyn ObjectStore>, location: &str) -> Self {
        let inner = Inner {
            objects,
            prefix: Path::default(),
            folder: None,
            location: location.to_owned(),
            retry: RetryPolicy::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The same store with another patience.
    pub fn with_retry(&self, retry: RetryPolicy) -> Self {
        Self { inner: Inner { retry, ..(*self.inner).clone() }.into() }
    }

    /// Where it is, for messages.
    pub fn location(&self) -> &str {
        &self.inner.location
    }

    /// The file that holds an object, when the store is a folder on this machine. It may be absent, and its
    /// bytes are as unverified as any.
    pub fn object_file(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.inner.folder.as_ref()?.join(self.object_path(digest).as_ref()))
    }

    /// Bytes of an object, or none when it is not there.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn object_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        self.size_at(&self.object_path(digest), &object_name(digest)).await
    }

    /// Whether the store has this artifact's manifest.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn has_manifest(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.size_at(&self.manifest_path(digest), &manifest_name(digest)).await?.is_some())
    }

    /// Writes a manifest and gives the artifact's digest. All its objects should be in the store already.
    ///
    /// # Errors
    /// `Invalid` for a manifest that could not be read back, and those of the store.
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<Digest, Error> {
        let what = format!("{} manifest", manifest.kind);
        manifest.check().map_err(|reason| Error::invalid(&what, reason))?;
        let bytes = manifest.encode();
        if bytes.len() as u64 > LARGEST_MANIFEST {
            return Err(Error::invalid(
                what,
                format!("has {} bytes; at most {LARGEST_MANIFEST} are allowed", bytes.len()),
            ));
        }
        let digest = Digest::of(&bytes);
        self.put_at(&self.manifest_path(&digest), &manifest_name(&digest), &digest, bytes.into()).await?;
        Ok(digest)
    }

    /// Reads an artifact's manifest, verified.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `NewerSchema`, and those of the store.
    pub async fn manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        let what = manifest_name(digest);
        let bytes = self.read_verified(&self.manifest_path(digest), &what, digest, LARGEST_MANIFEST).await?;
        Manifest::decode(&bytes, &what)
    }

    /// The artifacts in the store, sorted by digest.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list_manifests(&self) -> Result<Vec<Digest>, Error> {
        let paths = self.paths_below(&self.path("manifests/sha256"), "the list of manifests").await?;
        let mut digests: Vec<Digest> = paths.iter().filter_map(digest_of_path).collect();
        digests.sort_unstable();
        Ok(digests)
    }

    /// Everything that lies below `base`.
    async fn paths_below(&self, base: &Path, what: &str) -> Result<Vec<Path>, Error> {
        let list =
            || self.inner.objects.list(Some(base)).map_ok(|meta| meta.location).try_collect::<Vec<_>>();
        self.trying(what, list).await.map_err(|failure| failure.into_error(what, self.location()))
    }

    /// Runs `operation` until it succeeds, fails for good, or patience ends.
    async fn trying<T, F, Running>(&self, what: &str, operation: F) -> Result<T, Failure>
    where
        F: Fn() -> Running,
        Running: Future<Output = object_store::Result<T>>,
    {
        let attempt = || async {
            if let Some(folder) = &self.inner.folder {
                folder::check_presence(folder).await?;
            }
            operation().await
        };
        retry::run(&self.inner.retry, self.location(), what, attempt).await
    }

    async fn size_at(&self, path: &Path, what: &str) -> Result<Option<u64>, Error> {
        match self.trying(what, || self.inner.objects.head(path)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Failure::Absent(_)) => Ok(None),
            Err(failure) => Err(failure.into_error(what, self.location())),
        }
    }

    fn path(&self, relative: &str) -> Path {
        self.inner.prefix.parts().chain(Path::from(relative).parts()).collect()
    }

    fn object_path(&self, digest: &Digest) -> Path {
        self.path(&key("objects", digest))
    }

    fn manifest_path(&self, digest: &Digest) -> Path {
        self.path(&key("manifests", digest))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Store({})", self.inner.location)
    }
}

fn key(area: &str, digest: &Digest) -> String {
    let hex = digest.hex();
    let (first, rest) = hex.split_at(2);
    format!("{area}/sha256/{first}/{rest}")
}

/// The digest whose key ends `path`; other things may lie in a folder too.
fn digest_of_path(path: &Path) -> Option<Digest> {
    let parts: Vec<_> = path.parts().collect();
    let [.., first, rest] = parts.as_slice() else { return None };
    format!("sha256:{}{}", first.as_ref(), rest.as_ref()).parse().ok()
}

pub(crate) fn object_name(digest: &Digest) -> String {
    format!("object {digest}")
}

fn manifest_name(digest: &Digest) -> String {
    format!("artifact {digest}")
}
