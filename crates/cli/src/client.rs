//! Calls to the coordinator.
//!
//! Invariant: a coordinator that cannot be reached is said so with its address and what to do; calls that
//! may safely be repeated survive its restart.

use std::time::Duration;

use anyhow::Result;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::artifact::v1::artifact_service_client::ArtifactServiceClient;
use counterstain_api::proto::job::v1::ListWorkersRequest;
use counterstain_api::proto::job::v1::job_service_client::JobServiceClient;
use counterstain_service::connect;
use tonic::transport::Channel;

use crate::options::Common;
use crate::system::lock;

/// Clients of a coordinator's services over one connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// Address.
    pub url: String,
    /// Jobs.
    pub jobs: JobServiceClient<Channel>,
    /// Artifacts.
    pub artifacts: ArtifactServiceClient<Channel>,
}

impl Client {
    /// A client that connects on its first call and again after a loss.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn lazy(url: &str) -> Result<Self> {
        let channel = connect::lazy(url)?;
        Ok(Self {
            url: url.to_owned(),
            jobs: JobServiceClient::new(channel.clone()).max_decoding_message_size(connect::MESSAGE_LIMIT),
            artifacts: ArtifactServiceClient::new(channel).max_decoding_message_size(connect::MESSAGE_LIMIT),
        })
    }

    /// A client whose coordinator has just answered.
    ///
    /// # Errors
    /// When none answers.
    pub async fn connect(common: &Common) -> Result<Self> {
        let client = Self::lazy(&coordinator_url(common))?;
        client.check().await.map_err(|status| unreachable_error(&client.url, &status))?;
        Ok(client)
    }

    /// Whether the coordinator answers.
    ///
    /// # Errors
    /// Its refusal, or that it does not.
    pub async fn check(&self) -> Result<(), tonic::Status> {
        let call = self.jobs.clone();
        let answer = tokio::time::timeout(Duration::from_secs(5), async move {
            let mut call = call;
            call.list_workers(ListWorkersRequest {}).await
        });
        answer.await.map_err(|_| tonic::Status::unavailable("no answer within 5 seconds"))?.map(|_| ())
    }
}

/// The coordinator that is meant: the given one, the one on the data folder, or the default.
pub fn coordinator_url(common: &Common) -> String {
    common
        .coordinator
        .clone()
        .or_else(|| lock::running_system(&common.data).map(|system| system.coordinator))
        .unwrap_or_else(|| connect::DEFAULT_COORDINATOR.to_owned())
}

fn unreachable_error(url: &str, status: &tonic::Status) -> anyhow::Error {
    let cause = std::error::Error::source(status).map_or_else(|| status.message().to_owned(), root_cause);
    ApiError::new(ErrorCode::Unavailable, format!("no coordinator answers at {url}: {cause}"))
        .help("start one with `counterstain up`, or name another with --coordinator URL")
        .into()
}

/// The innermost cause, which names what failed instead of `transport error`.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Whether a failed call may succeed when the coordinator is back.
pub fn is_transient(status: &tonic::Status) -> bool {
    matches!(status.code(), tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::DeadlineExceeded)
        || std::error::Error::source(status).is_some()
}

/// Repeats a call while the coordinator cannot be reached, for up to two minutes.
///
/// # Errors
/// The first refusal, or the last failure.
pub async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, tonic::Status>
where
    F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    let mut pause = Duration::from_millis(200);
    loop {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if is_transient(&status) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            Err(status) => return Err(status),
        }
    }
}
