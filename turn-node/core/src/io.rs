//! What the server asks of its owner. Every method is called synchronously from a `handle_*`.

use crate::client::{ClientId, RelayId};
use std::net::SocketAddr;

/// Sockets and send buffers of one worker.
pub trait Io {
    /// Room for a message of at most `max_len` bytes to `client`, or `None` when there is none: the message is then
    /// counted and dropped. A reservation that is not committed before the next one is void.
    fn to_client(&mut self, client: ClientId, max_len: usize) -> Option<&mut [u8]>;

    /// The message last reserved with [`Io::to_client`] is complete: its first `len` bytes are to be sent.
    fn commit_client(&mut self, len: usize);

    /// As [`Io::to_client`], for a datagram from a relay socket to `peer`.
    fn to_peer(&mut self, relay: RelayId, peer: SocketAddr, max_len: usize) -> Option<&mut [u8]>;

    /// As [`Io::commit_client`], for [`Io::to_peer`].
    fn commit_peer(&mut self, len: usize);

    /// Binds a UDP socket, for this relay alone, and keeps it under `relay`.
    ///
    /// # Errors
    /// [`OpenError`]: nothing is kept then.
    fn open_relay(&mut self, relay: RelayId, local: SocketAddr) -> Result<(), OpenError>;

    /// Closes the socket under `relay`. What it received and nobody has handled is dropped.
    fn close_relay(&mut self, relay: RelayId);

    /// Ends a stream, after what was committed to it. Never called for UDP. The owner need not answer with
    /// `client_gone`, and may.
    fn close_client(&mut self, client: ClientId);
}

/// Why a relay socket could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has the port; another one may do.
    #[error("the relay port is in use")]
    InUse,
    /// No port will do: descriptors or memory are exhausted, or the address is not ours.
    #[error("the system refused a relay socket")]
    Refused,
}
