//! Online calls about single tiles: one thread computes, one tile after the other, so that calls do not
//! starve the job in hand; what waits is bounded and has a deadline.

use std::time::Duration;

use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode_rgb};
use counterstain_worker::TaskError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
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
/// The same for a tile of a stream, of which several wait at a time.
const STREAM_DEADLINE: Duration = Duration::from_secs(300);
/// Networks that are kept ready; the one that was not used for longest goes first.
const KEPT: usize = 4;

/// A tile, the network to use, and where to send the answer.
struct Order<A> {
    network: Digest,
    image: Vec<u8>,
    reply: oneshot::Sender<Result<A, TaskError>>,
}

/// Answers calls about single tiles; its thread ends with the last clone.
#[derive(Debug)]
pub struct Desk<A> {
    orders: Sender<Order<A>>,
}

// Derived, it would ask the same of answers.
impl<A> Clone for Desk<A> {
    fn clone(&self) -> Self {
        Self { orders: self.orders.clone() }
    }
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
        let (orders, receiver) = channel(QUEUE);
        std::thread::Builder::new().name("online".to_owned()).spawn(move || {
            counterstain_torch::set_threads(threads);
            serve(receiver, load, answer);
        })?;
        Ok(Self { orders })
    }

    /// Asks about an encoded tile; refuses at once when too many wait. `field` names the request's field that
    /// holds `network`.
    ///
    /// # Errors
    /// A faulty request, a full queue, a missed deadline, or what the computation says.
    pub async fn ask(&self, field: &str, network: &str, image: Vec<u8>) -> Result<A, ApiError> {
        let (order, answer) = order(field, network, image)?;
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => ApiError::new(
                ErrorCode::ResourceExhausted,
                format!("{QUEUE} calls are waiting already: try again"),
            ),
            TrySendError::Closed(_) => ended(),
        })?;
        within(DEADLINE, async { answer.await.map_err(|_| ended())?.map_err(to_api) }).await
    }

    /// As [`Self::ask`], for a tile of a stream: waits for its turn however many others wait.
    ///
    /// # Errors
    /// As for [`Self::ask`], but for the full queue.
    pub async fn ask_in_turn(&self, field: &str, network: &str, image: Vec<u8>) -> Result<A, ApiError> {
        let (order, answer) = order(field, network, image)?;
        within(STREAM_DEADLINE, async {
            self.orders.send(order).await.map_err(|_| ended())?;
            answer.await.map_err(|_| ended())?.map_err(to_api)
        })
        .await
    }
}

type Answer<A> = oneshot::Receiver<Result<A, TaskError>>;

fn order<A>(field: &str, network: &str, image: Vec<u8>) -> Result<(Order<A>, Answer<A>), ApiError> {
    let network = digest(network, field).map_err(to_api)?;
    if image.is_empty() {
        let text = "image: no bytes were sent; send a PNG, JPEG or TIFF file";
        return Err(ApiError::new(ErrorCode::InvalidArgument, text));
    }
    let (reply, answer) = oneshot::channel();
    Ok((Order { network, image, reply }, answer))
}

async fn within<A>(
    deadline: Duration,
    answer: impl Future<Output = Result<A, ApiError>>,
) -> Result<A, ApiError> {
    tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| {
        let text = format!("there was no answer within {} s: try again", deadline.as_secs());
        Err(ApiError::new(ErrorCode::Unavailable, text))
    })
}

fn ended() -> ApiError {
    ApiError::new(ErrorCode::Internal, "the computing thread has ended")
}

fn to_api(error: TaskError) -> ApiError {
    ApiError::new(error.code, error.message)
}

fn serve<A, N>(
    mut orders: Receiver<Order<A>>,
    mut load: impl FnMut(&Digest) -> Result<N, TaskError>,
    mut answer: impl FnMut(&N, &Tile<u8>) -> Result<A, TaskError>,
) {
    let limits = Limits { max_bytes: MAX_BYTES, max_pixels: MAX_PIXELS };
    // Most recently used last.
    let mut ready: Vec<(Digest, N)> = Vec::new();
    while let Some(order) = orders.blocking_recv() {
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
