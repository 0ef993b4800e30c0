//! Many TURN clients, each with a socket and a peer of its own, driven by one thread that never waits.

mod allocate;
mod stun;

pub(crate) use allocate::allocate;
pub(crate) use stun::{CHANNEL, Credentials, is_answered};

use anyhow::Context as _;
use plenum_dataplane::{RecvBatch, SendBatch, SendState, UdpSocket};
use std::net::SocketAddr;

/// Bytes before the payload of ChannelData.
pub(crate) const HEADER: usize = 4;
/// Messages of one receive.
const MESSAGES: usize = 32;
/// Room for the longest burst.
const ARENA_BYTES: usize = 256 << 10;

/// A client and the peer that it speaks with.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Socket of the client.
    pub(crate) client: UdpSocket,
    /// Socket of the peer.
    pub(crate) peer: UdpSocket,
    /// Where the peer is.
    pub(crate) peer_address: SocketAddr,
    /// What the server told the client of its relay; unset: the server was not asked.
    pub(crate) relay: Option<SocketAddr>,
}

impl Pair {
    /// Binds both. Neither takes trains, as most clients do: cutting them up is then part of what sending costs.
    pub(crate) fn bind(client: SocketAddr, peer: SocketAddr) -> anyhow::Result<Self> {
        let bind = |address| -> anyhow::Result<UdpSocket> {
            let mut socket = UdpSocket::bind(address)?;
            socket.receive_singles().with_context(|| format!("receiving datagrams one by one at {address}"))?;
            Ok(socket)
        };
        let (client, peer) = (bind(client)?, bind(peer)?);
        let peer_address = peer.local_addr().context("asking where a peer is")?;
        Ok(Self { client, peer, peer_address, relay: None })
    }
}

/// Buffers that all sockets share, one after the other.
#[derive(Debug)]
pub(crate) struct Buffers {
    arena: SendBatch,
    /// What was received last.
    pub(crate) inbox: RecvBatch,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { arena: SendBatch::new(ARENA_BYTES), inbox: RecvBatch::new(MESSAGES) }
    }

    /// Sends the packet `count` times as one burst. `false`: the socket took none, or not all.
    pub(crate) fn send(&mut self, socket: &mut UdpSocket, to: SocketAddr, packet: &[u8], count: usize) -> bool {
        let before = self.arena.counters();
        for _ in 0..count {
            let Some(buffer) = self.arena.reserve(to, packet.len()) else { return false };
            buffer.copy_from_slice(packet);
            self.arena.commit(packet.len());
        }
        if socket.send(&mut self.arena) == SendState::Blocked {
            // What is left in it would go out by another socket.
            self.arena = SendBatch::new(ARENA_BYTES);
            return false;
        }
        self.arena.counters().dropped_errors == before.dropped_errors
    }

    /// Receives into `inbox`; whether there may be more.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> anyhow::Result<bool> {
        Ok(socket.receive(&mut self.inbox).context("receiving")? == self.inbox.capacity())
    }
}
