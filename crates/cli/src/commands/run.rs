//! `run`: a pipeline file from its imports to its report.
//!
//! Invariant: what was done stays done. Ctrl-C or a crash loses nothing that was acknowledged, and the same
//! command goes on from there, since its idempotency key depends on the jobs and their data alone.

use std::path::PathBuf;

use anyhow::Result;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::job::v1::{Job, JobState, Pipeline, RetryJobRequest};
use counterstain_artifact::Store;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::jobs::first_failure;
use super::pipeline::prepare;
use super::run_progress::RunProgress;
use super::{answer, open_store, results, store_location};
use crate::client::Client;
use crate::failure::fail;
use crate::follow::{Target, follow, jobs_of};
use crate::options::{Common, RunOptions};
use crate::output::duration;
use crate::system::child::tail;
use crate::system::{Ended, LocalOptions, LocalSystem, lock};

/// A local program that ends this often in a row will not get better by starting it again.
const HOPELESS: u32 = 5;

/// Runs a pipeline.
pub async fn run(common: &Common, options: RunOptions) -> Result<()> {
    let mut prepared = prepare(&options.choice)?;
    let interrupted = counterstain_service::shutdown::token()?;
    let (ended, mut ends) = unbounded_channel();

    let store = open_store(common)?;
    let system = start_if_needed(common, &options, ended).await?;
    let client = match &system {
        Some(system) => Client::lazy(&system.running.coordinator)?,
        None => Client::connect(common).await?,
    };
    let imported = prepared.do_imports(common, &store, &interrupted).await;
    // An import that is interrupted ends by itself, and cleans up; only what follows is cut off.
    let work = async {
        let (pipeline, existed) = prepared.submit(&client).await?;
        if existed {
            eprintln!("pipeline {} is known; going on where it was", pipeline.id);
            retry_ended(&client, &pipeline).await?;
        } else {
            eprintln!("pipeline {} submitted to {}", pipeline.id, client.url);
        }
        finish(common, &options, &client, &store, pipeline, &mut ends).await
    };
    let outcome = match imported {
        Err(error) => Err(error),
        Ok(()) => tokio::select! {
            outcome = work => outcome,
            error = interruption(&interrupted, system.is_some()) => Err(error),
        },
    };
    if let Some(system) = system {
        system.stop();
    }
    outcome
}

/// Starts a local system, unless one is given or is up on the data folder.
async fn start_if_needed(
    common: &Common,
    options: &RunOptions,
    ended: UnboundedSender<Ended>,
) -> Result<Option<LocalSystem>> {
    if common.coordinator.is_some() {
        return Ok(None);
    }
    if let Some(running) = lock::running_system(&common.data) {
        eprintln!("using the system that is up on {}: {}", common.data.display(), running.coordinator);
        return Ok(None);
    }
    let local = LocalOptions {
        data: common.data.clone(),
        store: store_location(common)?,
        listen: options.listen,
        workers: options.workers.clone(),
    };
    // When nobody listens any more the run is over, and so is the interest in what ended.
    let system = LocalSystem::start(&local, move |what| drop(ended.send(what))).await?;
    eprintln!("started a local system at {}", system.running.coordinator);
    Ok(Some(system))
}

/// Ends with an error once Ctrl-C or SIGTERM came.
async fn interruption(interrupted: &CancellationToken, stops_the_system: bool) -> anyhow::Error {
    interrupted.cancelled().await;
    eprintln!("stopping");
    if !stops_the_system {
        return ApiError::new(ErrorCode::Cancelled, "interrupted; the jobs go on without this command")
            .help("the same command follows them again; `counterstain cancel JOB` ends one")
            .into();
    }
    ApiError::new(ErrorCode::Cancelled, "interrupted; the same command goes on from the last checkpoints")
        .into()
}

/// The same command again means: try what failed once more.
async fn retry_ended(client: &Client, pipeline: &Pipeline) -> Result<()> {
    let is_to_retry = |job: &&Job| matches!(job.state(), JobState::Failed | JobState::Cancelled);
    for job in pipeline.jobs.iter().filter(is_to_retry) {
        eprintln!("retrying {} from its last checkpoint", job.name);
        answer(client.jobs.clone().retry_job(RetryJobRequest { id: job.id.clone(), fresh: false }).await)?;
    }
    // Those that still wait for a decision of an operator: this command is one.
    for job in jobs_of(client, &Target::Pipeline(pipeline.id.clone())).await? {
        if job.state() == JobState::Blocked {
            answer(client.jobs.clone().retry_job(RetryJobRequest { id: job.id, fresh: false }).await)?;
        }
    }
    Ok(())
}

/// Follows the jobs, then writes and prints the results.
async fn finish(
    common: &Common,
    options: &RunOptions,
    client: &Client,
    store: &Store,
    pipeline: Pipeline,
    ends: &mut UnboundedReceiver<Ended>,
) -> Result<()> {
    let target = Target::Pipeline(pipeline.id.clone());
    let jobs = jobs_of(client, &target).await?;
    let progress = std::sync::Mutex::new(RunProgress::new(&jobs));
    let show = |job: &Job| progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).show(job);
    let note = |text: &str| progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).note(text);
    let outcome = tokio::select! {
        outcome = follow(client, &target, |update| update.job.iter().for_each(show)) => outcome,
        error = hopeless(ends, note) => Err(error),
    };
    progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).finish();
    outcome?;
    let jobs = jobs_of(client, &target).await?;
    first_failure(&jobs)?;
    let out = options.out.clone().unwrap_or_else(|| default_out(&pipeline.name));
    let data = results::gather(client, store, &pipeline.name, &jobs).await?;
    results::write(&data, &out)?;
    results::print(&data, &out, common.json);
    Ok(())
}

/// Where results go unless said otherwise.
pub fn default_out(pipeline: &str) -> PathBuf {
    PathBuf::from("counterstain-results").join(pipeline)
}

/// Tells of every local program that ended; ends with an error when one will not stay up.
async fn hopeless(ends: &mut UnboundedReceiver<Ended>, note: impl Fn(&str)) -> anyhow::Error {
    while let Some(ended) = ends.recv().await {
        let Ended { name, how, restart_in, in_a_row, log } = ended;
        if in_a_row >= HOPELESS {
            let end = tail(&log, 10);
            let text =
                format!("{name} {how} {in_a_row} times in a row; the end of {}:\n{end}", log.display());
            return fail(ErrorCode::Unavailable, text);
        }
        let pause = duration(restart_in.as_secs_f64());
        note(&format!("{name} {how}; starting it again in {pause} (see {})", log.display()));
    }
    std::future::pending().await
}
