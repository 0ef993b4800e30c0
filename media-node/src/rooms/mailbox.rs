//! What waits to be written to one room socket: bounded, never blocking.

use plenum_protocol::room::ServerMessage;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for one client.
const BOUND: usize = 256;

/// The room's end of a socket.
#[derive(Debug)]
pub(crate) struct Mailbox {
    queue: mpsc::Sender<Arc<ServerMessage>>,
    last: oneshot::Sender<ServerMessage>,
}

/// The socket's end.
#[derive(Debug)]
pub(crate) struct MailboxReceiver {
    /// Messages in order. Closed when the room lets go of the socket.
    pub(crate) queue: mpsc::Receiver<Arc<ServerMessage>>,
    /// The last message; jumps the queue. An error means that the socket ends without one.
    pub(crate) last: oneshot::Receiver<ServerMessage>,
}

/// The client has not read what is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSlow;

impl Mailbox {
    pub(crate) fn new() -> (Self, MailboxReceiver) {
        let (queue, queued) = mpsc::channel(BOUND);
        let (last, told) = oneshot::channel();
        (Self { queue, last }, MailboxReceiver { queue: queued, last: told })
    }

    /// Queues a message. A socket that is gone already takes it silently: its task tells the room by itself.
    pub(crate) fn post(&self, message: &Arc<ServerMessage>) -> Result<(), TooSlow> {
        match self.queue.try_send(Arc::clone(message)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(TooSlow),
        }
    }

    /// Ends the socket with `message`, ahead of what is queued.
    pub(crate) fn end(self, message: ServerMessage) {
        // A socket that is gone needs no last message.
        drop(self.last.send(message));
    }
}
