//! The worker process: registration, the lease loop, the online calls, a clean end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use counterstain_api::Profile;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::artifact::v1::artifact_service_client::ArtifactServiceClient;
use counterstain_api::proto::job::v1::worker_service_client::WorkerServiceClient;
use counterstain_api::proto::job::v1::{Lease, LeaseRequest, RegisterRequest};
use counterstain_artifact::Store;
use counterstain_artifact::dataset::Reader;
use counterstain_service::{connect, listen, reflection, shutdown, telemetry};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::control::{Backoff, refused};
use crate::lease::{Workplace, work};
use crate::report::StatusHandle;
use crate::{Engine, WorkerOptions};

/// How long one call for a lease waits.
const LEASE_WAIT: Duration = Duration::from_secs(20);

/// What a service brings to [`run`].
pub struct Setup {
    /// `synthesis`, `training` or `evaluation`.
    pub service: &'static str,
    /// The options of the command line.
    pub options: WorkerOptions,
    /// The computation.
    pub engine: Arc<dyn Engine>,
    /// Device class, threads, libtorch and the service's revision.
    pub profile: Profile,
    /// The service's online calls.
    pub routes: Box<dyn FnOnce(OnlineContext) -> Routes + Send>,
}

/// What online calls can use.
#[derive(Clone)]
pub struct OnlineContext {
    /// The object store.
    pub store: Store,
    /// The run in hand.
    pub status: StatusHandle,
}

/// Runs a worker until SIGTERM or SIGINT. The part in hand is checkpointed and given back.
pub fn run(setup: Setup) -> ExitCode {
    // I/O only: the computation has its own threads.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(Box::pin(serve(setup))),
        Err(error) => {
            Err(ApiError::new(ErrorCode::ResourceExhausted, format!("cannot start the runtime: {error}")))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code.exit_code())
        }
    }
}

async fn serve(setup: Setup) -> Result<(), ApiError> {
    let Setup { service, options, engine, profile, routes } = setup;
    let internal = |error: &dyn std::fmt::Display| ApiError::new(ErrorCode::Internal, error.to_string());
    let _telemetry = telemetry::init(service).map_err(|error| internal(&error))?;
    let shutdown = shutdown::token().map_err(|error| internal(&error))?;
    let store = Store::open(&options.store).map_err(from_store)?;
    let handle = tokio::runtime::Handle::current();
    let cache_dir = options.cache_dir();
    let reader = Reader::new(store.clone(), &cache_dir, options.cache_bytes, handle);
    let channel = connect::lazy(&options.coordinator)?;

    let status = StatusHandle::default();
    let listener = listen::bind(options.listen, options.allow_remote).await?;
    let address = listener.local_addr().map_err(|error| internal(&error))?;
    let routes = routes(OnlineContext { store: store.clone(), status: status.clone() });
    let online = tokio::spawn(serve_online(routes, listener, shutdown.clone()));
    println!("listening on {address}");
    tracing::info!(service, %address, coordinator = options.coordinator, %profile, "started");

    let limit = connect::MESSAGE_LIMIT;
    let place = Workplace {
        workers: WorkerServiceClient::new(channel.clone())
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit),
        artifacts: ArtifactServiceClient::new(channel)
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit),
        engine,
        profile,
        store,
        reader,
        cache_dir,
        status,
        checkpoint_interval: options.checkpoint_interval(),
        shutdown: shutdown.clone(),
    };
    let name = options.name.clone().unwrap_or_else(|| service.to_owned());
    lease_loop(&place, &name, &address.to_string()).await?;
    shutdown.cancel();
    if let Ok(Err(error)) = online.await {
        tracing::warn!("the online calls ended with an error: {error}");
    }
    Ok(())
}

fn from_store(error: counterstain_artifact::Error) -> ApiError {
    ApiError::new(error.code(), error.to_string())
}

async fn serve_online(
    routes: Routes,
    listener: tokio::net::TcpListener,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let routes = routes.add_service(health).add_service(reflection::service());
    tonic::transport::Server::builder()
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
        .await
}

/// Registers, then leases and works, one part at a time, until the token is cancelled.
async fn lease_loop(place: &Workplace, name: &str, address: &str) -> Result<(), ApiError> {
    let mut backoff = Backoff::new();
    'register: while !place.shutdown.is_cancelled() {
        let (worker_id, heartbeat) = match register(place, name, address).await {
            Ok(registered) => registered,
            Err(error) if error.code == ErrorCode::Unavailable => {
                tracing::info!("waiting for the coordinator: {error}");
                pause(place, backoff.next()).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        backoff = Backoff::new();
        while !place.shutdown.is_cancelled() {
            let leased = tokio::select! {
                leased = lease(place, &worker_id) => leased,
                () = place.shutdown.cancelled() => return Ok(()),
            };
            match leased {
                Ok(Some(lease)) => work(place, &worker_id, heartbeat, lease).await,
                Ok(None) => {}
                Err(error) if error.code == ErrorCode::NotFound => continue 'register,
                Err(error) => {
                    tracing::warn!("no answer to a call for a lease: {error}");
                    pause(place, backoff.next()).await;
                    continue;
                }
            }
            backoff = Backoff::new();
        }
    }
    Ok(())
}

async fn pause(place: &Workplace, wait: Duration) {
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = place.shutdown.cancelled() => {}
    }
}

async fn register(place: &Workplace, name: &str, address: &str) -> Result<(String, Duration), ApiError> {
    let request = RegisterRequest {
        name: name.to_owned(),
        kinds: place.engine.kinds().into_iter().map(i32::from).collect(),
        profile: Some(place.profile.clone().into()),
        address: address.to_owned(),
    };
    let answer = place.workers.clone().register(request).await.map_err(refused)?.into_inner();
    let interval = answer.heartbeat_interval.and_then(|interval| Duration::try_from(interval).ok());
    let interval = interval.filter(|interval| !interval.is_zero()).unwrap_or(Duration::from_secs(5));
    tracing::info!(id = answer.worker_id, "registered");
    Ok((answer.worker_id, interval))
}

async fn lease(place: &Workplace, worker_id: &str) -> Result<Option<Lease>, ApiError> {
    let wait = prost_types::Duration { seconds: LEASE_WAIT.as_secs() as i64, nanos: 0 };
    let request = LeaseRequest { worker_id: worker_id.to_owned(), wait: Some(wait) };
    Ok(place.workers.clone().lease(request).await.map_err(refused)?.into_inner().lease)
}
