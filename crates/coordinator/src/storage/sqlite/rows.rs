//! Assembles jobs from the rows of several tables, on any connection.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use counterstain_api::proto::common::v1::Progress;
use counterstain_api::proto::job::v1::JobSpec;
use prost::Message as _;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::convert::{
    failure, faulty, get, id_list, json, kind, parsed, parsed_opt, part, profile_opt, state, unsigned,
    unsigned_32, unsigned_opt,
};
use crate::machine::{Job, JobId, Part};
use crate::storage::{Artifact, Error, JobView, Result, StoredJob, Worker};

/// A failed query, before it is known in which database.
pub(super) enum Failed {
    Query(sqlx::Error),
    Row(Error),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Query(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Row(error)
    }
}

#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    progress: Vec<Option<Progress>>,
}

/// The jobs with these ids, in the order of the ids; unknown ones are left out. The caller holds a
/// transaction, so that the tables agree with each other.
pub(super) async fn load_jobs(
    connection: &mut SqliteConnection,
    ids: &[JobId],
    with_metrics: bool,
) -> std::result::Result<Vec<JobView>, Failed> {
    let list = id_list(ids);
    let mut parts: HashMap<Uuid, Parts> = HashMap::new();
    let query = sqlx::query(include_str!("sql/select_parts.sql")).bind(&list);
    for row in query.fetch_all(&mut *connection).await? {
        let of_job = parts.entry(parsed(&row, "job_id")?).or_default();
        of_job.parts.push(part(&row)?);
        of_job.progress.push(progress(&row)?);
    }
    let mut open: HashMap<Uuid, (BTreeSet<Uuid>, BTreeSet<Uuid>)> = HashMap::new();
    let query = sqlx::query(include_str!("sql/select_open_dependencies.sql")).bind(&list);
    for row in query.fetch_all(&mut *connection).await? {
        let (needs, blocked_by) = open.entry(parsed(&row, "job_id")?).or_default();
        let needed = parsed(&row, "needs_id")?;
        needs.insert(needed);
        if get::<String>(&row, "state")? == "blocking" {
            blocked_by.insert(needed);
        }
    }
    let mut metrics: HashMap<Uuid, BTreeMap<String, f64>> = HashMap::new();
    if with_metrics {
        let query = sqlx::query(include_str!("sql/select_latest_metrics.sql")).bind(&list);
        for row in query.fetch_all(&mut *connection).await? {
            let value: Option<f64> = get(&row, "value")?;
            let of_job = metrics.entry(parsed(&row, "job_id")?).or_default();
            of_job.insert(get(&row, "name")?, value.unwrap_or(f64::NAN));
        }
    }
    let mut views = HashMap::new();
    let query = sqlx::query(include_str!("sql/select_jobs.sql")).bind(&list);
    for row in query.fetch_all(&mut *connection).await? {
        let id = parsed(&row, "id")?;
        let Parts { parts, progress } = parts.remove(&id).unwrap_or_default();
        let (needs, blocked_by) = open.remove(&id).unwrap_or_default();
        let stored = stored_job(&row, id, parts, needs, blocked_by)?;
        views.insert(id, JobView { stored, progress, metrics: metrics.remove(&id).unwrap_or_default() });
    }
    Ok(ids.iter().filter_map(|id| views.remove(id)).collect())
}

fn stored_job(
    row: &SqliteRow,
    id: Uuid,
    parts: Vec<Part>,
    needs: BTreeSet<Uuid>,
    blocked_by: BTreeSet<Uuid>,
) -> Result<StoredJob> {
    let kind_name: String = get(row, "kind")?;
    let spec: Vec<u8> = get(row, "spec")?;
    Ok(StoredJob {
        id,
        pipeline: parsed(row, "pipeline_id")?,
        pipeline_name: get(row, "pipeline_name")?,
        name: get(row, "name")?,
        kind: kind(&kind_name)?,
        spec: JobSpec::decode(spec.as_slice()).map_err(|error| faulty("spec", error.to_string()))?,
        after: json(row, "after")?,
        created_at: unsigned(row, "created_at")?,
        revision: unsigned(row, "revision")?,
        job: Job {
            state: state(row)?,
            needs,
            blocked_by,
            parts,
            assembled: get(row, "assembled")?,
            fresh: get(row, "fresh")?,
            profile: profile_opt(row, "profile")?,
            output: parsed_opt(row, "output")?,
            reused: get(row, "reused")?,
            failure: failure(row)?,
            failed_attempts: unsigned_32(row, "failed_attempts")?,
            lost_leases: unsigned_32(row, "lost_leases")?,
            started_at: unsigned_opt(row, "started_at")?,
            ended_at: unsigned_opt(row, "ended_at")?,
        },
    })
}

fn progress(row: &SqliteRow) -> Result<Option<Progress>> {
    let bytes: Option<Vec<u8>> = get(row, "progress")?;
    bytes
        .map(|bytes| {
            Progress::decode(bytes.as_slice()).map_err(|error| faulty("progress", error.to_string()))
        })
        .transpose()
}

pub(super) fn artifact(row: &SqliteRow) -> Result<Artifact> {
    Ok(Artifact {
        digest: parsed(row, "digest")?,
        kind: get(row, "kind")?,
        key: get(row, "key")?,
        manifest: get(row, "manifest")?,
        inputs: json(row, "inputs")?,
        job: parsed_opt(row, "job_id")?,
        created_at: unsigned(row, "created_at")?,
        tags: json(row, "tags")?,
        cursor: unsigned(row, "id")?,
    })
}

pub(super) fn worker(row: &SqliteRow) -> Result<Worker> {
    let kinds: Vec<String> = json(row, "kinds")?;
    let holds = match parsed_opt(row, "held_job")? {
        Some(job) => Some((job, unsigned_32(row, "held_part")?)),
        None => None,
    };
    Ok(Worker {
        id: parsed(row, "id")?,
        name: get(row, "name")?,
        kinds: kinds.iter().map(|name| kind(name)).collect::<Result<_>>()?,
        profile: json(row, "profile")?,
        address: get(row, "address")?,
        registered_at: unsigned(row, "registered_at")?,
        seen_at: unsigned(row, "seen_at")?,
        holds,
    })
}
