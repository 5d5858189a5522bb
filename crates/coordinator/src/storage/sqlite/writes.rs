//! The one writing transaction at a time.

use std::collections::HashSet;

use async_trait::async_trait;
use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1::{Metric, Picture};
use prost::Message as _;
use serde_json::json;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqlitePool};

use super::backend;
use super::convert::{get, integer, parsed, profile_text, rows, to_text, unsigned, unsigned_32};
use super::rows::{Failed, load_jobs};
use crate::machine::{Job, JobId, Millis, Part, PartState, WorkerId};
use crate::storage::{
    Artifact, NewJob, NewLogLine, NewPipeline, PictureLimits, Result, Revision, StoredJob, Submission, Tag,
    Transaction, Worker, kind_name,
};

const WRITE: &str = "write";

type Query<'query> = sqlx::query::Query<'query, Sqlite, SqliteArguments>;

/// The writing connection between `BEGIN` and `COMMIT`. The pool rolls back what was not committed when the
/// connection returns to it: sqlx's own transactions lose count when SQLite ends one by itself, as it does
/// on a full disk.
pub(super) struct SqliteTransaction {
    connection: PoolConnection<Sqlite>,
    name: String,
}

impl SqliteTransaction {
    pub(super) async fn begin(writer: &SqlitePool, name: &str) -> Result<Self> {
        let fail = |error| backend(name, "begin a change", error);
        let mut connection = writer.acquire().await.map_err(fail)?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(fail)?;
        Ok(Self { connection, name: name.to_owned() })
    }

    async fn execute(&mut self, query: Query<'_>) -> Result<u64> {
        let done = query.execute(&mut *self.connection).await;
        Ok(done.map_err(|error| backend(&self.name, WRITE, error))?.rows_affected())
    }

    async fn all(&mut self, query: Query<'_>) -> Result<Vec<SqliteRow>> {
        query.fetch_all(&mut *self.connection).await.map_err(|error| backend(&self.name, WRITE, error))
    }

    async fn ids(&mut self, query: Query<'_>) -> Result<Vec<JobId>> {
        self.all(query).await?.iter().map(|row| parsed(row, "id")).collect()
    }

    async fn next_revision(&mut self) -> Result<Revision> {
        let rows = self.all(sqlx::query(include_str!("sql/next_revision.sql"))).await?;
        rows.first().map_or(Ok(0), |row| unsigned(row, "value"))
    }

    async fn put_part(&mut self, job: JobId, index: usize, part: &Part) -> Result<()> {
        let mut not_before = None;
        let mut lease = None;
        let mut output = None;
        let state = match &part.state {
            PartState::Pending { not_before: time } => {
                not_before = Some(integer(*time));
                "pending"
            }
            PartState::Leased(held) => {
                lease = Some(held);
                "leased"
            }
            PartState::Done { output: digest } => {
                output = Some(digest.to_string());
                "done"
            }
            PartState::Failed => "failed",
        };
        let query = sqlx::query(include_str!("sql/put_part.sql"))
            .bind(job.to_string())
            .bind(integer(index as u64))
            .bind(state)
            .bind(integer(part.fence))
            .bind(not_before)
            .bind(lease.map(|lease| lease.worker.to_string()))
            .bind(lease.map(|lease| integer(lease.expires_at)))
            .bind(output)
            .bind(part.checkpoint.as_ref().map(|checkpoint| checkpoint.digest.to_string()))
            .bind(part.checkpoint.as_ref().map(|checkpoint| integer(checkpoint.step)))
            .bind(part.checkpoint.as_ref().map(|checkpoint| integer(checkpoint.fence)))
            .bind(part.failures)
            .bind(part.lost);
        self.execute(query).await?;
        Ok(())
    }

    async fn update_dependencies(&mut self, id: JobId, before: &Job, after: &Job) -> Result<()> {
        for needed in &before.needs {
            let state = |job: &Job| match (job.needs.contains(needed), job.blocked_by.contains(needed)) {
                (false, _) => "met",
                (true, true) => "blocking",
                (true, false) => "open",
            };
            if state(before) != state(after) {
                let query = sqlx::query(include_str!("sql/update_dependency.sql"))
                    .bind(id.to_string())
                    .bind(needed.to_string())
                    .bind(state(after));
                self.execute(query).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn submission(&mut self, principal: &str, key: &str) -> Result<Option<Submission>> {
        let query = sqlx::query(include_str!("sql/submission.sql")).bind(principal).bind(key);
        let rows = self.all(query).await?;
        rows.first()
            .map(|row| Ok(Submission { pipeline: parsed(row, "id")?, content: parsed(row, "content")? }))
            .transpose()
    }

    async fn insert_pipeline(&mut self, pipeline: &NewPipeline, jobs: &[NewJob]) -> Result<()> {
        let query = sqlx::query(include_str!("sql/insert_pipeline.sql"))
            .bind(pipeline.id.to_string())
            .bind(&pipeline.name)
            .bind(&pipeline.principal)
            .bind(&pipeline.idempotency_key)
            .bind(pipeline.content.to_string())
            .bind(integer(pipeline.created_at));
        self.execute(query).await?;
        for new in jobs {
            let revision = self.next_revision().await?;
            let query = sqlx::query(include_str!("sql/insert_job.sql"))
                .bind(new.id.to_string())
                .bind(pipeline.id.to_string())
                .bind(&new.name)
                .bind(kind_name(new.kind))
                .bind(new.spec.encode_to_vec())
                .bind(to_text(&new.after))
                .bind(new.job.state.name())
                .bind(new.job.assembled)
                .bind(new.job.fresh)
                .bind(integer(pipeline.created_at))
                .bind(integer(revision));
            self.execute(query).await?;
            for needed in &new.job.needs {
                let query = sqlx::query(include_str!("sql/insert_dependency.sql"))
                    .bind(new.id.to_string())
                    .bind(needed.to_string());
                self.execute(query).await?;
            }
        }
        Ok(())
    }

    async fn job(&mut self, id: JobId) -> Result<Option<StoredJob>> {
        let name = self.name.clone();
        let loaded = load_jobs(&mut self.connection, &[id], false).await;
        let mut views = loaded.map_err(|failed| match failed {
            Failed::Query(error) => backend(&name, WRITE, error),
            Failed::Row(error) => error,
        })?;
        Ok(views.pop().map(|view| view.stored))
    }

    async fn update_job(&mut self, before: &StoredJob, after: &StoredJob) -> Result<Revision> {
        let revision = self.next_revision().await?;
        let job = &after.job;
        let query = sqlx::query(include_str!("sql/update_job.sql"))
            .bind(after.id.to_string())
            .bind(after.spec.encode_to_vec())
            .bind(job.state.name())
            .bind(job.fresh)
            .bind(job.profile.as_ref().map(profile_text))
            .bind(job.output.map(|digest| digest.to_string()))
            .bind(job.reused)
            .bind(job.failure.as_ref().map(|failure| failure.code.as_str()))
            .bind(job.failure.as_ref().map(|failure| failure.message.as_str()))
            .bind(job.failed_attempts)
            .bind(job.lost_leases)
            .bind(job.started_at.map(integer))
            .bind(job.ended_at.map(integer))
            .bind(integer(revision));
        self.execute(query).await?;
        self.update_dependencies(after.id, &before.job, job).await?;
        for (index, part) in job.parts.iter().enumerate() {
            if before.job.parts.get(index) != Some(part) {
                self.put_part(after.id, index, part).await?;
            }
        }
        Ok(revision)
    }

    async fn dependants(&mut self, id: JobId) -> Result<Vec<JobId>> {
        self.ids(sqlx::query(include_str!("sql/dependants.sql")).bind(id.to_string())).await
    }

    async fn dependencies(&mut self, id: JobId) -> Result<Vec<JobId>> {
        self.ids(sqlx::query(include_str!("sql/dependencies.sql")).bind(id.to_string())).await
    }

    async fn held_part(&mut self, worker: WorkerId) -> Result<Option<(JobId, u32, u64)>> {
        let query = sqlx::query(include_str!("sql/held_part.sql")).bind(worker.to_string());
        let rows = self.all(query).await?;
        rows.first()
            .map(|row| Ok((parsed(row, "job_id")?, unsigned_32(row, "part")?, unsigned(row, "fence")?)))
            .transpose()
    }

    async fn set_progress(&mut self, job: JobId, part: u32, progress: &Progress) -> Result<()> {
        let query = sqlx::query(include_str!("sql/set_progress.sql"))
            .bind(job.to_string())
            .bind(part)
            .bind(progress.encode_to_vec());
        self.execute(query).await?;
        Ok(())
    }

    async fn add_metrics(
        &mut self,
        job: JobId,
        metrics: &[Metric],
        revision: Revision,
        name_limit: u32,
    ) -> Result<()> {
        let known = self.all(sqlx::query(include_str!("sql/metric_names.sql")).bind(job.to_string())).await?;
        let mut names: HashSet<String> = known.iter().map(|row| get(row, "name")).collect::<Result<_>>()?;
        let mut kept = Vec::new();
        for metric in metrics {
            if !names.contains(&metric.name) {
                if names.len() >= name_limit as usize {
                    continue;
                }
                names.insert(metric.name.clone());
            }
            kept.push(metric);
        }
        let all = rows(kept.iter().map(|metric| json!([metric.name, metric.step, metric.value])));
        let query = sqlx::query(include_str!("sql/add_metrics.sql"))
            .bind(job.to_string())
            .bind(all)
            .bind(integer(revision));
        self.execute(query).await?;
        // One row per name, and that of its greatest step, so that the order in the message does not matter.
        kept.sort_by_key(|metric| std::cmp::Reverse(metric.step));
        let mut seen = HashSet::new();
        kept.retain(|metric| seen.insert(&metric.name));
        let latest = rows(kept.iter().map(|metric| json!([metric.name, metric.step, metric.value])));
        let query =
            sqlx::query(include_str!("sql/put_latest_metrics.sql")).bind(job.to_string()).bind(latest);
        self.execute(query).await?;
        Ok(())
    }

    async fn add_pictures(&mut self, job: JobId, pictures: &[Picture], limits: PictureLimits) -> Result<()> {
        let known =
            self.all(sqlx::query(include_str!("sql/picture_names.sql")).bind(job.to_string())).await?;
        let mut names: HashSet<String> = known.iter().map(|row| get(row, "name")).collect::<Result<_>>()?;
        for picture in pictures {
            if !names.contains(&picture.name) && names.len() >= limits.names as usize {
                continue;
            }
            names.insert(picture.name.clone());
            let query = sqlx::query(include_str!("sql/add_picture.sql"))
                .bind(job.to_string())
                .bind(&picture.name)
                .bind(integer(picture.step))
                .bind(json!(picture.panels).to_string())
                .bind(&picture.png);
            self.execute(query).await?;
            let query = sqlx::query(include_str!("sql/trim_pictures.sql"))
                .bind(job.to_string())
                .bind(&picture.name)
                .bind(limits.per_name);
            self.execute(query).await?;
        }
        self.execute(sqlx::query(include_str!("sql/trim_jobs_with_pictures.sql")).bind(limits.jobs)).await?;
        Ok(())
    }

    async fn clear_observations(&mut self, job: JobId) -> Result<()> {
        self.execute(sqlx::query(include_str!("sql/clear_pictures.sql")).bind(job.to_string())).await?;
        self.execute(sqlx::query(include_str!("sql/clear_metrics.sql")).bind(job.to_string())).await?;
        self.execute(sqlx::query(include_str!("sql/clear_latest_metrics.sql")).bind(job.to_string())).await?;
        Ok(())
    }

    async fn add_logs(&mut self, job: JobId, lines: &[NewLogLine], limit: u32) -> Result<()> {
        let new = rows(lines.iter().map(|line| {
            json!([line.part, line.attempt, line.sequence, line.at, line.level.name(), line.message])
        }));
        let query = sqlx::query(include_str!("sql/add_logs.sql")).bind(job.to_string()).bind(new);
        self.execute(query).await?;
        let query = sqlx::query(include_str!("sql/trim_logs.sql")).bind(job.to_string()).bind(limit);
        self.execute(query).await?;
        Ok(())
    }

    async fn insert_worker(&mut self, worker: &Worker) -> Result<()> {
        let kinds: Vec<&str> = worker.kinds.iter().map(|kind| kind_name(*kind)).collect();
        let query = sqlx::query(include_str!("sql/insert_worker.sql"))
            .bind(worker.id.to_string())
            .bind(&worker.name)
            .bind(to_text(&kinds))
            .bind(profile_text(&worker.profile))
            .bind(&worker.address)
            .bind(integer(worker.registered_at))
            .bind(integer(worker.seen_at));
        self.execute(query).await?;
        Ok(())
    }

    async fn touch_worker(&mut self, worker: WorkerId, now: Millis) -> Result<()> {
        let query =
            sqlx::query(include_str!("sql/touch_worker.sql")).bind(worker.to_string()).bind(integer(now));
        self.execute(query).await?;
        Ok(())
    }

    async fn put_artifact(&mut self, artifact: &Artifact) -> Result<()> {
        let inputs: Vec<String> = artifact.inputs.iter().map(ToString::to_string).collect();
        let query = sqlx::query(include_str!("sql/put_artifact.sql"))
            .bind(artifact.digest.to_string())
            .bind(&artifact.kind)
            .bind(&artifact.key)
            .bind(&artifact.manifest)
            .bind(to_text(&inputs))
            .bind(artifact.job.map(|id| id.to_string()))
            .bind(integer(artifact.created_at));
        self.execute(query).await?;
        Ok(())
    }

    async fn set_tag(&mut self, tag: &Tag) -> Result<()> {
        let query = sqlx::query(include_str!("sql/set_tag.sql"))
            .bind(&tag.tag)
            .bind(tag.digest.to_string())
            .bind(integer(tag.at));
        self.execute(query).await?;
        Ok(())
    }

    async fn delete_tag(&mut self, tag: &str) -> Result<bool> {
        Ok(self.execute(sqlx::query(include_str!("sql/delete_tag.sql")).bind(tag)).await? > 0)
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        self.execute(sqlx::query("COMMIT")).await?;
        Ok(())
    }
}
