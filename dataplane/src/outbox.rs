//! Where a handler puts packets: the send arena, which sends itself when it is full.

use crate::send::SendBatch;
use crate::socket::UdpSocket;
use crate::train::{SendCounters, SendState};
use std::net::SocketAddr;

/// The way out of a worker during one call of its handler.
#[derive(Debug)]
pub struct Outbox<'a> {
    pub(crate) socket: &'a mut UdpSocket,
    pub(crate) batch: &'a mut SendBatch,
}

impl Outbox<'_> {
    /// Room for a packet of at most `max_len` bytes to `to`. A full arena is sent first; `None` when the socket takes
    /// nothing more: the packet is dropped and counted.
    pub fn reserve(&mut self, to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        if !self.batch.has_room(max_len) {
            self.send();
        }
        self.batch.reserve(to, max_len)
    }

    /// The last reserved packet is `len` bytes long, at most what was reserved; 0 takes it back.
    pub fn commit(&mut self, len: usize) {
        self.batch.commit(len);
    }

    /// Sends what is there. What the socket does not take now stays for the next call.
    pub fn send(&mut self) -> SendState {
        self.socket.send(self.batch)
    }

    /// Counts so far.
    #[must_use]
    pub fn counters(&self) -> SendCounters {
        self.batch.counters()
    }
}
