//! An owner that keeps what the server sends, and checks that it keeps to the contract.

use plenum_turn_core::{ClientId, Io, OpenError, RelayId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Client(ClientId),
    Peer(RelayId, SocketAddr),
}

#[derive(Default)]
pub struct FakeIo {
    buffer: Vec<u8>,
    reserved: Option<(To, usize)>,
    pub to_clients: Vec<(ClientId, Vec<u8>)>,
    pub to_peers: Vec<(RelayId, SocketAddr, Vec<u8>)>,
    /// Open relay sockets.
    pub relays: BTreeMap<RelayId, SocketAddr>,
    pub closed_clients: Vec<ClientId>,
    /// Ports that somebody else on the host has.
    pub taken: BTreeSet<u16>,
    /// The system has no more descriptors.
    pub exhausted: bool,
    /// The send buffers are full.
    pub full: bool,
    pub opened: u64,
}

impl FakeIo {
    fn reserve(&mut self, to: To, max_len: usize) -> Option<&mut [u8]> {
        self.reserved = None;
        if self.full {
            return None;
        }
        self.buffer.clear();
        self.buffer.resize(max_len, 0xaa);
        self.reserved = Some((to, max_len));
        Some(&mut self.buffer)
    }

    fn committed(&mut self, len: usize) -> (To, Vec<u8>) {
        let (to, reserved) = self.reserved.take().expect("a commit follows a reservation");
        assert!(len <= reserved, "{len} of {reserved} bytes");
        (to, self.buffer[..len].to_vec())
    }
}

impl Io for FakeIo {
    fn to_client(&mut self, client: ClientId, max_len: usize) -> Option<&mut [u8]> {
        self.reserve(To::Client(client), max_len)
    }

    fn commit_client(&mut self, len: usize) {
        let (To::Client(client), bytes) = self.committed(len) else { panic!("a peer's reservation") };
        self.to_clients.push((client, bytes));
    }

    fn to_peer(&mut self, relay: RelayId, peer: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        assert!(self.relays.contains_key(&relay), "{relay:?} is not open");
        self.reserve(To::Peer(relay, peer), max_len)
    }

    fn commit_peer(&mut self, len: usize) {
        let (To::Peer(relay, peer), bytes) = self.committed(len) else { panic!("a client's reservation") };
        self.to_peers.push((relay, peer, bytes));
    }

    fn open_relay(&mut self, relay: RelayId, local: SocketAddr) -> Result<(), OpenError> {
        if self.exhausted {
            return Err(OpenError::Refused);
        }
        if self.taken.contains(&local.port()) {
            return Err(OpenError::InUse);
        }
        assert!(!self.relays.values().any(|open| open.port() == local.port()), "{local} is open already");
        assert!(self.relays.insert(relay, local).is_none(), "{relay:?} is open already");
        self.opened += 1;
        Ok(())
    }

    fn close_relay(&mut self, relay: RelayId) {
        assert!(self.relays.remove(&relay).is_some(), "{relay:?} is not open");
    }

    fn close_client(&mut self, client: ClientId) {
        assert!(client.is_stream(), "there is nothing to close");
        self.closed_clients.push(client);
    }
}
