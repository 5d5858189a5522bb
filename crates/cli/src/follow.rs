//! Follows jobs until they have ended, across restarts of the coordinator.

use std::time::Duration;

use anyhow::Result;
use counterstain_api::proto::job::v1::{
    GetJobRequest, GetPipelineRequest, Job, WatchJobsRequest, WatchJobsResponse,
};
use tokio::time::Instant;

use crate::client::{Client, is_transient, patiently};
use crate::failure::refused;
use crate::json::has_ended;

/// How long a coordinator may be away before following it is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to follow.
#[derive(Clone, Debug)]
pub enum Target {
    /// All jobs of a pipeline (id).
    Pipeline(String),
    /// One job (id).
    Job(String),
}

/// Calls `on_update` for every change until all jobs have ended.
///
/// # Errors
/// The coordinator's refusal, or that it was away for two minutes.
pub async fn follow(
    client: &Client,
    target: &Target,
    mut on_update: impl FnMut(&WatchJobsResponse),
) -> Result<()> {
    let mut cursor = String::new();
    let mut away_since: Option<Instant> = None;
    loop {
        match follow_once(client, target, &mut cursor, &mut away_since, &mut on_update).await {
            // A stream also ends when the coordinator shuts down: only the jobs themselves tell.
            Ok(()) if all_ended(client, target).await? => return Ok(()),
            Ok(()) => {}
            Err(status) => {
                let since = *away_since.get_or_insert_with(Instant::now);
                if !is_transient(&status) || since.elapsed() > PATIENCE {
                    return Err(refused(status));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn follow_once(
    client: &Client,
    target: &Target,
    cursor: &mut String,
    away_since: &mut Option<Instant>,
    on_update: &mut impl FnMut(&WatchJobsResponse),
) -> Result<(), tonic::Status> {
    let (pipeline_id, job_id) = match target {
        Target::Pipeline(id) => (id.clone(), String::new()),
        Target::Job(id) => (String::new(), id.clone()),
    };
    let request = WatchJobsRequest { pipeline_id, job_id, cursor: cursor.clone() };
    let mut stream = client.jobs.clone().watch_jobs(request).await?.into_inner();
    while let Some(update) = stream.message().await? {
        *away_since = None;
        on_update(&update);
        *cursor = update.cursor;
    }
    Ok(())
}

async fn all_ended(client: &Client, target: &Target) -> Result<bool> {
    Ok(jobs_of(client, target).await?.iter().all(|job| has_ended(job.state())))
}

/// The followed jobs as they stand.
///
/// # Errors
/// The coordinator's refusal, or that it was away for two minutes.
pub async fn jobs_of(client: &Client, target: &Target) -> Result<Vec<Job>> {
    match target {
        Target::Pipeline(id) => {
            let answer = patiently(|| {
                let mut jobs = client.jobs.clone();
                let request = GetPipelineRequest { id: id.clone() };
                async move { jobs.get_pipeline(request).await }
            });
            Ok(answer.await.map_err(refused)?.pipeline.map(|pipeline| pipeline.jobs).unwrap_or_default())
        }
        Target::Job(id) => {
            let answer = patiently(|| {
                let mut jobs = client.jobs.clone();
                let request = GetJobRequest { id: id.clone() };
                async move { jobs.get_job(request).await }
            });
            Ok(answer.await.map_err(refused)?.job.into_iter().collect())
        }
    }
}
