//! Listening: loopback unless told otherwise, with errors that say what to do.

use std::io;
use std::net::SocketAddr;

use counterstain_api::error::{ApiError, ErrorCode};
use tokio::net::TcpListener;

/// Binds `address`; port 0 takes a free one.
///
/// # Errors
/// The address is not loopback and `allow_remote` is false (there is no authentication yet), the port is in
/// use, or binding fails for another reason.
pub async fn bind(address: SocketAddr, allow_remote: bool) -> Result<TcpListener, ApiError> {
    if !address.ip().is_loopback() && !allow_remote {
        let message = format!("refusing to listen on {address}: it can be reached from other machines");
        let help =
            "calls are not authenticated; listen on 127.0.0.1, or pass --allow-remote in a closed network";
        return Err(ApiError::new(ErrorCode::InvalidArgument, message).help(help));
    }
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            ApiError::new(ErrorCode::Conflict, format!("cannot listen on {address}: the port is in use"))
                .help(
                    "stop the other process, choose another port with --listen, or use port 0 for a free one",
                )
        }
        _ => ApiError::new(ErrorCode::Unavailable, format!("cannot listen on {address}: {error}")),
    })
}
