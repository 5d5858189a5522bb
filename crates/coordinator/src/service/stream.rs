//! The streams: jobs as they change, and logs as they come. Both wait for changes and never poll.
//!
//! A cursor of the watch is a revision: everything up to it was delivered. The messages of one round carry
//! the cursor of the round before, except for the last, so a client that breaks off in the middle of a
//! round gets that round again rather than missing a part of it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use counterstain_api::error::ApiError;
use counterstain_api::proto::job::v1::{Metric, StreamLogsResponse, WatchJobsResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::convert;
use super::job::bad_cursor;
use crate::limits;
use crate::machine::JobId;
use crate::scheduler::Scheduler;
use crate::storage::{JobView, Revision};

/// Changes that come within this time are told in one round.
const ROUND: Duration = Duration::from_millis(100);

/// The client has gone, or the coordinator stops.
struct Gone;

pub(super) fn parse_cursor(text: &str) -> Result<Option<u64>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| bad_cursor(text))
}

/// The jobs as they change, until all have ended.
pub(super) fn watch(
    scheduler: Scheduler,
    jobs: Vec<JobId>,
    cursor: Option<Revision>,
) -> ReceiverStream<Result<WatchJobsResponse, Status>> {
    let (sender, receiver) = mpsc::channel(limits::STREAM_BUFFER);
    tokio::spawn(async move {
        if let Err(error) = watch_into(&scheduler, &jobs, cursor, &sender).await {
            let _ = sender.send(Err(error.into())).await; // the client may have gone
        }
    });
    ReceiverStream::new(receiver)
}

async fn watch_into(
    scheduler: &Scheduler,
    jobs: &[JobId],
    cursor: Option<Revision>,
    sender: &mpsc::Sender<Result<WatchJobsResponse, Status>>,
) -> Result<(), ApiError> {
    let storage = scheduler.storage();
    let mut changes = scheduler.changes();
    let mut since = cursor.unwrap_or_default();
    // What a client without a cursor missed is in ListMetrics; it is told only what comes from now on.
    let mut metrics_since = cursor;
    let mut ended: HashMap<JobId, bool> = HashMap::new();
    if cursor.is_some() {
        ended.extend(storage.jobs(jobs).await?.iter().map(|view| (view.stored.id, has_ended(view, since))));
    }
    loop {
        changes.borrow_and_update();
        let until = storage.revision().await?;
        let changed: Vec<JobId> =
            storage.changed_jobs(jobs, since).await?.into_iter().map(|(job, _)| job).collect();
        let mut messages = Vec::new();
        for view in storage.jobs(&changed).await? {
            ended.insert(view.stored.id, has_ended(&view, until));
            let new = match metrics_since {
                Some(after) => storage.metrics(view.stored.id, &[], after, until).await?,
                None => Vec::new(),
            };
            messages.extend(about(&view, new));
        }
        let last = messages.len().saturating_sub(1);
        for (index, message) in messages.into_iter().enumerate() {
            let cursor = if index == last { until } else { since }.to_string();
            if send(scheduler, sender, WatchJobsResponse { cursor, ..message }).await.is_err() {
                return Ok(());
            }
        }
        since = until;
        metrics_since = Some(until);
        if jobs.iter().all(|job| ended.get(job).copied().unwrap_or(false)) {
            return Ok(());
        }
        if wait(scheduler, sender, &mut changes).await.is_err() {
            return Ok(());
        }
    }
}

/// The job has ended and nothing about it is newer than what was told.
fn has_ended(view: &JobView, until: Revision) -> bool {
    view.stored.job.state.has_ended() && view.stored.revision <= until
}

/// Messages about a job: one, or more when there are very many metrics.
fn about(view: &JobView, metrics: Vec<Metric>) -> Vec<WatchJobsResponse> {
    let job = convert::job_in_list(view);
    let mut chunks: Vec<Vec<Metric>> =
        metrics.chunks(limits::METRICS_PER_MESSAGE).map(<[Metric]>::to_vec).collect();
    if chunks.is_empty() {
        chunks.push(Vec::new());
    }
    let message = |metrics| WatchJobsResponse { cursor: String::new(), job: Some(job.clone()), metrics };
    chunks.into_iter().map(message).collect()
}

/// The log lines after a cursor, to the present or until the job has ended.
pub(super) fn logs(
    scheduler: Scheduler,
    job: JobId,
    cursor: u64,
    follow: bool,
) -> ReceiverStream<Result<StreamLogsResponse, Status>> {
    let (sender, receiver) = mpsc::channel(limits::STREAM_BUFFER);
    tokio::spawn(async move {
        if let Err(error) = logs_into(&scheduler, job, cursor, follow, &sender).await {
            let _ = sender.send(Err(error.into())).await; // the client may have gone
        }
    });
    ReceiverStream::new(receiver)
}

async fn logs_into(
    scheduler: &Scheduler,
    job: JobId,
    mut cursor: u64,
    follow: bool,
    sender: &mpsc::Sender<Result<StreamLogsResponse, Status>>,
) -> Result<(), ApiError> {
    let storage = scheduler.storage();
    let mut changes = scheduler.changes();
    loop {
        changes.borrow_and_update();
        // Asked before the lines are read, so that no line before the end is missed.
        let goes_on = follow
            && storage.jobs(&[job]).await?.first().is_some_and(|view| !view.stored.job.state.has_ended());
        loop {
            let page = storage.logs(job, cursor, limits::LOG_PAGE).await?;
            let Some(newest) = page.last() else { break };
            cursor = newest.cursor;
            for record in page {
                if send(scheduler, sender, convert::log(record)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if !goes_on || wait(scheduler, sender, &mut changes).await.is_err() {
            return Ok(());
        }
    }
}

async fn send<T>(
    scheduler: &Scheduler,
    sender: &mpsc::Sender<Result<T, Status>>,
    message: T,
) -> Result<(), Gone> {
    tokio::select! {
        sent = sender.send(Ok(message)) => sent.map_err(|_| Gone),
        () = scheduler.stop().cancelled() => Err(Gone),
    }
}

/// Waits for a change, and then for those that come with it.
async fn wait<T>(
    scheduler: &Scheduler,
    sender: &mpsc::Sender<Result<T, Status>>,
    changes: &mut tokio::sync::watch::Receiver<u64>,
) -> Result<(), Gone> {
    tokio::select! {
        _ = changes.changed() => {}
        () = sender.closed() => return Err(Gone),
        () = scheduler.stop().cancelled() => return Err(Gone),
    }
    tokio::time::sleep(ROUND).await;
    Ok(())
}

/// At most about `limit` metrics: of more, every n-th value of each name and its last.
pub(super) fn thin(metrics: Vec<Metric>, limit: usize) -> Vec<Metric> {
    let every = metrics.len().div_ceil(limit.max(1)).max(1);
    if every == 1 {
        return metrics;
    }
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for metric in &metrics {
        *left.entry(metric.name.clone()).or_default() += 1;
    }
    metrics
        .into_iter()
        .filter(|metric| {
            let Some(left) = left.get_mut(&metric.name) else { return true };
            *left -= 1;
            // Counted from the end, so that the last one stays.
            *left % every == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_last_value_of_each_name() {
        let metric = |name: &str, step| Metric { step, name: name.to_owned(), value: 0.0 };
        let metrics: Vec<Metric> =
            (0..1000).flat_map(|step| [metric("a", step), metric("b", step)]).collect();
        let kept = thin(metrics.clone(), 100);
        assert!((90..=110).contains(&kept.len()), "{}", kept.len());
        for name in ["a", "b"] {
            assert_eq!(kept.iter().rfind(|metric| metric.name == name).unwrap().step, 999);
        }
        assert_eq!(thin(metrics.clone(), 5000), metrics);
    }
}
