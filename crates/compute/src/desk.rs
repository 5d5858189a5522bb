//! Online calls about single tiles: one thread computes, one tile after the other, so that calls do not
//! starve the job in hand; what waits is bounded and has a deadline.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode_rgb};
use counterstain_worker::TaskError;
use tokio::sync::oneshot;

use crate::{digest, guarded};

/// Largest encoded tile, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Largest tile, in pixels: 2,048 x 2,048.
const MAX_PIXELS: usize = 2048 * 2048;
/// Calls that may wait for the computing thread.
const QUEUE: usize = 16;
/// How long a call may take, waiting included.
const DEADLINE: Duration = Duration::from_secs(30);
/// Networks that are kept ready; the one that was not used for longest goes first.
const KEPT: usize = 4;

/// A tile, the network to use, and where to send the answer.
struct Order<A> {
    network: Digest,
    image: Vec<u8>,
    reply: oneshot::Sender<Result<A, TaskError>>,
}

/// Answers calls about single tiles; its thread ends with it.
#[derive(Debug)]
pub struct Desk<A> {
    orders: SyncSender<Order<A>>,
}

impl<A: Send + 'static> Desk<A> {
    /// Largest request, for tonic's limit.
    pub const MAX_MESSAGE: usize = MAX_BYTES + (1 << 20);

    /// Starts the computing thread with `threads` libtorch threads. `load` makes a network ready, `answer`
    /// uses it on a tile (RGB).
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start<N>(
        threads: usize,
        load: impl FnMut(&Digest) -> Result<N, TaskError> + Send + 'static,
        answer: impl FnMut(&N, &Tile<u8>) -> Result<A, TaskError> + Send + 'static,
    ) -> std::io::Result<Self>
    where
        N: 'static,
    {
        let (orders, receiver) = sync_channel(QUEUE);
        std::thread::Builder::new().name("online".to_owned()).spawn(move || {
            counterstain_torch::set_threads(threads);
            serve(&receiver, load, answer);
        })?;
        Ok(Self { orders })
    }

    /// Asks about an encoded tile. `field` names the request's field that holds `network`.
    ///
    /// # Errors
    /// A faulty request, a full queue, a missed deadline, or what the computation says.
    pub async fn ask(&self, field: &str, network: &str, image: Vec<u8>) -> Result<A, ApiError> {
        let network = digest(network, field).map_err(to_api)?;
        if image.is_empty() {
            let text = "image: no bytes were sent; send a PNG, JPEG or TIFF file";
            return Err(ApiError::new(ErrorCode::InvalidArgument, text));
        }
        let ended = || ApiError::new(ErrorCode::Internal, "the computing thread has ended");
        let (reply, answer) = oneshot::channel();
        self.orders.try_send(Order { network, image, reply }).map_err(|error| match error {
            TrySendError::Full(_) => ApiError::new(
                ErrorCode::ResourceExhausted,
                format!("{QUEUE} calls are waiting already: try again"),
            ),
            TrySendError::Disconnected(_) => ended(),
        })?;
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(answer)) => answer.map_err(to_api),
            Ok(Err(_)) => Err(ended()),
            Err(_) => Err(ApiError::new(
                ErrorCode::Unavailable,
                format!("there was no answer within {} s: try again", DEADLINE.as_secs()),
            )),
        }
    }
}

fn to_api(error: TaskError) -> ApiError {
    ApiError::new(error.code, error.message)
}

fn serve<A, N>(
    orders: &Receiver<Order<A>>,
    mut load: impl FnMut(&Digest) -> Result<N, TaskError>,
    mut answer: impl FnMut(&N, &Tile<u8>) -> Result<A, TaskError>,
) {
    let limits = Limits { max_bytes: MAX_BYTES, max_pixels: MAX_PIXELS };
    // Most recently used last.
    let mut ready: Vec<(Digest, N)> = Vec::new();
    for order in orders {
        // Its caller has gone away or run out of time.
        if order.reply.is_closed() {
            continue;
        }
        let outcome = guarded(|| {
            let tile = decode_rgb(&order.image, &limits)
                .map_err(|error| TaskError::new(ErrorCode::InvalidArgument, format!("image: {error}")))?;
            let position = ready.iter().position(|(known, _)| *known == order.network);
            let entry = match position {
                Some(position) => ready.remove(position),
                None => (order.network, load(&order.network)?),
            };
            if ready.len() == KEPT {
                ready.remove(0);
            }
            ready.push(entry);
            answer(&ready[ready.len() - 1].1, &tile)
        });
        // A caller that left meanwhile is no error.
        let _ = order.reply.send(outcome);
    }
}
