//! A back end that fails on demand, for tests of whatever rests on a store.

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Wraps a back end. All faults are off at first.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    faults: Mutex<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    fail_first: u32,
    attempts: HashMap<String, u32>,
    away_until: Option<Instant>,
    ignores_put_if_absent: bool,
    calls: u64,
}

impl Faulty {
    /// A wrapper around `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, faults: Mutex::default() }
    }

    /// From now on, the first `times` attempts of each operation on each key time out.
    pub fn fail_first(&self, times: u32) {
        let mut faults = self.lock();
        faults.fail_first = times;
        faults.attempts.clear();
    }

    /// Everything fails for `time` from now.
    pub fn go_away(&self, time: Duration) {
        self.lock().away_until = Some(Instant::now() + time);
    }

    /// From now on, a write with put-if-absent overwrites, as some servers do.
    pub fn ignore_put_if_absent(&self) {
        self.lock().ignores_put_if_absent = true;
    }

    /// Calls so far, failed ones included.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempt(&self, operation: &str, path: Option<&Path>) -> Result<()> {
        let mut faults = self.lock();
        faults.calls += 1;
        let fail = |kind: ErrorKind| {
            Err(object_store::Error::Generic { store: "Faulty", source: std::io::Error::from(kind).into() })
        };
        if faults.away_until.is_some_and(|until| Instant::now() < until) {
            return fail(ErrorKind::ConnectionRefused);
        }
        let limit = faults.fail_first;
        let key = format!("{operation} {}", path.map(Path::as_ref).unwrap_or_default());
        let attempts = faults.attempts.entry(key).or_default();
        *attempts += 1;
        if *attempts <= limit { fail(ErrorKind::TimedOut) } else { Ok(()) }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Faulty({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        self.attempt("put", Some(location))?;
        if self.lock().ignores_put_if_absent {
            options.mode = PutMode::Overwrite;
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.attempt("multipart", Some(location))?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.attempt(if options.head { "head" } else { "get" }, Some(location))?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.attempt("get", Some(location))?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let inner = self.inner.clone();
        match self.attempt("delete", None) {
            Ok(()) => locations
                .then(move |location| {
                    let inner = inner.clone();
                    async move {
                        let location = location?;
                        inner.delete(&location).await?;
                        Ok(location)
                    }
                })
                .boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.attempt("list", prefix) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.attempt("list", prefix)?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.attempt("copy", Some(from))?;
        self.inner.copy_opts(from, to, options).await
    }
}
