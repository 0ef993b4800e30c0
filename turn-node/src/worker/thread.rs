//! What runs on a worker's thread: the server behind the data plane's handler, and its events on their way out.

use super::doors::TcpDoor;
use super::stream::{Broken, Found, Stream};
use super::streams::Streams;
use super::wire::Wire;
use super::{Command, Snapshot};
use plenum_dataplane::{RelayHandler, RelayNet, RelayReceived, StreamKey};
use plenum_protocol::turn::RelayTransport;
use plenum_runtime::node::{EventOutlet, answer};
use plenum_turn_core::{ClientId, Event, Frame, RelayId, Server, frame_len};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

/// How often streams are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// How old the wall clock may be: credentials live for hours.
const CLOCK_AGE: Duration = Duration::from_millis(200);
/// Bytes per read of a stream.
const READ_BYTES: usize = 64 << 10;
/// Plaintext per record of TLS, bytes.
const RECORD_BYTES: usize = 16 << 10;
/// Reads of one stream per event, so that none starves the others.
const MAX_READS: usize = 4;
/// Steps of TLS handshakes per round: one costs as much as relaying hundreds of packets, which must not wait for a crowd.
const MAX_HANDSHAKES: u32 = 4;

/// The wall clock in seconds, read now and then.
struct WallClock {
    seconds: u64,
    read: Option<Instant>,
}

impl WallClock {
    fn seconds(&mut self, now: Instant) -> u64 {
        if self.read.is_none_or(|read| now.saturating_duration_since(read) >= CLOCK_AGE) {
            self.read = Some(now);
            // Before 1970 everything is young.
            self.seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        }
        self.seconds
    }
}

/// Buffers for what a stream brings; lent out while it is handled.
struct Scratch {
    raw: Box<[u8]>,
    plain: Box<[u8]>,
}

/// A worker's handler.
pub(super) struct Relay {
    server: Server,
    tcp: Vec<TcpDoor>,
    streams: Streams,
    scratch: Option<Scratch>,
    clock: WallClock,
    /// Steps of TLS handshakes that this round may still take. A stream that is left unread is told again.
    handshakes: u32,
    /// When streams are looked at next; unset while there are none.
    sweep: Option<Instant>,
    /// What finds no room waits in the server, whose quotas bound how much there can be.
    events: EventOutlet<Event>,
    received: RelayReceived,
}

impl Relay {
    pub(super) fn new(server: Server, tcp: Vec<TcpDoor>, events: EventOutlet<Event>) -> Self {
        let buffer = |len| vec![0; len].into_boxed_slice();
        Self {
            server,
            tcp,
            streams: Streams::default(),
            scratch: Some(Scratch { raw: buffer(READ_BYTES), plain: buffer(RECORD_BYTES) }),
            clock: WallClock { seconds: 0, read: None },
            handshakes: MAX_HANDSHAKES,
            sweep: None,
            events,
            received: RelayReceived::default(),
        }
    }

    fn snapshot(&self, net: &RelayNet) -> Snapshot {
        let mut streams = self.streams.counters;
        streams.refused_full = net.refused_streams();
        Snapshot {
            server: self.server.counters(),
            sent: net.sent(),
            received: self.received,
            streams,
            memory: self.server.memory(),
        }
    }

    /// One whole message of a stream; `false` when nothing more is wanted of it.
    fn stream_message(
        &mut self,
        now: Instant,
        (key, client): (StreamKey, ClientId),
        message: &[u8],
        net: &mut RelayNet,
    ) -> bool {
        self.message(now, client, message, net);
        self.streams.get_mut(key).is_some_and(|stream| !stream.closing)
    }

    /// One whole message of a client.
    fn message(&mut self, now: Instant, client: ClientId, message: &[u8], net: &mut RelayNet) {
        let unix = self.clock.seconds(now);
        self.server.handle_client(now, unix, client, message, &mut Wire::new(net, &mut self.streams));
    }

    /// Ends a stream and what it carried.
    fn end(&mut self, now: Instant, key: StreamKey, net: &mut RelayNet) {
        if let Some(client) = self.streams.remove(key, net) {
            self.server.client_gone(now, client, &mut Wire::new(net, &mut self.streams));
        }
    }

    /// Reads a stream until it has no more, or its turn is over; `false` when it is over.
    fn read(
        &mut self,
        now: Instant,
        key: StreamKey,
        net: &mut RelayNet,
        scratch: &mut Scratch,
    ) -> Result<bool, Broken> {
        for _ in 0..MAX_READS {
            let (Some(stream), Some(socket)) = (self.streams.get_mut(key), net.stream(key)) else { return Ok(false) };
            let is_tls = stream.is_tls();
            let len = match Stream::read(socket, &mut scratch.raw)? {
                Found::Bytes(len) => len,
                Found::Nothing => return Ok(true),
                Found::End => return Ok(false),
            };
            let raw = scratch.raw.get(..len).unwrap_or_default();
            let goes_on = if is_tls {
                self.feed_tls(now, key, (raw, &mut scratch.plain), net)?
            } else {
                self.feed(now, key, raw, net)
            };
            if !goes_on || len < READ_BYTES {
                return Ok(goes_on);
            }
        }
        Ok(true)
    }

    /// Ciphertext; `false` when the stream is over.
    fn feed_tls(
        &mut self,
        now: Instant,
        key: StreamKey,
        (mut raw, plain): (&[u8], &mut [u8]),
        net: &mut RelayNet,
    ) -> Result<bool, Broken> {
        while !raw.is_empty() {
            let Some(stream) = self.streams.get_mut(key) else { return Ok(false) };
            let outcome = stream.decrypt(&mut raw);
            // Handshake messages, and alerts when it failed.
            if stream.wants_write() {
                self.streams.write(key, net);
            }
            outcome?;
            loop {
                let Some(stream) = self.streams.get_mut(key) else { return Ok(false) };
                match stream.plaintext(plain)? {
                    Found::Bytes(len) => {
                        if !self.feed(now, key, plain.get(..len).unwrap_or_default(), net) {
                            return Ok(false);
                        }
                    }
                    Found::Nothing => break,
                    Found::End => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Bytes of a stream, cut into messages; `false` when the stream is over.
    fn feed(&mut self, now: Instant, key: StreamKey, mut bytes: &[u8], net: &mut RelayNet) -> bool {
        let Some(stream) = self.streams.get_mut(key) else { return false };
        let client = stream.client;
        let mut pending = std::mem::take(&mut stream.pending);
        loop {
            let whole = if pending.is_empty() { frame_len(bytes) } else { frame_len(&pending) };
            match whole {
                Frame::Broken => {
                    self.streams.counters.broken += 1;
                    return false;
                }
                Frame::Whole(len) if pending.is_empty() => {
                    let (message, rest) = bytes.split_at_checked(len).unwrap_or_default();
                    bytes = rest;
                    if !self.stream_message(now, (key, client), message, net) {
                        // What follows is not for anybody; the end comes with the flush.
                        return true;
                    }
                }
                Frame::Whole(_) => {
                    let goes_on = self.stream_message(now, (key, client), &pending, net);
                    pending.clear();
                    if !goes_on {
                        return true;
                    }
                }
                Frame::Need(_) if bytes.is_empty() => break,
                Frame::Need(len) => {
                    let taken = len.saturating_sub(pending.len()).min(bytes.len());
                    let (begin, rest) = bytes.split_at_checked(taken).unwrap_or_default();
                    pending.extend_from_slice(begin);
                    bytes = rest;
                }
            }
        }
        match self.streams.get_mut(key) {
            Some(stream) => {
                stream.keep_pending(pending);
                true
            }
            None => false,
        }
    }

    fn sweep(&mut self, now: Instant, net: &mut RelayNet) {
        let server = &self.server;
        for key in self.streams.overstayed(now, |client| server.knows(client)) {
            self.end(now, key, net);
        }
        self.sweep = (!self.streams.is_empty()).then_some(now + SWEEP);
    }
}

impl RelayHandler for Relay {
    type Command = Command;

    fn handle_command(&mut self, _now: Instant, command: Command, net: &mut RelayNet) {
        match command {
            Command::Configure(config) => self.server.configure(config),
            Command::Query { ports, reply } => {
                answer(reply, ports.into_iter().filter_map(|port| self.server.allocation(port)).collect());
            }
            Command::Snapshot { reply } => answer(reply, self.snapshot(net)),
        }
    }

    fn handle_listener(
        &mut self,
        now: Instant,
        listener: usize,
        from: SocketAddr,
        datagram: &mut [u8],
        net: &mut RelayNet,
    ) {
        // Listeners are few: the index fits.
        let client = ClientId { transport: RelayTransport::Udp, remote: from, stream: listener as u32 };
        self.message(now, client, datagram, net);
    }

    fn handle_relay(&mut self, now: Instant, key: u32, from: SocketAddr, datagram: &mut [u8], net: &mut RelayNet) {
        self.server.handle_peer(now, RelayId(key), from, datagram, &mut Wire::new(net, &mut self.streams));
    }

    fn handle_accept(
        &mut self,
        now: Instant,
        listener: usize,
        stream: StreamKey,
        from: SocketAddr,
        _net: &mut RelayNet,
    ) -> bool {
        let Some(door) = self.tcp.get(listener) else { return false };
        let taken = self.streams.accept(now, stream, from, door);
        if taken && self.sweep.is_none() {
            self.sweep = Some(now + SWEEP);
        }
        taken
    }

    fn handle_stream(&mut self, now: Instant, key: StreamKey, writable: bool, net: &mut RelayNet) {
        if writable {
            self.streams.list(key);
        }
        if self.streams.get_mut(key).is_some_and(|stream| stream.is_handshaking()) {
            let Some(left) = self.handshakes.checked_sub(1) else { return };
            self.handshakes = left;
        }
        let Some(mut scratch) = self.scratch.take() else { return };
        let outcome = self.read(now, key, net, &mut scratch);
        self.scratch = Some(scratch);
        match outcome {
            Ok(true) => {}
            Ok(false) => self.end(now, key, net),
            Err(broken) => {
                if broken == Broken::Tls {
                    self.streams.counters.failed_tls += 1;
                }
                self.end(now, key, net);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant, net: &mut RelayNet) {
        if self.server.poll_timeout().is_some_and(|due| due <= now) {
            self.server.handle_timeout(now, &mut Wire::new(net, &mut self.streams));
        }
        if self.sweep.is_some_and(|due| due <= now) {
            self.sweep(now, net);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.server.poll_timeout(), self.sweep, self.events.poll_timeout()].into_iter().flatten().min()
    }

    fn end_round(&mut self, now: Instant, received: RelayReceived, net: &mut RelayNet) {
        self.received = received;
        self.handshakes = MAX_HANDSHAKES;
        for client in self.streams.flush(net) {
            self.server.client_gone(now, client, &mut Wire::new(net, &mut self.streams));
        }
        self.events.drain(now, || self.server.poll_event());
    }
}
