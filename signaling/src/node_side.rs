//! The room socket where it ends: at the media node, or at the home of a peer-to-peer room. A gateway pipes one per client.
//!
//! Owns what waits to be written, the first frame and the last. Must not know rooms, nor what clients say after the join.

use axum::extract::ws::{Message, WebSocket};
use plenum_protocol::control::NodeJoin;
use plenum_protocol::problem::Code;
use plenum_protocol::room::ServerMessage;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Messages that may wait for one client.
const BOUND: usize = 256;
/// Longest wait for the first frame.
const JOIN_DEADLINE: Duration = Duration::from_secs(5);
/// Longest wait for the last message to be written.
const LAST_DEADLINE: Duration = Duration::from_secs(2);

/// The room's end of what waits to be written to one client: bounded, never blocking.
#[derive(Debug)]
pub struct Mailbox {
    queue: mpsc::Sender<Arc<ServerMessage>>,
    last: oneshot::Sender<ServerMessage>,
}

/// The socket's end.
#[derive(Debug)]
pub struct Letters {
    /// Messages in order. Closed when the room lets go of the socket.
    pub queue: mpsc::Receiver<Arc<ServerMessage>>,
    /// The last message; jumps the queue. An error means that the socket ends without one.
    pub last: oneshot::Receiver<ServerMessage>,
}

/// The client has not read what is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSlow;

impl Mailbox {
    /// Both ends of an empty one.
    #[must_use]
    pub fn new() -> (Self, Letters) {
        let (queue, queued) = mpsc::channel(BOUND);
        let (last, told) = oneshot::channel();
        (Self { queue, last }, Letters { queue: queued, last: told })
    }

    /// Queues a message. A socket that is gone already takes it silently: its task tells the room by itself.
    ///
    /// # Errors
    /// Too much is waiting.
    pub fn post(&self, message: &Arc<ServerMessage>) -> Result<(), TooSlow> {
        match self.queue.try_send(Arc::clone(message)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(TooSlow),
        }
    }

    /// Ends the socket with `message`, ahead of what is queued.
    pub fn end(self, message: ServerMessage) {
        // A socket that is gone needs no last message.
        drop(self.last.send(message));
    }
}

/// The join, which must come first and soon, or what to say instead; `None` when the socket is gone.
pub async fn read_join(socket: &mut WebSocket) -> Option<Result<NodeJoin, ServerMessage>> {
    let late = || format!("no join within {} seconds", JOIN_DEADLINE.as_secs());
    let first = timeout(JOIN_DEADLINE, first_frame(socket)).await;
    first.unwrap_or_else(|_| Some(Err(refused(Code::BadRequest, late()))))
}

async fn first_frame(socket: &mut WebSocket) -> Option<Result<NodeJoin, ServerMessage>> {
    loop {
        match socket.recv().await?.ok()? {
            Message::Text(text) => {
                let wrong = |error| refused(Code::BadRequest, format!("the first frame must be a join: {error}"));
                return Some(serde_json::from_str(&text).map_err(wrong));
            }
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Binary(_) => return Some(Err(refused(Code::BadRequest, "the first frame must be text"))),
            Message::Close(_) => return None,
        }
    }
}

/// Says no.
pub fn refused(code: Code, detail: impl Into<String>) -> ServerMessage {
    ServerMessage::Error { code, detail: detail.into() }
}

/// A message as a frame; `None`, with a line in the log, if it cannot be one.
#[must_use]
pub fn encode(message: &ServerMessage) -> Option<Message> {
    match serde_json::to_string(message) {
        Ok(text) => Some(Message::Text(text.into())),
        Err(error) => {
            tracing::error!(%error, "a room message could not be written as JSON");
            None
        }
    }
}

/// Says `last` and closes.
pub async fn finish(mut socket: WebSocket, last: ServerMessage) {
    let Some(last) = encode(&last) else { return };
    let said = async {
        socket.send(last).await?;
        socket.send(Message::Close(None)).await
    };
    if !matches!(timeout(LAST_DEADLINE, said).await, Ok(Ok(()))) {
        tracing::debug!("a client did not hear its last message");
    }
}
