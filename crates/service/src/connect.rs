//! Connections to the coordinator.

use std::time::Duration;

use counterstain_api::error::{ApiError, ErrorCode};
use tonic::transport::{Channel, Endpoint};

/// The coordinator's address when nothing else is said.
pub const DEFAULT_COORDINATOR: &str = "http://127.0.0.1:7070";

/// Largest gRPC message either way: specs, manifests and pages of jobs; never image data.
pub const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

/// A channel that connects on first use and again after every loss.
///
/// # Errors
/// `url` is not a URL such as `http://127.0.0.1:7070`.
pub fn lazy(url: &str) -> Result<Channel, ApiError> {
    Ok(endpoint(url)?.connect_lazy())
}

/// A channel that is connected.
///
/// # Errors
/// `url` is no URL, or nobody answers there.
pub async fn eager(url: &str) -> Result<Channel, ApiError> {
    endpoint(url)?.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
        ApiError::new(ErrorCode::Unavailable, format!("no coordinator answers at {url}{cause}")).help(
            "start one with `counterstain up`, or name it with --coordinator or COUNTERSTAIN_COORDINATOR",
        )
    })
}

fn endpoint(url: &str) -> Result<Endpoint, ApiError> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| {
        let message = format!("{url:?} is not the URL of a coordinator: {error}");
        ApiError::new(ErrorCode::InvalidArgument, message).help("write it as http://HOST:PORT")
    })?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true))
}
