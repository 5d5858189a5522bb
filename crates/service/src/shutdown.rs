//! Stopping: SIGTERM and SIGINT cancel one token; whoever holds it finishes what it must and returns.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Signals this close together are one wish: `timeout` sends one to its child and another to the group that it is in.
const ONE_WISH: Duration = Duration::from_millis(500);

/// A token that SIGTERM or SIGINT cancels. A second signal, half a second later or more, ends the process at once.
///
/// # Errors
/// The signal handlers cannot be installed.
pub fn token() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        let mut first: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match first {
                Some(first) if first.elapsed() >= ONE_WISH => std::process::exit(130),
                Some(_) => {}
                None => {
                    first = Some(Instant::now());
                    tracing::info!("stopping");
                    cancelled.cancel();
                }
            }
        }
    });
    Ok(token)
}
