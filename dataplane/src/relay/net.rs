//! Everything that a relay worker's handler can do to the network.

use super::lanes::Lanes;
use super::streams::{Accepted, StreamKey, Streams};
use crate::poller::{Events, Interest, Poller};
use crate::receive::RecvBatch;
use crate::scratch::Scratch;
use crate::socket::{BUFFER_BYTES, Endpoint, EndpointOptions};
use crate::train::{SendCounters, SendState};
use crate::waker::Waker;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Bytes of the send arena: it stays in a core's own cache, and takes the longest train.
const ARENA_BYTES: usize = 256 << 10;
/// Socket buffer of a relay socket, each direction: a quarter of a second at 8 Mbit/s.
const RELAY_BUFFER_BYTES: usize = 256 << 10;
/// Keys of relay sockets are below.
const MAX_RELAYS: u32 = 1 << 16;
/// How long accepting rests when there is no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a worker has no network.
#[derive(Debug, thiserror::Error)]
pub enum RelayNetError {
    /// The address is taken or not of this host.
    #[error("listening for {transport} at {address}")]
    Listen {
        /// `udp` or `tcp`.
        transport: &'static str,
        /// Where.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No epoll set.
    #[error("making an epoll set")]
    Poll(#[source] io::Error),
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Waker,
    /// A listening UDP socket.
    Listener(usize),
    Relay {
        key: u32,
        generation: u32,
    },
    /// A TCP listener.
    Acceptor(usize),
    Stream(StreamKey),
}

/// Bits of a relay socket's generation in a token.
const GENERATION_BITS: u32 = 28;

impl Source {
    fn token(self) -> u64 {
        let (kind, generation, number) = match self {
            Self::Waker => (0, 0, 0),
            Self::Listener(index) => (1, 0, index as u32),
            Self::Relay { key, generation } => (2, generation & ((1 << GENERATION_BITS) - 1), key),
            Self::Acceptor(index) => (3, 0, index as u32),
            Self::Stream(key) => (4, 0, key.to_bits()),
        };
        (kind << 60) | u64::from(generation) << 32 | u64::from(number)
    }

    pub(super) fn from_token(token: u64) -> Option<Self> {
        let (number, generation) = (token as u32, (token >> 32) as u32 & ((1 << GENERATION_BITS) - 1));
        Some(match token >> 60 {
            0 => Self::Waker,
            1 => Self::Listener(number as usize),
            2 => Self::Relay { key: number, generation },
            3 => Self::Acceptor(number as usize),
            4 => Self::Stream(StreamKey::from_bits(number)),
            _ => return None,
        })
    }
}

#[derive(Debug, Default)]
struct Relay {
    generation: u32,
    open: Option<Endpoint>,
}

/// The sockets of one relay worker.
pub struct RelayNet {
    poller: Poller,
    listeners: Vec<Endpoint>,
    relays: Vec<Relay>,
    /// Lanes of the listeners, then of the relay sockets by key.
    lanes: Lanes,
    scratch: Scratch,
    streams: Streams,
    /// Accepting rests until then.
    resting: Option<Instant>,
    refused_streams: u64,
}

impl RelayNet {
    /// Listens at the addresses, each of which other workers may bind too (`SO_REUSEPORT`); at most `max_streams`
    /// streams at once. `[::]` carries IPv4 too.
    ///
    /// # Errors
    /// See [`RelayNetError`].
    pub fn bind(udp: &[SocketAddr], tcp: &[SocketAddr], max_streams: usize) -> Result<Self, RelayNetError> {
        let poller = Poller::new().map_err(RelayNetError::Poll)?;
        let mut listeners = Vec::with_capacity(udp.len());
        for (index, &address) in udp.iter().enumerate() {
            let failed = |source| RelayNetError::Listen { transport: "udp", address, source };
            let options = EndpointOptions { buffer_bytes: BUFFER_BYTES, reuse_port: true };
            let endpoint = Endpoint::open(address, options).map_err(failed)?;
            poller.add(endpoint.as_raw_fd(), Source::Listener(index).token(), Interest::Read).map_err(failed)?;
            listeners.push(endpoint);
        }
        let mut streams = Streams::new(max_streams);
        for (index, &address) in tcp.iter().enumerate() {
            let failed = |source| RelayNetError::Listen { transport: "tcp", address, source };
            let socket = streams.listen(address).map_err(failed)?;
            poller.add(socket.as_raw_fd(), Source::Acceptor(index).token(), Interest::Read).map_err(failed)?;
        }
        let mut lanes = Lanes::new(ARENA_BYTES);
        if let Some(last) = listeners.len().checked_sub(1) {
            lanes.reach(last);
        }
        Ok(Self {
            poller,
            listeners,
            relays: Vec::new(),
            lanes,
            scratch: Scratch::new(),
            streams,
            resting: None,
            refused_streams: 0,
        })
    }

    /// Where the UDP listeners are, in the order of `bind`.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn udp_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(Endpoint::local_addr).collect()
    }

    /// Where the TCP listeners are, in the order of `bind`.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn tcp_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let address = |socket: &socket2::Socket| -> io::Result<SocketAddr> {
            socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
        };
        self.streams.listeners().iter().map(address).collect()
    }

    /// Opens a relay socket on `local` (port 0: any) under `key`, which is small (below 65,536) and free. Tells where
    /// it is.
    ///
    /// # Errors
    /// `AddrInUse` when the port is taken; `AlreadyExists` when the key is; whatever else the kernel says.
    pub fn open_relay(&mut self, key: u32, local: SocketAddr) -> io::Result<SocketAddr> {
        if key >= MAX_RELAYS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let index = key as usize;
        if self.relays.len() <= index {
            self.relays.resize_with(index + 1, Relay::default);
        }
        self.lanes.reach(self.listeners.len() + index);
        let Some(relay) = self.relays.get_mut(index).filter(|relay| relay.open.is_none()) else {
            return Err(io::ErrorKind::AlreadyExists.into());
        };
        let options = EndpointOptions { buffer_bytes: RELAY_BUFFER_BYTES, reuse_port: false };
        let endpoint = Endpoint::open(local, options)?;
        let bound = if local.port() == 0 { endpoint.local_addr()? } else { local };
        relay.generation = relay.generation.wrapping_add(1) & ((1 << GENERATION_BITS) - 1);
        let token = Source::Relay { key, generation: relay.generation }.token();
        self.poller.add(endpoint.as_raw_fd(), token, Interest::Read)?;
        relay.open = Some(endpoint);
        Ok(bound)
    }

    /// Closes the relay socket of `key`, after what it has to send; nothing when there is none.
    pub fn close_relay(&mut self, key: u32) {
        if self.lanes.is_touched(self.listeners.len() + key as usize) {
            self.flush();
        }
        if let Some(relay) = self.relays.get_mut(key as usize) {
            relay.open = None;
        }
    }

    /// Room for a packet of at most `max_len` bytes from a UDP listener; [`RelayNet::commit`] takes it. `None` when it
    /// does not fit: dropped and counted.
    pub fn to_listener(&mut self, listener: usize, to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        if listener >= self.listeners.len() {
            self.lanes.count_drop();
            return None;
        }
        self.reserve(listener, to, max_len)
    }

    /// Room for a packet of at most `max_len` bytes from the relay socket of `key`, as
    /// [`to_listener`](RelayNet::to_listener).
    pub fn to_relay(&mut self, key: u32, to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        let index = key as usize;
        if self.relays.get(index).is_none_or(|relay| relay.open.is_none()) {
            self.lanes.count_drop();
            return None;
        }
        self.reserve(self.listeners.len() + index, to, max_len)
    }

    fn reserve(&mut self, lane: usize, to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        if !self.lanes.has_room(max_len) {
            self.flush();
        }
        self.lanes.reserve(lane, to, max_len)
    }

    /// The last reserved packet is `len` bytes long, at most what was reserved; 0 takes it back.
    pub fn commit(&mut self, len: usize) {
        self.lanes.commit(len);
    }

    /// Sends what waits. Packets that a socket does not take now are dropped and counted.
    pub fn flush(&mut self) {
        let Self { lanes, listeners, relays, scratch, .. } = self;
        lanes.drain(|lane, bytes, queue| {
            let endpoint = match lane.checked_sub(listeners.len()) {
                None => listeners.get_mut(lane),
                Some(key) => relays.get_mut(key).and_then(|relay| relay.open.as_mut()),
            };
            let Some(endpoint) = endpoint else { return SendState::Blocked };
            let (fd, dual, offload) = endpoint.parts();
            queue.drain(offload, |messages| scratch.send(fd, dual, bytes, messages))
        });
    }

    /// A stream, to read from and to write to (`&TcpStream` does both); `None` when it is over.
    #[must_use]
    pub fn stream(&self, key: StreamKey) -> Option<&TcpStream> {
        self.streams.get(key)
    }

    /// Also tell when the stream can be written, or no more.
    ///
    /// # Errors
    /// When the epoll set does not take it.
    pub fn set_wants_write(&mut self, key: StreamKey, wants_write: bool) -> io::Result<()> {
        let Some(stream) = self.streams.set_wants_write(key, wants_write) else { return Ok(()) };
        let interest = if wants_write { Interest::ReadWrite } else { Interest::Read };
        self.poller.change(stream.as_raw_fd(), Source::Stream(key).token(), interest)
    }

    /// Ends a stream; nothing when it is over.
    pub fn close_stream(&mut self, key: StreamKey) {
        self.streams.close(key);
    }

    /// Counts of the UDP sockets so far.
    #[must_use]
    pub fn sent(&self) -> SendCounters {
        self.lanes.counters()
    }

    /// Connections that were closed at once since there was no place for them.
    #[must_use]
    pub fn refused_streams(&self) -> u64 {
        self.refused_streams
    }

    pub(super) fn watch_waker(&self, waker: &Waker) -> io::Result<()> {
        self.poller.add(waker.as_raw_fd(), Source::Waker.token(), Interest::Read)
    }

    pub(super) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.poller.wait(events, timeout)
    }

    pub(super) fn receive_listener(&self, listener: usize, batch: &mut RecvBatch) -> io::Result<usize> {
        self.listeners.get(listener).map_or(Ok(0), |endpoint| endpoint.receive(batch))
    }

    pub(super) fn receive_relay(&self, key: u32, generation: u32, batch: &mut RecvBatch) -> io::Result<usize> {
        self.relay(key, generation).map_or(Ok(0), |endpoint| endpoint.receive(batch))
    }

    /// The socket of `key`, unless it was closed since the event.
    pub(super) fn relay(&self, key: u32, generation: u32) -> Option<&Endpoint> {
        let relay = self.relays.get(key as usize).filter(|relay| relay.generation == generation)?;
        relay.open.as_ref()
    }

    /// The next connection at a listener.
    pub(super) fn accept(&mut self, now: Instant, listener: usize) -> io::Result<Accepted> {
        let accepted = self.streams.accept(listener)?;
        match accepted {
            Accepted::Stream(key, _) => {
                if let Some(stream) = self.streams.get(key) {
                    self.poller.add(stream.as_raw_fd(), Source::Stream(key).token(), Interest::Read)?;
                }
            }
            Accepted::Refused => self.refused_streams += 1,
            Accepted::Nobody => {}
            Accepted::Exhausted => {
                self.set_accepting(Interest::Nothing)?;
                self.resting = Some(now + ACCEPT_PAUSE);
            }
        }
        Ok(accepted)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.resting
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        if self.resting.is_some_and(|until| until <= now) {
            self.resting = None;
            self.set_accepting(Interest::Read)?;
        }
        Ok(())
    }

    fn set_accepting(&self, interest: Interest) -> io::Result<()> {
        for (index, socket) in self.streams.listeners().iter().enumerate() {
            self.poller.change(socket.as_raw_fd(), Source::Acceptor(index).token(), interest)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for RelayNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayNet")
            .field("listeners", &self.listeners)
            .field("sent", &self.sent())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_source() {
        for source in [
            Source::Waker,
            Source::Listener(3),
            Source::Relay { key: 65_535, generation: (1 << GENERATION_BITS) - 1 },
            Source::Acceptor(1),
            Source::Stream(StreamKey::from_bits(u32::MAX)),
        ] {
            assert_eq!(Source::from_token(source.token()), Some(source));
        }
        assert_eq!(Source::from_token(u64::MAX), None);
    }
}
