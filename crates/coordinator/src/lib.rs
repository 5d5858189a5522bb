//! The control plane: accepts pipelines, hands out leases, keeps progress, metrics and logs, and serves the
//! artifact contract. It links no libtorch, and bytes of images never travel through it.
//!
//! - [`machine`]: the rules, as a pure function;
//! - [`storage`]: what is remembered, behind one trait;
//! - [`scheduler`]: runs the rules on the storage, and time's own events;
//! - [`service`]: the gRPC face.

pub mod clock;
pub mod limits;
pub mod machine;
pub mod options;
pub mod scheduler;
pub mod service;
pub mod storage;

use std::sync::Arc;

use counterstain_api::error::ApiError;
use counterstain_artifact::Store;
use counterstain_service::listen;
use tokio_util::sync::CancellationToken;

use options::Options;
use scheduler::Scheduler;
use storage::sqlite::SqliteStorage;

/// Runs a coordinator until `stop` is cancelled. `ready` is called with the address once it serves.
///
/// # Errors
/// The address, the database or the store cannot be used.
pub async fn run(
    options: Options,
    stop: CancellationToken,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<(), ApiError> {
    let listener = listen::bind(options.listen, options.allow_remote).await?;
    let address = listener.local_addr().map_err(|error| {
        ApiError::new(
            counterstain_api::error::ErrorCode::Internal,
            format!("the listener has no address: {error}"),
        )
    })?;
    let store = Store::open(&options.store)?;
    store.probe().await?;
    let storage = Arc::new(SqliteStorage::open(&options.database).await?);
    tracing::info!(%address, database = options.database, store = store.location(), "started");
    let scheduler = Scheduler::start(storage.clone(), store, options.policy(), stop).await?;
    ready(address);
    let served = service::serve(scheduler.clone(), listener).await;
    scheduler.settle().await;
    storage.close().await;
    served
}
