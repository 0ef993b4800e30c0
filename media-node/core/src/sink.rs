//! Where packets leave the engine.

use std::net::SocketAddr;

/// The send arena of a worker. The engine writes each packet straight into it.
pub trait PacketSink {
    /// Room for a packet of at most `max_len` bytes to `to`, or `None` when the arena is full: the packet is then
    /// counted and dropped. A reservation that is not committed before the next one is void.
    fn reserve(&mut self, to: SocketAddr, max_len: usize) -> Option<&mut [u8]>;

    /// The last reserved packet is complete: its first `len` bytes are to be sent.
    fn commit(&mut self, len: usize);
}
