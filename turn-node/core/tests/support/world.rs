//! The server with its surroundings: configuration, time, and what was sent.

use super::client::{Answer, Client};
use super::fake_io::FakeIo;
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{PeerEndpoint, PeerRule, RelayConfig, RelayPeers, RelayQuotas, RelaySecret};
use plenum_protocol::turn::{RelayTransport, Scope, Username, password};
use plenum_testing::some_moment;
use plenum_turn_core::{CheckedConfig, ClientId, Event, Ledger, Limits, RelayId, Server, ServerConfig};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const REALM: &str = "plenum";
pub const SECRET: &str = "north";
/// Seconds since 1970 when a world begins.
pub const BEGIN: u64 = 1_700_000_000;
/// The pod's own addresses.
pub const POD_V4: &str = "10.8.0.1";
pub const POD_V6: &str = "fd00:8::1";
/// What clients are told.
pub const OUTSIDE_V4: &str = "198.51.100.1";
pub const OUTSIDE_V6: &str = "2001:db8:1::1";
/// A media endpoint: as clients know it, and where it is.
pub const MEDIA: &str = "198.51.100.7:20000";
pub const MEDIA_INSIDE: &str = "10.0.0.7:20000";
/// A peer on the internet.
pub const PUBLIC: &str = "8.8.8.8:4000";

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn rule(cidr: &str) -> PeerRule {
    PeerRule { cidr: cidr.into(), ports: None }
}

pub fn relay_config() -> RelayConfig {
    RelayConfig {
        outside_addresses: vec![ip(OUTSIDE_V4), ip(OUTSIDE_V6)],
        realm: REALM.into(),
        secrets: vec![RelaySecret(SECRET.into())],
        peers: RelayPeers {
            media: vec![PeerEndpoint {
                outside: vec![ip("198.51.100.7"), ip("2001:db8:7::7")],
                inside: ip("10.0.0.7"),
                ports: PortRange { min: 20_000, max: 20_001 },
            }],
            ..RelayPeers::default()
        },
        quotas: RelayQuotas {
            allocations: 100,
            allocations_per_user: 100,
            allocations_per_address: 100,
            kbps_per_allocation: 0,
        },
        max_lifetime_seconds: 86_400,
        accepting: true,
    }
}

pub fn server_config() -> ServerConfig {
    ServerConfig {
        worker: 3,
        ledger: Arc::new(Ledger::new(&[7; 32])),
        bind: vec![ip(POD_V4), ip(POD_V6)],
        ports: PortRange { min: 50_000, max: 50_099 },
        nonce_key: [5; 32],
        seed: [6; 32],
        limits: Limits::default(),
    }
}

pub struct World {
    pub server: Server,
    pub io: FakeIo,
    pub now: Instant,
    pub unix: u64,
    pub relay: RelayConfig,
    begin: Instant,
    next_stream: u32,
    pub events: Vec<Event>,
}

impl World {
    pub fn new() -> Self {
        Self::with(server_config(), relay_config())
    }

    pub fn with(config: ServerConfig, relay: RelayConfig) -> Self {
        let begin = some_moment();
        let mut world = Self {
            server: Server::new(config, begin),
            io: FakeIo::default(),
            now: begin,
            unix: BEGIN,
            relay,
            begin,
            next_stream: 0,
            events: Vec::new(),
        };
        world.push(|_| {});
        world
    }

    /// Changes the configuration and pushes it.
    pub fn push(&mut self, change: impl FnOnce(&mut RelayConfig)) {
        change(&mut self.relay);
        let checked = CheckedConfig::new(&self.relay, &[ip(POD_V4), ip(POD_V6)]).unwrap();
        self.server.configure(Arc::new(checked));
    }

    /// Time goes by; what is due is done in time.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.server.poll_timeout().filter(|due| *due <= end) {
            self.set_time(due.max(self.now));
            self.server.handle_timeout(self.now, &mut self.io);
            assert!(self.server.poll_timeout().is_none_or(|next| next > self.now), "time goes on");
        }
        self.set_time(end);
        self.drain();
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
        self.unix = BEGIN + (now - self.begin).as_secs();
    }

    fn drain(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
    }

    pub fn username(&self, session: &str, scope: Option<Scope>) -> String {
        Username { expires: self.unix + 3_600, session, scope }.to_string()
    }

    /// A client with good credentials, that has not spoken yet.
    pub fn client(&mut self, transport: RelayTransport, remote: &str, session: &str, scope: Option<Scope>) -> Client {
        let stream = if transport == RelayTransport::Udp { 0 } else { self.next_stream + 1 };
        self.next_stream = self.next_stream.max(stream);
        let id = ClientId { transport, remote: address(remote), stream };
        let username = self.username(session, scope);
        let password = password(SECRET.as_bytes(), &username);
        Client::new(id, &username, &password)
    }

    /// A client of scope `peers` with an allocation, over UDP.
    pub fn allocated(&mut self) -> Client {
        let mut client = self.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_1", Some(Scope::Peers));
        assert!(client.allocate(self).is_success());
        client
    }

    /// Hands a message to the server, as it is.
    pub fn deliver(&mut self, client: ClientId, message: &[u8]) {
        self.server.handle_client(self.now, self.unix, client, message, &mut self.io);
        self.drain();
    }

    /// Hands a message to the server and takes the one answer to it.
    pub fn exchange(&mut self, client: ClientId, message: &[u8]) -> Option<Answer> {
        let before = self.io.to_clients.len();
        self.deliver(client, message);
        let answers: Vec<_> = self.io.to_clients.drain(before..).collect();
        assert!(answers.len() <= 1, "one request, one answer: {answers:?}");
        let (to, bytes) = answers.into_iter().next()?;
        assert_eq!(to, client);
        Some(Answer::parse(&bytes))
    }

    /// A peer sends to the relay of the allocation with this port.
    pub fn peer_sends(&mut self, port: u16, from: &str, payload: &[u8]) {
        let relay = self.relay_of(port);
        self.server.handle_peer(self.now, relay, address(from), payload, &mut self.io);
    }

    pub fn relay_of(&self, port: u16) -> RelayId {
        *self.io.relays.iter().find(|(_, local)| local.port() == port).expect("an open relay").0
    }

    /// What peers got, and forgets it.
    pub fn at_peers(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.io.to_peers.drain(..).map(|(_, to, bytes)| (to, bytes)).collect()
    }

    /// What clients got, and forgets it.
    pub fn at_clients(&mut self) -> Vec<Vec<u8>> {
        self.io.to_clients.drain(..).map(|(_, bytes)| bytes).collect()
    }

    pub fn gone(&mut self, client: &Client) {
        self.server.client_gone(self.now, client.id, &mut self.io);
        self.drain();
    }

    /// What must hold whenever the server rests.
    pub fn check(&self) {
        let memory = self.server.memory();
        assert_eq!(self.io.relays.len(), memory.allocations, "{memory:?}");
        assert_eq!(
            (memory.clients, memory.relay_ports, memory.timers),
            (memory.allocations, memory.allocations, memory.allocations)
        );
        assert!(memory.quota_entries <= 2 * memory.allocations, "{memory:?}");
        assert!(
            memory.permissions <= 64 * memory.allocations && memory.channels <= 64 * memory.allocations,
            "{memory:?}"
        );
        assert!(memory.remembered_ends <= 256, "{memory:?}");
        assert!(memory.allocations <= self.relay.quotas.allocations as usize, "{memory:?}");
    }
}
