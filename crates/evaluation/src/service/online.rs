//! The online calls: embed one tile, and say what the worker is doing.
//!
//! One thread computes, one tile after the other, so that calls do not starve the job
//! in hand; what waits is bounded and has a deadline.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::evaluation::v1::evaluation_service_server::{
    EvaluationService, EvaluationServiceServer,
};
use counterstain_api::proto::evaluation::v1::{
    EmbedRequest, EmbedResponse, GetStatusRequest, GetStatusResponse,
};
use counterstain_artifact::{Digest, Store};
use counterstain_tile::decode::{Limits, decode_rgb};
use counterstain_worker::{OnlineContext, StatusHandle, TaskError};
use tch::Device;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::encoders;
use super::error::guarded;
use crate::engine::encoder::{Encoder, Input};

/// Largest encoded tile, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Largest tile, in pixels: 2,048 x 2,048.
const MAX_PIXELS: usize = 2048 * 2048;
/// Calls that may wait for the computing thread.
const QUEUE: usize = 16;
/// How long a call may take, waiting included.
const DEADLINE: Duration = Duration::from_secs(30);
/// Encoders that are kept ready; the one that was not used for longest goes first.
const KEPT: usize = 4;

/// A tile to embed, and where to send the result.
struct Order {
    encoder: Digest,
    image: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<f32>, TaskError>>,
}

/// The service.
#[derive(Debug)]
pub struct Online {
    orders: SyncSender<Order>,
    status: StatusHandle,
}

impl Online {
    /// Starts the computing thread, which ends with the service. Call it inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(context: OnlineContext, device: Device, threads: usize) -> std::io::Result<Self> {
        let (orders, receiver) = sync_channel(QUEUE);
        let handle = Handle::current();
        let store = context.store;
        std::thread::Builder::new().name("online".to_owned()).spawn(move || {
            counterstain_torch::set_threads(threads);
            Desk { store, handle, device, ready: Vec::new() }.serve(&receiver);
        })?;
        Ok(Self { orders, status: context.status })
    }

    /// As a tonic service that takes tiles of the allowed size.
    #[must_use]
    pub fn into_server(self) -> EvaluationServiceServer<Self> {
        EvaluationServiceServer::new(self).max_decoding_message_size(MAX_BYTES + (1 << 20))
    }

    async fn represent(&self, request: EmbedRequest) -> Result<Vec<f32>, ApiError> {
        let invalid = |text: String| ApiError::new(ErrorCode::InvalidArgument, text);
        let encoder = request.encoder.parse().map_err(|error| invalid(format!("encoder: {error}")))?;
        if request.image.is_empty() {
            return Err(invalid("image: no bytes were sent; send a PNG, JPEG or TIFF file".to_owned()));
        }
        let (reply, answer) = oneshot::channel();
        let order = Order { encoder, image: request.image, reply };
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => ApiError::new(
                ErrorCode::ResourceExhausted,
                format!("{QUEUE} calls are waiting already: try again"),
            ),
            TrySendError::Disconnected(_) => ended(),
        })?;
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(row)) => row.map_err(|error| ApiError::new(error.code, error.message)),
            Ok(Err(_)) => Err(ended()),
            Err(_) => Err(ApiError::new(
                ErrorCode::Unavailable,
                format!("the tile was not embedded within {} s: try again", DEADLINE.as_secs()),
            )),
        }
    }
}

fn ended() -> ApiError {
    ApiError::new(ErrorCode::Internal, "the computing thread has ended")
}

#[tonic::async_trait]
impl EvaluationService for Online {
    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        let representation = self.represent(request.into_inner()).await?;
        Ok(Response::new(EmbedResponse { representation }))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { run: Some(self.status.get()) }))
    }
}

/// What the computing thread owns.
struct Desk {
    store: Store,
    handle: Handle,
    device: Device,
    /// Most recently used last.
    ready: Vec<(Digest, Encoder)>,
}

impl Desk {
    fn serve(&mut self, orders: &Receiver<Order>) {
        for order in orders {
            // Its caller has gone away or run out of time.
            if order.reply.is_closed() {
                continue;
            }
            let row = guarded(|| self.represent(&order.encoder, &order.image));
            // A caller that left meanwhile is no error.
            let _ = order.reply.send(row);
        }
    }

    fn represent(&mut self, encoder: &Digest, image: &[u8]) -> Result<Vec<f32>, TaskError> {
        let limits = Limits { max_bytes: MAX_BYTES, max_pixels: MAX_PIXELS };
        let invalid = |error: &dyn std::fmt::Display| {
            TaskError::new(ErrorCode::InvalidArgument, format!("image: {error}"))
        };
        let tile = decode_rgb(image, &limits).map_err(|error| invalid(&error))?;
        let encoder = self.encoder(encoder)?;
        let input = Input::new(&tile, encoder.architecture()).map_err(|error| invalid(&error))?;
        Ok(encoder.represent(&[input])?)
    }

    fn encoder(&mut self, digest: &Digest) -> Result<&Encoder, TaskError> {
        let entry = match self.ready.iter().position(|(known, _)| known == digest) {
            Some(position) => self.ready.remove(position),
            None => {
                let description = self.handle.block_on(encoders::describe(&self.store, digest))?;
                let weights = self.handle.block_on(encoders::weights(&self.store, digest))?;
                if self.ready.len() == KEPT {
                    self.ready.remove(0);
                }
                (*digest, encoders::build(&description, &weights, self.device, None)?)
            }
        };
        self.ready.push(entry);
        Ok(&self.ready[self.ready.len() - 1].1)
    }
}
