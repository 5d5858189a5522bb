//! Commands about jobs and workers.

use anyhow::Result;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::job::v1::{
    CancelJobRequest, ExplainJobRequest, GetJobRequest, GetPipelineRequest, Job, JobKind, JobState,
    ListJobsRequest, ListWorkersRequest, LogLine, RetryJobRequest, StreamLogsRequest,
};
use counterstain_api::spec;
use serde_json::json;

use super::answer;
use super::run_progress::describe_progress;
use crate::client::{Client, is_transient};
use crate::failure::{fail, refused};
use crate::follow::{Target, follow, jobs_of};
use crate::json::{self as to_json, has_ended, state_from_name, state_name};
use crate::options::{CancelOptions, Common, JobOptions, JobsOptions, LogsOptions, RetryOptions};
use crate::output::{duration, print_json, say, seconds_between, short, table, time, write_out};

/// Lists jobs, newest first.
pub async fn list(common: &Common, options: JobsOptions) -> Result<()> {
    let states = options.state.iter().map(|name| named_state(name)).collect::<Result<Vec<_>>>()?;
    let kinds = options.kind.iter().map(|name| named_kind(name)).collect::<Result<Vec<_>>>()?;
    let mut client = Client::connect(common).await?;
    let mut jobs: Vec<Job> = Vec::new();
    let mut page_token = String::new();
    while jobs.len() < options.limit {
        let page = answer(
            client
                .jobs
                .list_jobs(ListJobsRequest {
                    states: states.iter().map(|&state| state.into()).collect(),
                    kinds: kinds.iter().map(|&kind| kind.into()).collect(),
                    pipeline_id: options.pipeline.clone(),
                    page_size: (options.limit - jobs.len()).min(1000) as u32,
                    page_token,
                })
                .await,
        )?;
        jobs.extend(page.jobs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if common.json {
        print_json(&json!({ "jobs": jobs.iter().map(to_json::job).collect::<Vec<_>>() }));
        return Ok(());
    }
    if jobs.is_empty() {
        say!("no jobs");
        return Ok(());
    }
    write_out(&job_table(&jobs));
    Ok(())
}

/// The table of jobs that `jobs` and `submit` print.
pub fn job_table(jobs: &[Job]) -> String {
    let rows: Vec<Vec<String>> = jobs
        .iter()
        .map(|job| {
            let took = seconds_between(job.started_at, job.ended_at).map(duration).unwrap_or_default();
            let last = match job.state() {
                JobState::Running => describe_progress(job),
                JobState::Failed | JobState::Blocked => job
                    .failure
                    .as_ref()
                    .map(|failure| failure.message.lines().next().unwrap_or_default().to_owned())
                    .unwrap_or_default(),
                _ if job.reused => format!("{} (reused)", short(&job.output)),
                _ => short(&job.output).to_owned(),
            };
            vec![
                job.id.clone(),
                job.pipeline_name.clone(),
                job.name.clone(),
                spec::kind_name(job.kind()).to_owned(),
                state_name(job.state()),
                took,
                last,
            ]
        })
        .collect();
    table(&["ID", "PIPELINE", "JOB", "KIND", "STATE", "TOOK", "OUTPUT OR PROGRESS"], &rows)
}

fn named_state(name: &str) -> Result<JobState> {
    state_from_name(name).ok_or_else(|| {
        let states = "waiting, queued, running, succeeded, failed, cancelled, blocked";
        fail(ErrorCode::InvalidArgument, format!("{name:?} is no state of a job; expected one of {states}"))
    })
}

fn named_kind(name: &str) -> Result<JobKind> {
    spec::kind_from_name(name).ok_or_else(|| {
        let kinds: Vec<&str> = spec::kinds().map(|(_, name)| name).collect();
        fail(
            ErrorCode::InvalidArgument,
            format!("{name:?} is no kind of job; expected one of {}", kinds.join(", ")),
        )
    })
}

async fn get(client: &Client, id: &str) -> Result<Job> {
    let answer = answer(client.jobs.clone().get_job(GetJobRequest { id: id.to_owned() }).await)?;
    answer.job.ok_or_else(|| fail(ErrorCode::NotFound, format!("there is no job {id}")))
}

/// Shows a job.
pub async fn show(common: &Common, options: JobOptions) -> Result<()> {
    let client = Client::connect(common).await?;
    let job = get(&client, &options.id).await?;
    if common.json {
        print_json(&to_json::job(&job));
    } else {
        write_out(&describe(&job));
    }
    Ok(())
}

fn describe(job: &Job) -> String {
    let mut rows: Vec<(&str, String)> = vec![
        ("job", job.id.clone()),
        ("name", job.name.clone()),
        ("pipeline", format!("{} ({})", job.pipeline_name, job.pipeline_id)),
        ("kind", spec::kind_name(job.kind()).to_owned()),
        ("state", state_name(job.state())),
    ];
    if let Some(failure) = &job.failure {
        rows.push(("failure", format!("{}: {}", failure.code, failure.message)));
    }
    if job.progress.is_some() && !has_ended(job.state()) {
        rows.push(("progress", describe_progress(job)));
    }
    if !job.after.is_empty() {
        rows.push(("after", job.after.join(", ")));
    }
    if !job.output.is_empty() {
        rows.push((
            "output",
            if job.reused { format!("{} (reused)", job.output) } else { job.output.clone() },
        ));
    }
    rows.push(("attempts failed", job.failed_attempts.to_string()));
    rows.push(("leases lost", job.lost_leases.to_string()));
    rows.push(("created", time(job.created_at.as_ref())));
    rows.push(("started", time(job.started_at.as_ref())));
    rows.push(("ended", time(job.ended_at.as_ref())));
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<16}{value}\n")).collect();
    let mut metrics: Vec<_> = job.metrics.iter().collect();
    metrics.sort_by(|first, second| first.0.cmp(second.0));
    for (name, value) in metrics {
        text.push_str(&format!("{:<16}{name} = {value:.6}\n", "metric"));
    }
    if let Some(spec) = &job.spec {
        text.push_str(&format!("spec\n{:#}\n", spec::to_json(spec)));
    }
    text
}

/// Follows a job or a pipeline until it has ended.
pub async fn watch(common: &Common, options: JobOptions) -> Result<()> {
    let client = Client::connect(common).await?;
    let target = find_target(&client, &options.id).await?;
    let json = common.json;
    follow(&client, &target, |update| {
        let Some(job) = &update.job else { return };
        if json {
            let metrics: Vec<_> = update
                .metrics
                .iter()
                .map(|metric| json!({ "step": metric.step, "name": metric.name, "value": metric.value }))
                .collect();
            say!("{}", json!({ "cursor": update.cursor, "job": to_json::job(job), "metrics": metrics }));
        } else {
            say!("{}  {}  {}", job.name, state_name(job.state()), describe_progress(job));
        }
    })
    .await?;
    first_failure(&jobs_of(&client, &target).await?)
}

/// A job by id or prefix, else a pipeline by id.
async fn find_target(client: &Client, id: &str) -> Result<Target> {
    match client.jobs.clone().get_job(GetJobRequest { id: id.to_owned() }).await {
        Ok(response) => Ok(Target::Job(response.into_inner().job.map(|job| job.id).unwrap_or_default())),
        Err(status) => {
            let request = GetPipelineRequest { id: id.to_owned() };
            match client.jobs.clone().get_pipeline(request).await {
                Ok(_) => Ok(Target::Pipeline(id.to_owned())),
                Err(_) => Err(refused(status)),
            }
        }
    }
}

/// An error for the first job that failed, if one did.
///
/// # Errors
/// That job's failure with its code, and how to see its log.
pub fn first_failure(jobs: &[Job]) -> Result<()> {
    let by_rank = |state: JobState| jobs.iter().find(|job| job.state() == state);
    let found = by_rank(JobState::Failed)
        .or_else(|| by_rank(JobState::Cancelled))
        .or_else(|| by_rank(JobState::Blocked));
    let Some(job) = found else { return Ok(()) };
    let (code, message) = match &job.failure {
        Some(failure) => {
            (ErrorCode::from_name(&failure.code).unwrap_or(ErrorCode::Internal), failure.message.clone())
        }
        None if job.state() == JobState::Cancelled => {
            (ErrorCode::Cancelled, "an operator cancelled it".to_owned())
        }
        None => (ErrorCode::Internal, "no reason is known".to_owned()),
    };
    let text =
        format!("job {} ({}) {}: {message}", job.name, spec::kind_name(job.kind()), state_name(job.state()));
    Err(ApiError::new(code, text).help(format!("see its log with `counterstain logs {}`", job.id)).into())
}

/// Prints the log of a job, and goes on with `--follow`.
pub async fn logs(common: &Common, options: LogsOptions) -> Result<()> {
    let client = Client::connect(common).await?;
    let job_id = get(&client, &options.id).await?.id;
    let mut cursor = String::new();
    loop {
        let request =
            StreamLogsRequest { job_id: job_id.clone(), follow: options.follow, cursor: cursor.clone() };
        let streamed = async {
            let mut stream = client.jobs.clone().stream_logs(request).await?.into_inner();
            while let Some(message) = stream.message().await? {
                cursor = message.cursor;
                if let Some(line) = message.line {
                    print_line(&line, common.json);
                }
            }
            Ok::<(), tonic::Status>(())
        };
        match streamed.await {
            Ok(()) if !options.follow || has_ended(get(&client, &job_id).await?.state()) => return Ok(()),
            Ok(()) => {}
            Err(status) if options.follow && is_transient(&status) => {}
            Err(status) => return Err(refused(status)),
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

fn print_line(line: &LogLine, json: bool) {
    if json {
        let at = crate::output::time_json(line.at.as_ref());
        say!(
            "{}",
            json!({ "at": at, "level": line.level, "part": line.part, "attempt": line.attempt, "message": line.message })
        );
    } else {
        let at = time(line.at.as_ref());
        say!("{at}  {:<5}  part {} attempt {}  {}", line.level, line.part, line.attempt, line.message);
    }
}

/// Cancels a job.
pub async fn cancel(common: &Common, options: CancelOptions) -> Result<()> {
    let mut client = Client::connect(common).await?;
    let request = CancelJobRequest { id: options.id, reason: options.reason };
    let job = answer(client.jobs.cancel_job(request).await)?.job;
    print_changed(common, job.as_ref());
    Ok(())
}

/// Starts a failed, cancelled or blocked job again.
pub async fn retry(common: &Common, options: RetryOptions) -> Result<()> {
    let mut client = Client::connect(common).await?;
    let request = RetryJobRequest { id: options.id, fresh: options.fresh };
    let job = answer(client.jobs.retry_job(request).await)?.job;
    print_changed(common, job.as_ref());
    Ok(())
}

fn print_changed(common: &Common, job: Option<&Job>) {
    let Some(job) = job else { return };
    if common.json {
        print_json(&to_json::job(job));
    } else {
        say!("{} ({}) is {}", job.name, job.id, state_name(job.state()));
    }
}

/// Says why a job is not running.
pub async fn explain(common: &Common, options: JobOptions) -> Result<()> {
    let mut client = Client::connect(common).await?;
    let explained = answer(client.jobs.explain_job(ExplainJobRequest { id: options.id }).await)?;
    let state = state_name(explained.state());
    if common.json {
        print_json(&json!({ "state": state, "reasons": explained.reasons }));
        return Ok(());
    }
    say!("{state}");
    for reason in &explained.reasons {
        say!("  {reason}");
    }
    Ok(())
}

/// Lists the workers.
pub async fn workers(common: &Common) -> Result<()> {
    let mut client = Client::connect(common).await?;
    let workers = answer(client.jobs.list_workers(ListWorkersRequest {}).await)?.workers;
    if common.json {
        print_json(&json!({ "workers": workers.iter().map(to_json::worker).collect::<Vec<_>>() }));
        return Ok(());
    }
    if workers.is_empty() {
        say!("no workers");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = workers
        .iter()
        .map(|worker| {
            let profile = worker.profile.clone().unwrap_or_default();
            let kinds: Vec<&str> = worker.kinds().map(spec::kind_name).collect();
            vec![
                worker.id.clone(),
                worker.name.clone(),
                kinds.join(", "),
                format!(
                    "{}, {} threads, libtorch {}",
                    profile.device_class, profile.threads, profile.libtorch
                ),
                time(worker.seen_at.as_ref()),
                if worker.job_id.is_empty() {
                    "idle".to_owned()
                } else {
                    format!("{} part {}", worker.job_id, worker.part)
                },
            ]
        })
        .collect();
    write_out(&table(&["ID", "NAME", "KINDS", "PROFILE", "SEEN", "WORK"], &rows));
    Ok(())
}
