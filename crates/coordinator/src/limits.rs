//! Limits on what callers send and what is kept.

use crate::storage::PictureLimits;

/// Jobs of one pipeline.
pub const JOBS_PER_PIPELINE: usize = 500;
/// Parts of one job.
pub const PARTS_PER_JOB: usize = 10_000;
/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY: usize = 128;
/// Rows of a page when the caller does not say.
pub const DEFAULT_PAGE: u32 = 100;
/// Rows of a page at most.
pub const LARGEST_PAGE: u32 = 1_000;
/// Shortest prefix of a job id.
pub const JOB_PREFIX: usize = 4;
/// Shortest prefix of a digest, in hex digits.
pub const DIGEST_PREFIX: usize = 6;
/// Characters of names, addresses, phases, units and other labels.
pub const LABEL: usize = 200;
/// Characters of the name of a metric.
pub const METRIC_NAME: usize = 100;
/// Names of metrics that are kept for one job.
pub const METRIC_NAMES_PER_JOB: u32 = 256;
/// Metrics, and log lines, of one heartbeat.
pub const PER_HEARTBEAT: usize = 20_000;
/// Pictures of one heartbeat.
pub const PICTURES_PER_HEARTBEAT: usize = 8;
/// Bytes of a picture.
pub const PICTURE: usize = 384 << 10;
/// Panels of a picture.
pub const PANELS: usize = 16;
/// Pictures that are kept.
pub const PICTURES: PictureLimits = PictureLimits { per_name: 8, names: 4, jobs: 100 };
/// Bytes of a log line or failure message; the rest is cut off.
pub const MESSAGE: usize = 8 * 1024;
/// Log lines that are kept for one job: the latest.
pub const LOG_LINES_PER_JOB: u32 = 20_000;
/// Metrics in one message of a stream.
pub const METRICS_PER_MESSAGE: usize = 5_000;
/// Log lines that are read at a time.
pub const LOG_PAGE: u32 = 500;

/// `text` without what is beyond [`MESSAGE`].
pub fn clip(text: &str) -> String {
    if text.len() <= MESSAGE {
        return text.to_owned();
    }
    let end = (0..=MESSAGE).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0);
    format!("{}… ({} bytes cut off)", &text[..end], text.len() - end)
}
/// Parts of a job that pipelines, lists and streams show; of jobs with more they show none, only the progress.
pub const PARTS_IN_LISTS: usize = 32;
/// Metrics in one answer: of more, every n-th step is given.
pub const METRICS_PER_ANSWER: usize = 100_000;
/// Longest time that a worker waits for a part in one call.
pub const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(30);
/// Workers are listed for this long after they were last heard of, in milliseconds.
pub const WORKERS_SEEN_WITHIN: u64 = 24 * 60 * 60 * 1_000;
/// Messages of a stream that wait for a slow client.
pub const STREAM_BUFFER: usize = 16;
