//! The network: every datagram takes a while, some are lost, and time only passes when a test says so.

use super::Stack;
use super::client::Client;
use super::offer::{Way, offer};
use super::rtc_stack::{CM, GCM, RtcStack};
use super::str0m_parts::Str0mStack;
use plenum_media_core::sdp::Fragment;
use plenum_media_core::transport::TransportFactory;
use plenum_media_core::{
    Certificate, Engine, EngineConfig, Event, Limits, PacketSink, RoomKey, RoomLimits, SessionKey, SessionKind,
    SessionSpec,
};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::RelaySource;
use plenum_testing::{Dice, some_moment};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub const ROOM: RoomKey = RoomKey(1);
const STEP: Duration = Duration::from_millis(5);

/// Collects what the engine sends.
#[derive(Default)]
pub struct Arena {
    pub packets: Vec<(SocketAddr, Vec<u8>)>,
    reserved: Option<(SocketAddr, Vec<u8>)>,
}

impl PacketSink for Arena {
    fn reserve(&mut self, to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        let (_, buffer) = self.reserved.insert((to, vec![0; max_len]));
        Some(buffer)
    }

    fn commit(&mut self, len: usize) {
        let (to, mut buffer) = self.reserved.take().expect("commit follows reserve");
        buffer.truncate(len);
        self.packets.push((to, buffer));
    }
}

/// Which client to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// `rtc-ice` and `rtc-dtls`, GCM and CM offered with CM first, as browsers do.
    Rtc,
    /// The same without GCM.
    RtcCmOnly,
    /// `is` and `dimpl`.
    Str0m,
}

pub struct Net {
    pub now: Instant,
    pub engine: Engine,
    pub node: SocketAddr,
    pub clients: Vec<Client>,
    pub events: Vec<Event>,
    pub delay: Duration,
    /// Percent of RTP packets that get lost on the way to clients.
    pub loss_down: u64,
    /// Percent of RTP packets that get lost on the way to the node.
    pub loss_up: u64,
    /// Everything that the engine sent.
    pub sent_by_node: Vec<(SocketAddr, Vec<u8>)>,
    pub dice: Dice,
    /// Cut ClientHellos into two records, as browsers with post-quantum key shares do.
    pub cut_hellos: bool,
    flight: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    count: u64,
}

/// Bounds of a room that direct clients may use.
pub fn limits(max_bitrate_kbps: u32) -> RoomLimits {
    RoomLimits { max_bitrate_kbps, max_sessions: 100, relay_only: false }
}

/// A TURN pod with the relay ports 61000 to 62499 of `address`.
pub fn relay(pod: &str, address: [u8; 4]) -> RelaySource {
    RelaySource {
        namespace: "turn".into(),
        pool: "turn-eu".into(),
        pod: pod.into(),
        region: "eu".into(),
        addresses: vec![address.into()],
        outside: Vec::new(),
        ports: PortRange { min: 61_000, max: 62_499 },
    }
}

impl Net {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, None, 2_000)
    }

    pub fn with(seed: u64, factory: Option<Box<dyn TransportFactory>>, max_bitrate_kbps: u32) -> Self {
        let now = some_moment();
        let node: SocketAddr = "203.0.113.5:20000".parse().unwrap();
        let config = EngineConfig {
            worker: 0,
            ufrag_tag: *b"w0aa",
            seed: [seed as u8; 32],
            certificate: Certificate::generate().unwrap(),
            limits: Limits::default(),
        };
        let mut engine = match factory {
            Some(factory) => Engine::with_transports(config, now, factory),
            None => Engine::new(config, now),
        };
        engine.configure(&[node.ip()], node.port());
        engine.add_room(ROOM, limits(max_bitrate_kbps)).unwrap();
        Self {
            now,
            engine,
            node,
            clients: Vec::new(),
            events: Vec::new(),
            delay: Duration::from_millis(10),
            loss_down: 0,
            loss_up: 0,
            sent_by_node: Vec::new(),
            dice: Dice::new(seed),
            cut_hellos: false,
            flight: BTreeMap::new(),
            count: 0,
        }
    }

    fn stack(&self, make: Make, name: &str, address: SocketAddr) -> Box<dyn Stack> {
        match make {
            Make::Rtc => Box::new(RtcStack::new(self.now, name, address, vec![CM, GCM])),
            Make::RtcCmOnly => Box::new(RtcStack::new(self.now, name, address, vec![CM])),
            Make::Str0m => Box::new(Str0mStack::new(self.now, name, address)),
        }
    }

    /// Adds a client and opens its session; it is not connected yet. Returns its place in `clients`.
    pub fn open(&mut self, make: Make, publication: Option<usize>) -> usize {
        let address = SocketAddr::from(([198, 51, 100, 10 + self.clients.len() as u8], 40_000));
        self.open_from(address, make, publication)
    }

    /// The same for a client whose packets come from `address`.
    pub fn open_from(&mut self, address: SocketAddr, make: Make, publication: Option<usize>) -> usize {
        let place = self.clients.len();
        let stack = self.stack(make, &format!("client{place}"), address);
        let way = if publication.is_some() { Way::RecvOnly } else { Way::SendOnly };
        let text = offer(way, &stack.credentials(), &stack.fingerprint());
        let key = SessionKey(100 + place as u64);
        let kind = match publication {
            None => SessionKind::Publish,
            Some(place) => SessionKind::Subscribe { publication: self.clients[place].key },
        };
        let answer = self.engine.open_session(self.now, ROOM, SessionSpec { id: key, kind, offer: &text }).unwrap();
        let mut client = Client::new(key, address, stack);
        let ice = Fragment::parse(&answer.sdp).unwrap().ice.unwrap();
        client.stack.start(self.now, (&ice.ufrag, &ice.pwd), self.node);
        self.clients.push(client);
        place
    }

    /// Opens and waits until both sides are connected.
    pub fn connect(&mut self, make: Make, publication: Option<usize>) -> usize {
        let place = self.open(make, publication);
        self.until_connected(place)
    }

    /// Opens from `address`, and waits until both sides are connected.
    pub fn connect_from(&mut self, address: SocketAddr, make: Make, publication: Option<usize>) -> usize {
        let place = self.open_from(address, make, publication);
        self.until_connected(place)
    }

    fn until_connected(&mut self, place: usize) -> usize {
        let key = self.clients[place].key;
        let deadline = self.now + Duration::from_secs(10);
        let connected = |net: &Self| {
            let event = |event: &Event| matches!(event, Event::SessionConnected { session, .. } if *session == key);
            net.events.iter().any(event) && net.clients[place].is_secure()
        };
        while !connected(self) {
            assert!(self.now < deadline, "client {place} did not connect: {:?}", self.engine.counters());
            self.step();
        }
        place
    }

    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step();
        }
    }

    /// Hands a datagram to the engine as if it came from `from`.
    pub fn inject(&mut self, from: SocketAddr, mut datagram: Vec<u8>) {
        let mut arena = Arena::default();
        self.engine.handle_datagram(self.now, from, &mut datagram, &mut arena);
        self.engine.flush(self.now, &mut arena);
        self.sent(arena);
    }

    /// Runs a command that sends.
    pub fn command(&mut self, run: impl FnOnce(&mut Engine, Instant, &mut Arena)) {
        let mut arena = Arena::default();
        run(&mut self.engine, self.now, &mut arena);
        self.sent(arena);
    }

    fn sent(&mut self, arena: Arena) {
        while let Some(event) = self.engine.poll_event() {
            self.events.push(event);
        }
        for (to, bytes) in arena.packets {
            self.sent_by_node.push((to, bytes.clone()));
            self.launch(self.node, to, bytes);
        }
    }

    fn launch(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let is_rtp = (128..=191).contains(&bytes[0]) && !(192..=223).contains(&bytes[1]);
        let loss = if to == self.node { self.loss_up } else { self.loss_down };
        if is_rtp && self.dice.chance(loss) {
            return;
        }
        let is_hello = bytes.get(..5) == Some(&[22, 0xfe, 0xfd, 0, 0]) && bytes.get(13) == Some(&1);
        let pieces = if self.cut_hellos && is_hello { cut_hello(&bytes) } else { vec![bytes] };
        for bytes in pieces {
            self.count += 1;
            self.flight.insert((self.now + self.delay, self.count), (from, to, bytes));
        }
    }

    /// One step of time.
    pub fn step(&mut self) {
        self.now += STEP;
        let mut arena = Arena::default();
        while let Some(entry) = self.flight.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (from, to, mut bytes) = entry.remove();
            if to == self.node {
                self.engine.handle_datagram(self.now, from, &mut bytes, &mut arena);
            } else if let Some(client) = self.clients.iter_mut().find(|client| client.hears(to)) {
                client.handle(self.now, &mut bytes);
            }
        }
        self.engine.flush(self.now, &mut arena);
        if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.engine.handle_timeout(self.now, &mut arena);
        }
        self.sent(arena);
        let mut out = Vec::new();
        for client in &mut self.clients {
            client.stack.tick(self.now);
            client.take_keys();
            while let Some(bytes) = client.stack.transmit() {
                out.push((client.address, bytes));
            }
            let media_from = client.old_address.unwrap_or(client.address);
            out.extend(client.outbox.drain(..).map(|bytes| (media_from, bytes)));
        }
        for (from, bytes) in out {
            self.launch(from, self.node, bytes);
        }
    }
}

/// Two records with one fragment each (RFC 6347, section 4.2.3). The second one's sequence number lies ahead, but
/// within the replay window, so that it collides with no other record.
fn cut_hello(record: &[u8]) -> Vec<Vec<u8>> {
    let body = &record[25..];
    let half = body.len() / 2;
    let piece = |ahead: u8, start: usize, body: &[u8]| {
        let bytes = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        let mut handshake = record[13..19].to_vec();
        handshake.extend(bytes(start));
        handshake.extend(bytes(body.len()));
        handshake.extend(body);
        let mut piece = record[..11].to_vec();
        piece[10] += ahead;
        piece.extend((handshake.len() as u16).to_be_bytes());
        piece.extend(handshake);
        piece
    };
    vec![piece(0, 0, &body[..half]), piece(32, half, &body[half..])]
}
