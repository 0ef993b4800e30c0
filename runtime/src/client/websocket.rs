//! The client end of a room socket, over the same TLS as the calls.

use super::{CallError, Target, TransportError, problem_of};
use http::StatusCode;
use plenum_protocol::room::MAX_MESSAGE;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// A WebSocket to a node: a `Stream` of `Message` results and a `Sink` of `Message`.
pub type NodeSocket = WebSocketStream<TlsStream<TcpStream>>;

pub(super) async fn open(stream: TlsStream<TcpStream>, to: &Target, path: &str) -> Result<NodeSocket, CallError> {
    let request = format!("wss://{}{path}", to.san).into_client_request().map_err(broken)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .max_write_buffer_size(4 * MAX_MESSAGE);
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
            Err(CallError::Problem(problem_of(status, response.body().as_deref().unwrap_or_default())))
        }
        Err(error) => Err(broken(error).into()),
    }
}

fn broken(error: Error) -> TransportError {
    TransportError::WebSocket(Box::new(error))
}
