//! Where checkpoints lie: each in a place of its own, `checkpoints/JOB/PART/FENCE/STEP/`, a small store of one artifact.
//!
//! Checkpoints are the only artifacts that are removed. Nothing else, not even another attempt at the same part, reads
//! or writes in the place of one: so that removing it asks for no look at what else may share its bytes, and cannot
//! take them from a writer that has just found them there.

use counterstain_api::Digest;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use super::{Inner, Store};
use crate::Error;
use crate::retry::Failure;

const AREA: &str = "checkpoints";

/// The place of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointPlace {
    /// Id of the job.
    pub job: String,
    /// Index of the part.
    pub part: u32,
    /// Fence of the lease under which it was taken. It rises with every attempt.
    pub fence: u64,
    /// Steps that were done.
    pub step: u64,
}

/// A checkpoint: what it is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedCheckpoint {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its place.
    pub place: CheckpointPlace,
}

impl Store {
    /// The store of one checkpoint, to write it to and to read it from.
    pub fn checkpoint(&self, place: &CheckpointPlace) -> Self {
        let CheckpointPlace { job, part, fence, step } = place;
        let prefix = below(&self.part_path(job, *part), [fence, step]);
        Self { inner: Inner { prefix, ..(*self.inner).clone() }.into() }
    }

    /// Removes the checkpoints that `latest` supersedes: those of its part that were taken under an earlier lease, or
    /// at an earlier step under the same. Those of a later lease stay.
    ///
    /// # Errors
    /// Those of the store. What is left then goes with the next call.
    pub async fn remove_older_checkpoints(&self, latest: &CheckpointPlace) -> Result<(), Error> {
        let part = self.part_path(&latest.job, latest.part);
        self.remove_lower(&part, latest.fence).await?;
        self.remove_lower(&below(&part, [&latest.fence]), latest.step).await
    }

    /// Removes all checkpoints of a job.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_checkpoints(&self, job: &str) -> Result<(), Error> {
        self.remove_below(&below(&self.path(AREA), [job])).await
    }

    /// Ids of the jobs that have checkpoints.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn jobs_with_checkpoints(&self) -> Result<Vec<String>, Error> {
        self.names_in(&self.path(AREA)).await
    }

    fn part_path(&self, job: &str, part: u32) -> Path {
        below(&self.path(AREA), [job, &part.to_string()])
    }

    /// Removes what lies in `path` under numbers that are lower than `limit`.
    async fn remove_lower(&self, path: &Path, limit: u64) -> Result<(), Error> {
        for name in self.names_in(path).await? {
            if name.parse::<u64>().is_ok_and(|number| number < limit) {
                self.remove_below(&below(path, [name])).await?;
            }
        }
        Ok(())
    }

    /// Names of the folders in `path`.
    async fn names_in(&self, path: &Path) -> Result<Vec<String>, Error> {
        let what = path.as_ref();
        match self.trying(what, || self.inner.objects.list_with_delimiter(Some(path))).await {
            Ok(list) => {
                let names = list.common_prefixes.iter().filter_map(|prefix| prefix.filename());
                Ok(names.map(str::to_owned).collect())
            }
            Err(Failure::Absent(_)) => Ok(Vec::new()),
            Err(failure) => Err(failure.into_error(what, self.location())),
        }
    }

    async fn remove_below(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = &self.inner.folder {
            // With the folders, which would be left behind object by object.
            let folder = folder.join(path.as_ref());
            return match tokio::fs::remove_dir_all(&folder).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io("remove", &folder, error))
                }
                _ => Ok(()),
            };
        }
        for object in &self.paths_below(path, path.as_ref()).await? {
            match self.trying(object.as_ref(), || self.inner.objects.delete(object)).await {
                Ok(()) | Err(Failure::Absent(_)) => {}
                Err(failure) => return Err(failure.into_error(object.as_ref(), self.location())),
            }
        }
        Ok(())
    }
}

fn below<Name: ToString>(path: &Path, names: impl IntoIterator<Item = Name>) -> Path {
    names.into_iter().fold(path.clone(), |path, name| path.join(name.to_string()))
}
