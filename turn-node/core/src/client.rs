//! The names by which a server and its owner speak of clients and relay sockets.

use plenum_protocol::turn::RelayTransport;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

/// A client's side of an allocation: the 5-tuple, with the server's side named by `stream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientId {
    /// How the client speaks.
    pub transport: RelayTransport,
    /// From where, as the socket tells it (v4-mapped is understood).
    pub remote: SocketAddr,
    /// UDP: which listener. TCP and TLS: which stream, never reused for another one while a server may know it.
    pub stream: u32,
}

impl ClientId {
    /// Messages come as a stream: packets are padded, a broken message ends the stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.transport != RelayTransport::Udp
    }

    /// The client's address as everybody but the socket speaks of it: never v4-mapped.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.remote.ip().to_canonical(), self.remote.port())
    }
}

impl Hash for ClientId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Few and fixed writes: this runs for every packet.
        match self.remote.ip() {
            IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
        }
        let port = u64::from(self.remote.port());
        state.write_u64(port << 40 | u64::from(self.transport as u8) << 32 | u64::from(self.stream));
    }
}

/// A relay socket: the owner keeps it under this number from `open_relay` to `close_relay`; numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayId(pub u32);
