//! The streams of one worker: who may have one, which have something to write, and which have overstayed.

use super::doors::TcpDoor;
use super::sources::{Source, Sources};
use super::stream::{Stream, tls};
use plenum_dataplane::{RelayNet, StreamKey};
use plenum_protocol::turn::RelayTransport;
use plenum_turn_core::ClientId;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a stream may be without an allocation: enough to make one, and to ask for an address.
const USELESS: Duration = Duration::from_secs(30);

/// What streams did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StreamCounters {
    /// Open now, over TCP.
    pub(crate) tcp: usize,
    /// Open now, over TLS.
    pub(crate) tls: usize,
    /// Taken so far.
    pub(crate) accepted: u64,
    /// Not taken: the worker has no place.
    pub(crate) refused_full: u64,
    /// Not taken: their source has enough.
    pub(crate) refused_source: u64,
    /// Ended: TLS failed, or took too long.
    pub(crate) failed_tls: u64,
    /// Ended: what was said is not TURN.
    pub(crate) broken: u64,
    /// Ended: no allocation in time.
    pub(crate) useless: u64,
    /// Messages for which a client that does not read had no room.
    pub(crate) slow: u64,
}

/// The table.
#[derive(Default)]
pub(super) struct Streams {
    /// By the slot of their key.
    slots: Vec<Option<(StreamKey, Stream)>>,
    sources: Sources,
    /// Streams with something to write, or to be ended.
    listed: Vec<StreamKey>,
    pub(super) counters: StreamCounters,
}

impl Streams {
    pub(super) fn is_empty(&self) -> bool {
        self.counters.tcp + self.counters.tls == 0
    }

    /// A new one; `false` when it is not taken.
    pub(super) fn accept(&mut self, now: Instant, key: StreamKey, from: SocketAddr, door: &TcpDoor) -> bool {
        let source = Source::of(from.ip());
        let (transport, connection) = match door {
            TcpDoor::Plain => (RelayTransport::Tcp, None),
            TcpDoor::Tls(public) => match tls(public.server_config()) {
                Some(connection) => (RelayTransport::Tls, Some(connection)),
                None => {
                    self.counters.failed_tls += 1;
                    return false;
                }
            },
        };
        if !self.sources.enter(source) {
            self.counters.refused_source += 1;
            return false;
        }
        if self.slots.len() <= key.slot() {
            self.slots.resize_with(key.slot() + 1, || None);
        }
        let client = ClientId { transport, remote: from, stream: key.to_bits() };
        if let Some(slot) = self.slots.get_mut(key.slot()) {
            *slot = Some((key, Stream::new(client, source, connection, now)));
        }
        *self.open(transport) += 1;
        self.counters.accepted += 1;
        true
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        let slot = self.slots.get_mut(key.slot())?.as_mut();
        slot.filter(|(own, _)| *own == key).map(|(_, stream)| stream)
    }

    /// To be flushed at the end of the round.
    pub(super) fn list(&mut self, key: StreamKey) {
        if let Some(stream) = self.get_mut(key)
            && !std::mem::replace(&mut stream.listed, true)
        {
            self.listed.push(key);
        }
    }

    /// Forgets one and closes its socket. Returns who it was.
    pub(super) fn remove(&mut self, key: StreamKey, net: &mut RelayNet) -> Option<ClientId> {
        self.get_mut(key)?;
        let (_, stream) = self.slots.get_mut(key.slot())?.take()?;
        self.sources.leave(stream.source);
        let open = self.open(stream.client.transport);
        *open = open.saturating_sub(1);
        net.close_stream(key);
        Some(stream.client)
    }

    /// Writes what waits, and forgets those that are over then: their clients. Allocates for those only.
    pub(super) fn flush(&mut self, net: &mut RelayNet) -> Vec<ClientId> {
        let mut ended = Vec::new();
        let mut listed = std::mem::take(&mut self.listed);
        for key in listed.drain(..) {
            let Some(stream) = self.get_mut(key) else { continue };
            stream.listed = false;
            if !self.write(key, net) {
                ended.extend(self.remove(key, net));
            }
        }
        // Nothing was listed meanwhile; the list keeps its room.
        self.listed = listed;
        ended
    }

    /// Writes what one stream has; `false` when it is over.
    pub(super) fn write(&mut self, key: StreamKey, net: &mut RelayNet) -> bool {
        let Some(stream) = self.get_mut(key) else { return false };
        let Some(socket) = net.stream(key) else { return false };
        if stream.flush(socket).is_err() {
            return false;
        }
        if stream.closing {
            stream.say_end(socket);
            return false;
        }
        let wants_write = stream.wants_write();
        net.set_wants_write(key, wants_write).is_ok()
    }

    /// Those that took too long to be of use at `now`; `knows` tells who has an allocation.
    pub(super) fn overstayed(&mut self, now: Instant, knows: impl Fn(ClientId) -> bool) -> Vec<StreamKey> {
        let mut keys = Vec::new();
        for (key, stream) in self.slots.iter_mut().flatten() {
            if stream.is_handshaking() {
                if now.saturating_duration_since(stream.accepted) >= HANDSHAKE {
                    self.counters.failed_tls += 1;
                    keys.push(*key);
                }
            } else if knows(stream.client) {
                stream.useful = now;
            } else if now.saturating_duration_since(stream.useful) >= USELESS {
                self.counters.useless += 1;
                keys.push(*key);
            }
        }
        keys
    }

    fn open(&mut self, transport: RelayTransport) -> &mut usize {
        match transport {
            RelayTransport::Tls => &mut self.counters.tls,
            RelayTransport::Udp | RelayTransport::Tcp => &mut self.counters.tcp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_an_allocation_may_stay_for_half_a_minute() {
        let (mut streams, start) = (Streams::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let (useful, useless) = (StreamKey::from_bits(0), StreamKey::from_bits(1));
        for (key, port) in [(useful, 1), (useless, 2)] {
            assert!(streams.accept(start, key, SocketAddr::from(([192, 0, 2, 1], port)), &TcpDoor::Plain));
        }
        let knows = |client: ClientId| client.stream == useful.to_bits();
        assert_eq!(streams.overstayed(after(29), knows), []);
        assert_eq!(streams.overstayed(after(30), knows), [useless]);
        assert_eq!(streams.counters.useless, 1);
        // Its allocation ended: it has as long again.
        assert_eq!(streams.overstayed(after(40), |client| client.stream == useless.to_bits()), []);
        assert_eq!(streams.overstayed(after(59), |client| client.stream == useless.to_bits()), []);
        assert_eq!(streams.overstayed(after(60), |client| client.stream == useless.to_bits()), [useful]);
    }

    #[test]
    fn an_old_key_names_nobody() {
        let mut streams = Streams::default();
        let (old, new) = (StreamKey::from_bits(7), StreamKey::from_bits(7 | 1 << 16));
        assert_eq!(old.slot(), new.slot());
        assert!(streams.accept(Instant::now(), new, SocketAddr::from(([192, 0, 2, 1], 1)), &TcpDoor::Plain));
        assert!(streams.get_mut(old).is_none() && streams.get_mut(new).is_some());
        streams.list(old);
        assert!(streams.listed.is_empty());
    }
}
