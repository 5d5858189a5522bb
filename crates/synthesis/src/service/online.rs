//! The online calls: paint one tile, and say what the worker is doing.
//!
//! One thread paints, one tile after the other, so that calls do not starve the job in
//! hand; what waits is bounded and has a deadline.

use super::error::guarded;
use super::generator;
use crate::engine::Error;
use crate::engine::images::ImageBatch;
use crate::engine::painter::{Painter, check_image};
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::synthesis::v1::synthesis_service_server::{
    SynthesisService, SynthesisServiceServer,
};
use counterstain_api::proto::synthesis::v1::{
    GetStatusRequest, GetStatusResponse, SynthesizeRequest, SynthesizeResponse,
};
use counterstain_artifact::{Digest, Store};
use counterstain_tile::decode::{Limits, decode_rgb};
use counterstain_tile::encode::encode_png;
use counterstain_worker::{OnlineContext, StatusHandle, TaskError};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tch::Device;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

/// Largest encoded tile, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Largest tile, in pixels: 2,048 x 2,048.
const MAX_PIXELS: usize = 2048 * 2048;
/// Calls that may wait for the painting thread.
const QUEUE: usize = 16;
/// How long a call may take, waiting included.
const DEADLINE: Duration = Duration::from_secs(30);
/// Generators that are kept ready; the one that was not used for longest goes first.
const KEPT: usize = 4;

/// A tile to paint, and where to send the result.
struct Order {
    generator: Digest,
    image: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<u8>, TaskError>>,
}

/// The service.
#[derive(Debug)]
pub struct Online {
    orders: SyncSender<Order>,
    status: StatusHandle,
}

impl Online {
    /// Starts the painting thread, which ends with the service. Call it inside a tokio runtime.
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
    pub fn into_server(self) -> SynthesisServiceServer<Self> {
        SynthesisServiceServer::new(self)
            .max_decoding_message_size(MAX_BYTES + (1 << 20))
            .max_encoding_message_size(usize::MAX)
    }

    async fn paint(&self, request: SynthesizeRequest) -> Result<Vec<u8>, ApiError> {
        let invalid = |text: String| ApiError::new(ErrorCode::InvalidArgument, text);
        let generator = request.generator.parse().map_err(|error| invalid(format!("generator: {error}")))?;
        if request.image.is_empty() {
            return Err(invalid("image: no bytes were sent; send a PNG, JPEG or TIFF file".to_owned()));
        }
        let (reply, answer) = oneshot::channel();
        let order = Order { generator, image: request.image, reply };
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => ApiError::new(
                ErrorCode::ResourceExhausted,
                format!("{QUEUE} calls are waiting already: try again"),
            ),
            TrySendError::Disconnected(_) => {
                ApiError::new(ErrorCode::Internal, "the painting thread has ended")
            }
        })?;
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(painted)) => painted.map_err(|error| ApiError::new(error.code, error.message)),
            Ok(Err(_)) => Err(ApiError::new(ErrorCode::Internal, "the painting thread has ended")),
            Err(_) => Err(ApiError::new(
                ErrorCode::Unavailable,
                format!("the tile was not painted within {} s: try again", DEADLINE.as_secs()),
            )),
        }
    }
}

#[tonic::async_trait]
impl SynthesisService for Online {
    async fn synthesize(
        &self,
        request: Request<SynthesizeRequest>,
    ) -> Result<Response<SynthesizeResponse>, Status> {
        let image = self.paint(request.into_inner()).await?;
        Ok(Response::new(SynthesizeResponse { image }))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { run: Some(self.status.get()) }))
    }
}

/// What the painting thread owns.
struct Desk {
    store: Store,
    handle: Handle,
    device: Device,
    /// Most recently used last.
    ready: Vec<(Digest, Painter)>,
}

impl Desk {
    fn serve(&mut self, orders: &Receiver<Order>) {
        for order in orders {
            // Its caller has gone away or run out of time.
            if order.reply.is_closed() {
                continue;
            }
            let painted = guarded(|| self.paint(&order.generator, &order.image));
            // A caller that left meanwhile is no error.
            let _ = order.reply.send(painted);
        }
    }

    fn paint(&mut self, generator: &Digest, image: &[u8]) -> Result<Vec<u8>, TaskError> {
        let limits = Limits { max_bytes: MAX_BYTES, max_pixels: MAX_PIXELS };
        let invalid = |error: &dyn std::fmt::Display| {
            TaskError::new(ErrorCode::InvalidArgument, format!("image: {error}"))
        };
        let tile = decode_rgb(image, &limits).map_err(|error| invalid(&error))?;
        let painter = self.painter(generator)?;
        check_image(&painter.config(), &tile).map_err(|error| invalid(&error))?;
        let mut batch = ImageBatch::new(tile.width, tile.height, tile.channels);
        batch.push(&tile, false, false)?;
        let painted = painter.paint(&batch)?.remove(0);
        Ok(encode_png(&painted)
            .map_err(|source| Error::Image { what: "painted image".to_owned(), source })?)
    }

    fn painter(&mut self, digest: &Digest) -> Result<&Painter, TaskError> {
        let entry = match self.ready.iter().position(|(known, _)| known == digest) {
            Some(position) => self.ready.remove(position),
            None => {
                let (body, weights) = self.handle.block_on(generator::fetch(&self.store, digest))?;
                if self.ready.len() == KEPT {
                    self.ready.remove(0);
                }
                (*digest, generator::build(&body, &weights, self.device, None)?)
            }
        };
        self.ready.push(entry);
        Ok(&self.ready[self.ready.len() - 1].1)
    }
}
