//! `synthesize`: paints the images of a folder through the stream of a synthesis worker.
//!
//! Invariants: an image of the output folder is whole or not there, so that the same command continues after any
//! end; one image that cannot be painted stops no other, and is listed at the end.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::job::v1::{JobKind, ListWorkersRequest, Worker};
use counterstain_api::proto::synthesis::v1::SynthesizeTilesRequest;
use counterstain_api::proto::synthesis::v1::synthesis_service_client::SynthesisServiceClient;
use counterstain_api::proto::synthesis::v1::synthesize_tiles_response::Outcome;
use futures::StreamExt as _;
use serde_json::json;
use tonic::transport::Channel;

use super::artifacts::lineage;
use super::{answer, write_whole};
use crate::client::Client;
use crate::failure::{fail, refused};
use crate::import::Step;
use crate::import::key::stem;
use crate::import::walk::walk;
use crate::options::{Common, SynthesizeOptions};
use crate::output::{duration, print_json, say};
use crate::progress::StepProgress;

/// Largest file that is sent, as the worker's limit is.
const MAX_BYTES: u64 = 16 << 20;
/// Largest answer.
const MAX_ANSWER: usize = 128 << 20;

/// An image that could not be painted.
struct Fault {
    path: String,
    reason: String,
}

/// Paints the images of a folder.
pub async fn synthesize(common: &Common, options: SynthesizeOptions) -> Result<()> {
    let interrupted = counterstain_service::shutdown::token()?;
    let generator = generator(common, &options.generator).await?;
    let (images, painted_before) = images_to_paint(&options)?;
    let (address, channel) = connect(common, options.worker.as_deref()).await?;
    let mut client = SynthesisServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);

    let total = images.len() as u64;
    let progress = StepProgress::new("synthesize", &options.input.display().to_string(), common.json);
    let faults = Arc::new(Mutex::new(Vec::new()));
    let tiles = tiles(options.input.clone(), images, generator, Arc::clone(&faults))
        .take_until(interrupted.clone().cancelled_owned());
    let mut answers =
        client.synthesize_tiles(tiles).await.map_err(|status| lost(&address, status))?.into_inner();
    let mut painted = 0;
    while let Some(answer) = answers.message().await.map_err(|status| lost(&address, status))? {
        match answer.outcome {
            Some(Outcome::Image(bytes)) => {
                write_whole(&options.output.join(painted_name(&answer.key)), &bytes)?;
                painted += 1;
            }
            Some(Outcome::Fault(fault)) => add(&faults, answer.key, fault.message),
            None => add(&faults, answer.key, "the worker gave no answer: update it".to_owned()),
        }
        let bad = count(&faults);
        progress.show(Step { phase: "painted", done: painted + bad, total, unit: "images", bad });
    }
    progress.finish();
    if interrupted.is_cancelled() {
        let text =
            format!("interrupted; {painted} images were painted, and the same command paints the rest");
        return Err(fail(ErrorCode::Cancelled, text));
    }
    let faults = std::mem::take(&mut *faults.lock().unwrap_or_else(PoisonError::into_inner));
    let seconds = progress.elapsed().as_secs_f64();
    conclude(common, &options.output, painted, painted_before, seconds, faults)
}

/// The digest of the generator that is meant.
async fn generator(common: &Common, name: &str) -> Result<String> {
    let found = lineage(common, name).await?;
    let artifact =
        found.first().ok_or_else(|| fail(ErrorCode::NotFound, format!("there is no artifact {name}")))?;
    if artifact.kind != "generator" {
        let text = format!("--generator {name}: is a {}, not a generator", artifact.kind);
        return Err(fail(ErrorCode::InvalidArgument, text));
    }
    Ok(artifact.digest.clone())
}

/// The images without a painted one, and the number of those with one.
fn images_to_paint(options: &SynthesizeOptions) -> Result<(Vec<String>, u64)> {
    let found = walk(&options.input)?.images;
    if found.is_empty() {
        let text = format!("there is no PNG, JPEG or TIFF file below {}", options.input.display());
        return Err(fail(ErrorCode::InvalidArgument, text));
    }
    let mut by_stem: HashMap<&str, &str> = HashMap::with_capacity(found.len());
    for image in &found {
        if let Some(other) = by_stem.insert(stem(image), image) {
            let text = format!("{other} and {image} would be painted to the same file: rename one of them");
            return Err(fail(ErrorCode::InvalidArgument, text));
        }
    }
    let all = found.len();
    let left: Vec<String> =
        found.into_iter().filter(|image| !options.output.join(painted_name(image)).exists()).collect();
    let before = (all - left.len()) as u64;
    Ok((left, before))
}

/// Path of a painted image below the output folder.
fn painted_name(image: &str) -> String {
    format!("{}.png", stem(image))
}

/// Address of the given worker, or of one that the coordinator knows and that answers: an idle one where there is
/// one. Workers that died are listed for a while, so that it is the answer that counts.
async fn connect(common: &Common, given: Option<&str>) -> Result<(String, Channel)> {
    if let Some(address) = given {
        return Ok((address.to_owned(), counterstain_service::connect::lazy(&url(address))?));
    }
    let mut client = Client::connect(common).await?;
    let workers = answer(client.jobs.list_workers(ListWorkersRequest {}).await)?.workers;
    let mut painters: Vec<_> = workers
        .into_iter()
        .filter(|worker| {
            worker.kinds().any(|kind| kind == JobKind::GenerateLayer) && !worker.address.is_empty()
        })
        .collect();
    let seen = |worker: &Worker| worker.seen_at.map(|seen| (seen.seconds, seen.nanos));
    painters.sort_by_key(|worker| (!worker.job_id.is_empty(), Reverse(seen(worker))));
    for worker in painters {
        if let Ok(channel) = counterstain_service::connect::eager(&url(&worker.address)).await {
            return Ok((worker.address, channel));
        }
    }
    let text = format!("no synthesis worker of the coordinator at {} answers", client.url);
    Err(ApiError::new(ErrorCode::Unavailable, text)
        .help("start one, or name one with --worker ADDRESS:PORT")
        .into())
}

fn url(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

/// The files as a stream that reads each when it is asked for.
fn tiles(
    folder: PathBuf,
    images: Vec<String>,
    generator: String,
    faults: Arc<Mutex<Vec<Fault>>>,
) -> impl futures::Stream<Item = SynthesizeTilesRequest> + Send + 'static {
    futures::stream::iter(images).filter_map(move |key| {
        let (path, generator, faults) = (folder.join(&key), generator.clone(), Arc::clone(&faults));
        async move {
            match read(&path).await {
                Ok(image) => Some(SynthesizeTilesRequest { generator, key, image }),
                Err(reason) => {
                    add(&faults, key, reason);
                    None
                }
            }
        }
    })
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let size = tokio::fs::metadata(path).await.map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(format!("the file has {size} bytes, more than the limit of {MAX_BYTES}"));
    }
    tokio::fs::read(path).await.map_err(unreadable)
}

fn add(faults: &Mutex<Vec<Fault>>, path: String, reason: String) {
    faults.lock().unwrap_or_else(PoisonError::into_inner).push(Fault { path, reason });
}

fn count(faults: &Mutex<Vec<Fault>>) -> u64 {
    faults.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
}

/// The end of a stream that was cut off.
fn lost(address: &str, status: tonic::Status) -> anyhow::Error {
    if status.code() != tonic::Code::Unavailable {
        return refused(status);
    }
    ApiError::new(
        ErrorCode::Unavailable,
        format!("the worker at {address} does not answer: {}", status.message()),
    )
    .help("what was painted is kept; the same command paints the rest")
    .into()
}

fn conclude(
    common: &Common,
    output: &Path,
    painted: u64,
    before: u64,
    seconds: f64,
    mut faults: Vec<Fault>,
) -> Result<()> {
    faults.sort_by(|first, second| first.path.cmp(&second.path));
    if common.json {
        let listed: Vec<_> =
            faults.iter().map(|fault| json!({ "path": fault.path, "reason": fault.reason })).collect();
        print_json(
            &json!({ "output": output, "painted": painted, "painted_before": before, "faults": listed,
                            "seconds": seconds }),
        );
    } else {
        let rate = painted as f64 / seconds.max(1e-3);
        say!("{}: {painted} images in {}, {rate:.1}/s", output.display(), duration(seconds));
        if before > 0 {
            say!("{before} were there already");
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let list: String = faults.iter().map(|fault| format!("\n  {}: {}", fault.path, fault.reason)).collect();
    Err(fail(ErrorCode::InvalidArgument, format!("{} images could not be painted{list}", faults.len())))
}
