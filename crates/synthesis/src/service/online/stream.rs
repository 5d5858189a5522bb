//! A stream of tiles: answered in their order, a few at a time.
//!
//! Invariants: nothing is read from the client while [`AHEAD`] tiles are unanswered, and answers wait until the
//! client takes them, so that memory stays bounded whatever either side does; a tile's fault is its answer and
//! does not end the stream.

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::synthesis::v1::synthesize_tiles_response::Outcome;
use counterstain_api::proto::synthesis::v1::{SynthesizeTilesRequest, SynthesizeTilesResponse, TileFault};
use counterstain_compute::Desk;
use futures::{Stream, StreamExt as _};
use std::pin::Pin;
use std::time::Duration;
use tonic::Status;

/// Tiles in work per stream, so that one is decoded and sent while another is computed.
const AHEAD: usize = 4;
/// How long a client may send nothing.
const IDLE: Duration = Duration::from_secs(300);
/// Longest name of a tile, in bytes.
const MAX_KEY: usize = 1024;

/// The answers to a stream.
pub type Answers = Pin<Box<dyn Stream<Item = Result<SynthesizeTilesResponse, Status>> + Send>>;

/// Answers each tile of `requests` at `desk`.
pub fn answers<S>(desk: Desk<Vec<u8>>, requests: S) -> Answers
where
    S: Stream<Item = Result<SynthesizeTilesRequest, Status>> + Send + 'static,
{
    let requests = tokio_stream::StreamExt::timeout(requests, IDLE);
    let mut generator = String::new();
    let named = requests.map(move |request| {
        let mut request = request.map_err(|_| {
            let text = format!("no tile came for {} s: open a new stream", IDLE.as_secs());
            Status::from(ApiError::new(ErrorCode::Unavailable, text))
        })??;
        if request.key.len() > MAX_KEY {
            let text = format!("key: has {} bytes, more than {MAX_KEY}", request.key.len());
            return Err(Status::from(ApiError::new(ErrorCode::InvalidArgument, text)));
        }
        if request.generator.is_empty() {
            request.generator.clone_from(&generator);
        } else {
            generator.clone_from(&request.generator);
        }
        Ok(request)
    });
    let answered = named.map(move |request: Result<SynthesizeTilesRequest, Status>| {
        let desk = desk.clone();
        async move {
            let SynthesizeTilesRequest { generator, key, image } = request?;
            let outcome = match desk.ask_in_turn("generator", &generator, image).await {
                Ok(image) => Outcome::Image(image),
                Err(error) => {
                    Outcome::Fault(TileFault { code: error.code.as_str().to_owned(), message: error.message })
                }
            };
            Ok(SynthesizeTilesResponse { key, outcome: Some(outcome) })
        }
    });
    Box::pin(answered.buffered(AHEAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterstain_api::Digest;
    use counterstain_tile::Tile;
    use counterstain_tile::encode::encode_png;
    use futures::stream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A desk whose network answers with the tile's width, and refuses tiles of 9 px.
    fn desk() -> Desk<Vec<u8>> {
        let load = |_: &Digest| Ok(());
        let answer = |_: &(), tile: &Tile<u8>| match tile.width {
            9 => Err(counterstain_worker::TaskError::new(ErrorCode::InvalidArgument, "image: is 9 px wide")),
            width => Ok(vec![width as u8]),
        };
        Desk::start(1, load, answer).unwrap()
    }

    fn request(generator: &str, width: usize) -> Result<SynthesizeTilesRequest, Status> {
        Ok(SynthesizeTilesRequest {
            generator: generator.to_owned(),
            key: format!("tile {width}"),
            image: encode_png(&Tile::filled(width, 8, 3, 1)).unwrap(),
        })
    }

    fn outcome(answer: Result<SynthesizeTilesResponse, Status>) -> (String, Outcome) {
        let answer = answer.unwrap();
        (answer.key, answer.outcome.unwrap())
    }

    #[tokio::test]
    async fn answers_come_in_order_and_a_fault_ends_nothing() {
        let name = Digest::of(b"network").to_string();
        let sent = vec![request(&name, 8), request("", 9), request("", 10), request("sha256:no", 11)];
        let answers: Vec<_> = answers(desk(), stream::iter(sent)).map(outcome).collect().await;
        let keys: Vec<&str> = answers.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["tile 8", "tile 9", "tile 10", "tile 11"]);
        assert_eq!(answers[0].1, Outcome::Image(vec![8]));
        assert!(matches!(&answers[1].1, Outcome::Fault(fault) if fault.message.contains("9 px wide")));
        assert_eq!(answers[2].1, Outcome::Image(vec![10]));
        assert!(matches!(&answers[3].1, Outcome::Fault(fault) if fault.message.contains("generator")));
    }

    #[tokio::test]
    async fn a_stream_without_a_generator_and_a_key_without_end_are_refused() {
        let answers_of = |sent| answers(desk(), stream::iter(vec![sent])).collect::<Vec<_>>();
        let (_, unnamed) = outcome(answers_of(request("", 8)).await.remove(0));
        assert!(matches!(unnamed, Outcome::Fault(fault) if fault.message.contains("generator")));
        let long = SynthesizeTilesRequest { key: "k".repeat(MAX_KEY + 1), ..Default::default() };
        let status = answers_of(Ok(long)).await.remove(0).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    }

    #[tokio::test]
    async fn who_reads_no_answers_is_not_read_from() {
        let name = Digest::of(b"network").to_string();
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let endless = stream::repeat_with(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            request(&name, 8)
        });
        let mut answers = answers(desk(), endless);
        for taken in 1..=20 {
            outcome(answers.next().await.unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
            let read = read.load(Ordering::Relaxed);
            assert!(read <= taken + AHEAD, "{read} tiles were read for {taken} answers");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_is_let_go() {
        let mut answers = answers(desk(), stream::pending());
        let status = answers.next().await.unwrap().unwrap_err();
        assert!(status.message().contains("no tile came for 300 s"), "{status}");
    }
}
