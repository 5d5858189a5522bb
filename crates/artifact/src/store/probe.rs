//! The start-up check: is the store there, writable, and does it keep the promise that all else rests on?

use bytes::Bytes;
use futures::future::join_all;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode};

use super::Store;
use crate::Error;
use crate::retry::Failure;

/// Writers that race for one key.
const RACERS: usize = 6;

impl Store {
    /// Checks that the store can be written and read, and that a write with put-if-absent really fails when
    /// the key is taken, one after another and in a race. Leaves nothing behind.
    ///
    /// # Errors
    /// `Unfit` for a store that ignores put-if-absent or loses bytes; those of the store otherwise.
    pub async fn probe(&self) -> Result<(), Error> {
        self.probe_bucket().await?;
        let id = uuid::Uuid::now_v7();
        let keys = [format!("probe/{id}-turn"), format!("probe/{id}-race")].map(|key| self.path(&key));
        let outcome = async {
            self.probe_in_turn(&keys[0]).await?;
            self.probe_race(&keys[1]).await
        }
        .await;
        for key in &keys {
            if let Err(error) = self.inner.objects.delete(key).await {
                tracing::debug!(location = self.location(), key = %key, error = %error, "could not remove a probe");
            }
        }
        outcome
    }

    /// Some servers answer a write to a missing bucket with "internal error", but all know it when asked for a list.
    async fn probe_bucket(&self) -> Result<(), Error> {
        let what = "the start-up probe";
        let prefix = self.path("probe");
        let missing = || self.unfit("the bucket does not exist; make it first, or correct --store");
        match self.trying(what, || self.inner.objects.list_with_delimiter(Some(&prefix))).await {
            Ok(_) | Err(Failure::Exists) => Ok(()),
            Err(Failure::Absent(_)) => Err(missing()),
            Err(Failure::Other(Error::Refused { source, .. }))
                if source.to_string().contains("NoSuchBucket") =>
            {
                Err(missing())
            }
            // Who may not list may still read and write.
            Err(Failure::Other(Error::Refused { .. })) => Ok(()),
            Err(Failure::Other(error)) => Err(error),
        }
    }

    async fn probe_in_turn(&self, key: &object_store::path::Path) -> Result<(), Error> {
        let first = Bytes::from(format!("first {key}"));
        match self.put(key, "the start-up probe", &first, PutMode::Create).await {
            // A repeated request can find its own first success; the content decides.
            Ok(()) | Err(Failure::Exists) => {}
            Err(failure) => return Err(self.probe_failure(failure)),
        }
        self.expect_content(key, &first).await?;
        match self.put(key, "the start-up probe", &Bytes::from_static(b"second"), PutMode::Create).await {
            Err(Failure::Exists) => {}
            Ok(()) => {
                return Err(self.unfit(
                    "it accepted a second write of one key: it ignores put-if-absent (If-None-Match: *)",
                ));
            }
            Err(failure) => return Err(self.probe_failure(failure)),
        }
        self.expect_content(key, &first).await
    }

    async fn probe_race(&self, key: &object_store::path::Path) -> Result<(), Error> {
        // Without retries: a repeated request would meet its own first success and be counted as a loser.
        let racers = (0..RACERS).map(|racer| {
            let options = PutMode::Create.into();
            self.inner.objects.put_opts(key, format!("racer {racer}").into(), options)
        });
        let winners = join_all(racers).await.iter().filter(|outcome| outcome.is_ok()).count();
        if winners > 1 {
            let reason = format!(
                "{winners} of {RACERS} writers that raced for one key were all told that they had won"
            );
            return Err(self.unfit(&reason));
        }
        Ok(())
    }

    async fn expect_content(&self, key: &object_store::path::Path, expected: &Bytes) -> Result<(), Error> {
        let read = || async { self.inner.objects.get(key).await?.bytes().await };
        let found =
            self.trying("the start-up probe", read).await.map_err(|failure| self.probe_failure(failure))?;
        if found == *expected {
            return Ok(());
        }
        Err(self.unfit("what was written to it reads back differently"))
    }

    fn probe_failure(&self, failure: Failure) -> Error {
        match failure {
            Failure::Absent(_) => self.unfit("what was written to it is not there"),
            failure => failure.into_error("the start-up probe", self.location()),
        }
    }

    fn unfit(&self, reason: &str) -> Error {
        Error::Unfit { location: self.location().to_owned(), reason: reason.to_owned() }
    }
}
