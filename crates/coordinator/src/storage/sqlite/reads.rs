//! The reads, each on a connection of its own that sees committed changes only.

use async_trait::async_trait;
use counterstain_api::Digest;
use counterstain_api::proto::job::v1::{Metric, Picture};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::convert::{
    get, id_list, integer, level, parsed, profile_text, to_text, unsigned, unsigned_32, unsigned_opt,
};
use super::rows::{self, Failed};
use super::{SqliteStorage, backend, writes};
use crate::machine::{JobId, Millis, WorkerId};
use crate::storage::{
    Artifact, JobFilter, JobView, LogRecord, NewLogLine, Offer, Pipeline, Result, Revision, Storage,
    Transaction, Worker, kind_name,
};

const READ: &str = "read";

type Reader = sqlx::pool::PoolConnection<sqlx::Sqlite>;

impl SqliteStorage {
    async fn reader(&self) -> Result<Reader> {
        self.readers.acquire().await.map_err(|error| backend(&self.name, READ, error))
    }

    fn failed(&self, failed: impl Into<Failed>) -> crate::storage::Error {
        match failed.into() {
            Failed::Query(error) => backend(&self.name, READ, error),
            Failed::Row(error) => error,
        }
    }

    async fn all<T>(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
        read: impl Fn(&SqliteRow) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut reader = self.reader().await?;
        let rows = query.fetch_all(&mut *reader).await.map_err(|error| self.failed(error))?;
        rows.iter().map(read).collect()
    }

    async fn one<T>(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
        read: impl Fn(&SqliteRow) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.all(query, read).await?.pop())
    }
}

fn id(row: &SqliteRow) -> Result<JobId> {
    parsed(row, "id")
}

/// A filter for `json_each`; empty is no filter.
fn filter<T: serde::Serialize>(values: impl IntoIterator<Item = T>) -> Option<String> {
    let values: Vec<T> = values.into_iter().collect();
    (!values.is_empty()).then(|| to_text(&values))
}

#[async_trait]
impl Storage for SqliteStorage {
    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        Ok(Box::new(writes::SqliteTransaction::begin(&self.writer, &self.name).await?))
    }

    async fn revision(&self) -> Result<Revision> {
        let query = sqlx::query("SELECT value FROM revision");
        Ok(self.one(query, |row| unsigned(row, "value")).await?.unwrap_or_default())
    }

    async fn pipeline(&self, id: &str) -> Result<Option<Pipeline>> {
        let query = sqlx::query("SELECT * FROM pipelines WHERE id = ?1").bind(id);
        self.one(query, |row| {
            Ok(Pipeline {
                id: parsed(row, "id")?,
                name: get(row, "name")?,
                created_at: unsigned(row, "created_at")?,
            })
        })
        .await
    }

    async fn pipeline_jobs(&self, pipeline: &str) -> Result<Vec<JobId>> {
        self.all(sqlx::query(include_str!("sql/job_ids_by_pipeline.sql")).bind(pipeline), id).await
    }

    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<JobView>> {
        let mut reader = self.reader().await?;
        let mut transaction =
            sqlx::Connection::begin(&mut *reader).await.map_err(|error| self.failed(error))?;
        let connection: &mut SqliteConnection = &mut transaction;
        rows::load_jobs(connection, ids, true).await.map_err(|error| self.failed(error))
    }

    async fn list_jobs(&self, filters: &JobFilter) -> Result<Vec<JobId>> {
        let query = sqlx::query(include_str!("sql/list_jobs.sql"))
            .bind(filter(&filters.states))
            .bind(filter(&filters.kinds))
            .bind(filters.pipeline.map(|id| id.to_string()))
            .bind(filters.before.map(|id| id.to_string()))
            .bind(filters.limit);
        self.all(query, id).await
    }

    async fn jobs_by_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<JobId>> {
        self.all(sqlx::query(include_str!("sql/job_ids_by_prefix.sql")).bind(prefix).bind(limit), id).await
    }

    async fn changed_jobs(&self, jobs: &[JobId], since: Revision) -> Result<Vec<(JobId, Revision)>> {
        let query =
            sqlx::query(include_str!("sql/changed_jobs.sql")).bind(id_list(jobs)).bind(integer(since));
        self.all(query, |row| Ok((id(row)?, unsigned(row, "revision")?))).await
    }

    async fn free_parts(&self, offer: &Offer, now: Millis, limit: u32) -> Result<Vec<(JobId, u32)>> {
        let kinds: Vec<&str> = offer.kinds.iter().map(|kind| kind_name(*kind)).collect();
        let query = sqlx::query(include_str!("sql/free_parts.sql"))
            .bind(to_text(&kinds))
            .bind(profile_text(&offer.profile))
            .bind(integer(now))
            .bind(limit);
        self.all(query, |row| Ok((id(row)?, unsigned_32(row, "part")?))).await
    }

    async fn jobs_with_leases_until(&self, now: Millis) -> Result<Vec<JobId>> {
        self.all(sqlx::query(include_str!("sql/jobs_with_leases_until.sql")).bind(integer(now)), id).await
    }

    async fn pause_ended(&self, from: Millis, to: Millis) -> Result<bool> {
        let query = sqlx::query(include_str!("sql/pause_ended.sql")).bind(integer(from)).bind(integer(to));
        Ok(self.one(query, |row| get(row, "ended")).await?.unwrap_or(false))
    }

    async fn jobs_to_prepare(&self) -> Result<Vec<JobId>> {
        self.all(sqlx::query(include_str!("sql/jobs_to_prepare.sql")), id).await
    }

    async fn metrics(
        &self,
        job: JobId,
        names: &[String],
        after: Revision,
        until: Revision,
    ) -> Result<Vec<Metric>> {
        let query = sqlx::query(include_str!("sql/metrics.sql"))
            .bind(job.to_string())
            .bind(filter(names))
            .bind(integer(after))
            .bind(integer(until));
        self.all(query, |row| {
            let value: Option<f64> = get(row, "value")?;
            Ok(Metric {
                step: unsigned(row, "step")?,
                name: get(row, "name")?,
                value: value.unwrap_or(f64::NAN),
            })
        })
        .await
    }

    async fn pictures(&self, job: JobId) -> Result<Vec<Picture>> {
        let query = sqlx::query(include_str!("sql/pictures.sql")).bind(job.to_string());
        self.all(query, |row| {
            let panels: String = get(row, "panels")?;
            Ok(Picture {
                name: get(row, "name")?,
                step: unsigned(row, "step")?,
                panels: serde_json::from_str(&panels)
                    .map_err(|_| crate::storage::Error::Faulty { column: "panels", value: panels })?,
                png: get(row, "png")?,
            })
        })
        .await
    }

    async fn logs(&self, job: JobId, after: u64, limit: u32) -> Result<Vec<LogRecord>> {
        let query =
            sqlx::query(include_str!("sql/logs.sql")).bind(job.to_string()).bind(integer(after)).bind(limit);
        self.all(query, |row| {
            let line = NewLogLine {
                at: unsigned(row, "at")?,
                level: level(row)?,
                message: get(row, "message")?,
                part: unsigned_32(row, "part")?,
                attempt: unsigned(row, "attempt")?,
                sequence: unsigned_opt(row, "sequence")?,
            };
            Ok(LogRecord { cursor: unsigned(row, "id")?, line })
        })
        .await
    }

    async fn worker(&self, id: WorkerId) -> Result<Option<Worker>> {
        let query = sqlx::query(include_str!("sql/workers.sql")).bind(Some(id.to_string())).bind(0);
        self.one(query, rows::worker).await
    }

    async fn workers(&self, since: Millis) -> Result<Vec<Worker>> {
        let query = sqlx::query(include_str!("sql/workers.sql")).bind(None::<String>).bind(integer(since));
        self.all(query, rows::worker).await
    }

    async fn artifact(&self, digest: &Digest) -> Result<Option<Artifact>> {
        let query = sqlx::query(include_str!("sql/artifact_by_digest.sql")).bind(digest.to_string());
        self.one(query, rows::artifact).await
    }

    async fn artifacts_by_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<Digest>> {
        let query = sqlx::query(include_str!("sql/artifact_digests_by_prefix.sql")).bind(prefix).bind(limit);
        self.all(query, |row| parsed(row, "digest")).await
    }

    async fn artifact_by_key(&self, key: &str) -> Result<Option<Artifact>> {
        self.one(sqlx::query(include_str!("sql/artifact_by_key.sql")).bind(key), rows::artifact).await
    }

    async fn list_artifacts(&self, kinds: &[&str], before: Option<u64>, limit: u32) -> Result<Vec<Artifact>> {
        let query = sqlx::query(include_str!("sql/list_artifacts.sql"))
            .bind(to_text(&kinds))
            .bind(before.map(integer))
            .bind(limit);
        self.all(query, rows::artifact).await
    }

    async fn tag(&self, tag: &str) -> Result<Option<Digest>> {
        let query = sqlx::query("SELECT digest FROM tags WHERE tag = ?1").bind(tag);
        self.one(query, |row| parsed(row, "digest")).await
    }
}
