//! The gRPC face: thin shells that parse requests once, ask the scheduler, and turn the answer into messages.
//! Every refusal is an `ApiError` with its code, its violations and what to do next.

mod artifact;
mod convert;
mod explain;
mod graph;
mod inputs;
mod job;
pub mod principal;
mod stream;
mod submission;
mod worker;

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::artifact::v1::artifact_service_server::ArtifactServiceServer;
use counterstain_api::proto::job::v1::job_service_server::JobServiceServer;
use counterstain_api::proto::job::v1::worker_service_server::WorkerServiceServer;
use counterstain_service::connect::MESSAGE_LIMIT;
use counterstain_service::reflection;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::InterceptorLayer;
use tonic::transport::Server;

use crate::scheduler::Scheduler;

/// Serves every contract of the coordinator, with health and reflection, until the scheduler stops.
///
/// # Errors
/// The connection to callers breaks down.
pub async fn serve(scheduler: Scheduler, listener: TcpListener) -> Result<(), ApiError> {
    let jobs = JobServiceServer::new(job::Jobs::new(scheduler.clone()))
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let workers = WorkerServiceServer::new(worker::Workers::new(scheduler.clone()))
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let artifacts = ArtifactServiceServer::new(artifact::Artifacts::new(scheduler.clone()))
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<JobServiceServer<job::Jobs>>().await;
    health.set_serving::<WorkerServiceServer<worker::Workers>>().await;
    health.set_serving::<ArtifactServiceServer<artifact::Artifacts>>().await;
    let stop = scheduler.stop().clone();
    Server::builder()
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(std::time::Duration::from_secs(10)))
        .layer(InterceptorLayer::new(principal::identify))
        .add_service(health_service)
        .add_service(reflection::service())
        .add_service(jobs)
        .add_service(workers)
        .add_service(artifacts)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            stop.cancelled().await;
        })
        .await
        .map_err(|error| ApiError::new(ErrorCode::Unavailable, format!("serving broke down: {error}")))
}
