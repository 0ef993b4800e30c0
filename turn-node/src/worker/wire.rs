//! The server's way out: UDP by the data plane's arena, streams by their own buffers.

use super::streams::Streams;
use plenum_dataplane::{RelayNet, StreamKey};
use plenum_turn_core::{ClientId, Io, OpenError, RelayId};
use std::io::ErrorKind;
use std::net::SocketAddr;

pub(super) struct Wire<'a> {
    net: &'a mut RelayNet,
    streams: &'a mut Streams,
    /// The stream of the last reservation; unset: UDP.
    reserved: Option<StreamKey>,
}

impl<'a> Wire<'a> {
    pub(super) fn new(net: &'a mut RelayNet, streams: &'a mut Streams) -> Self {
        Self { net, streams, reserved: None }
    }

    fn reserve_in_stream(&mut self, key: StreamKey, max_len: usize) -> Option<&mut [u8]> {
        if !self.streams.get_mut(key)?.has_room(max_len) {
            // A stream that breaks here is found at the end of the round.
            self.streams.write(key, self.net);
            if !self.streams.get_mut(key)?.has_room(max_len) {
                self.streams.counters.slow += 1;
                return None;
            }
        }
        self.reserved = Some(key);
        self.streams.get_mut(key)?.reserve(max_len)
    }
}

impl Io for Wire<'_> {
    fn to_client(&mut self, client: ClientId, max_len: usize) -> Option<&mut [u8]> {
        if client.is_stream() {
            return self.reserve_in_stream(StreamKey::from_bits(client.stream), max_len);
        }
        self.reserved = None;
        self.net.to_listener(client.stream as usize, client.remote, max_len)
    }

    fn commit_client(&mut self, len: usize) {
        let Some(key) = self.reserved.take() else { return self.net.commit(len) };
        if let Some(stream) = self.streams.get_mut(key) {
            stream.commit(len);
            self.streams.list(key);
        }
    }

    fn to_peer(&mut self, relay: RelayId, peer: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        self.net.to_relay(relay.0, peer, max_len)
    }

    fn commit_peer(&mut self, len: usize) {
        self.net.commit(len);
    }

    fn open_relay(&mut self, relay: RelayId, local: SocketAddr) -> Result<(), OpenError> {
        match self.net.open_relay(relay.0, local) {
            Ok(_bound) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AddrInUse => Err(OpenError::InUse),
            Err(error) => {
                tracing::debug!(%error, "a relay socket was refused");
                Err(OpenError::Refused)
            }
        }
    }

    fn close_relay(&mut self, relay: RelayId) {
        self.net.close_relay(relay.0);
    }

    fn close_client(&mut self, client: ClientId) {
        let key = StreamKey::from_bits(client.stream);
        if let Some(stream) = self.streams.get_mut(key).filter(|_| client.is_stream()) {
            stream.closing = true;
            self.streams.list(key);
        }
    }
}
