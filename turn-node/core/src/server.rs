//! The server of one worker: owns allocations and all that is counted and timed about them.
//!
//! The parts: `requests` (who asks, and the answer), `allocate`, `lifetimes` (refresh, expiry, end), `grants`
//! (permissions and channels), `relaying` (data), `leaving` (what nobody uses). Single-threaded, but for the ledger of
//! its pod; no method waits for anything else or reads a clock.

mod allocate;
mod answers;
mod grants;
mod leaving;
mod lifetimes;
mod relaying;
mod requests;

use crate::allocation::Allocation;
use crate::answer_limit::AnswerLimit;
use crate::channel_data::ChannelData;
use crate::client::{ClientId, RelayId};
use crate::config::{CheckedConfig, ServerConfig};
use crate::counters::Counters;
use crate::ended::Ended;
use crate::event::Event;
use crate::io::Io;
use crate::nonce::Nonces;
use crate::port_pool::PortPool;
use crate::seeded::Seeded;
use crate::stun::{Class, Malformed, Message, method};
use crate::transactions::Transactions;
use plenum_protocol::relay::AllocationState;
use plenum_sansio::{Random, Timers, TokenBucket};
use rustc_hash::FxHashMap;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An allocation may send what its rate brings in this time at once: a keyframe is many times an average frame.
const BANDWIDTH_BURST: Duration = Duration::from_secs(2);

/// One worker's server. See the crate's documentation for how to drive it.
pub struct Server {
    config: ServerConfig,
    relay: Option<Arc<CheckedConfig>>,
    nonces: Nonces,
    limit: AnswerLimit,
    random: Random,
    transactions: Transactions,
    allocations: Slab<Allocation>,
    clients: HashMap<ClientId, usize, Seeded>,
    by_port: FxHashMap<u16, usize>,
    ports: PortPool,
    ended: Ended,
    timers: Timers,
    events: VecDeque<Event>,
    counters: Counters,
    begun: Instant,
    /// While no allocations are taken: when unused ones are looked for.
    next_look: Option<Instant>,
}

/// A message with everything that is known where it is handled.
#[derive(Clone, Copy)]
struct Received<'a> {
    now: Instant,
    unix: u64,
    client: ClientId,
    message: &'a Message<'a>,
}

impl Server {
    /// A server that answers nothing until it is configured.
    #[must_use]
    pub fn new(config: ServerConfig, now: Instant) -> Self {
        let mut random = Random::new(&config.seed);
        let transactions = Transactions::new(random.u64());
        let mut seeded = || Seeded(random.u64(), random.u64());
        let (hashers, clients) = ([seeded(), seeded()], seeded());
        let limits = config.limits;
        Self {
            relay: None,
            nonces: Nonces::new(&config.nonce_key, config.worker, limits.nonce_lifetime),
            limit: AnswerLimit::new(limits.answers_per_prefix, limits.answers, hashers, now),
            random,
            transactions,
            allocations: Slab::new(),
            clients: HashMap::with_hasher(clients),
            by_port: FxHashMap::default(),
            ports: PortPool::new(config.ports, limits.port_rest),
            ended: Ended::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
            counters: Counters::default(),
            begun: now,
            next_look: None,
            config,
        }
    }

    /// Takes a configuration, live: peers that it forbids lose their permissions and channels at once, and bandwidth
    /// bounds change; everything else holds for what comes from now on. Secrets and realm of living allocations stay
    /// those that they were made with.
    pub fn configure(&mut self, relay: Arc<CheckedConfig>) {
        for (_, allocation) in &mut self.allocations {
            self.counters.revoked += allocation.judge_again(relay.peers()) as u64;
            allocation.bandwidth.set_rate(bits_per_second(&relay), BANDWIDTH_BURST);
        }
        self.set_leaving(!relay.accepting);
        self.relay = Some(relay);
    }

    /// Handles one message of a client: a datagram, or a frame of a stream (see [`crate::frame_len`]).
    /// `unix` is the time in seconds since 1970: credentials and nonces expire by it.
    pub fn handle_client(&mut self, now: Instant, unix: u64, client: ClientId, message: &[u8], io: &mut impl Io) {
        if self.relay.is_none() {
            self.counters.drops.unconfigured += 1;
        } else if ChannelData::looks_so(message) {
            self.handle_channel_data(now, client, message, io);
        } else {
            match Message::parse(message) {
                Ok(message) => self.handle_message(Received { now, unix, client, message: &message }, io),
                Err(Malformed::Fingerprint) => self.counters.drops.fingerprint += 1,
                Err(Malformed::Structure) => self.drop_malformed(client, io),
            }
        }
    }

    fn handle_message(&mut self, received: Received<'_>, io: &mut impl Io) {
        let Received { message, .. } = received;
        match (message.class, message.method) {
            (Class::Indication, method::SEND) => self.handle_send(received, io),
            (Class::Indication, method::BINDING) => self.counters.keep_alives += 1,
            (Class::Request, method::BINDING) => self.handle_binding(received, io),
            (Class::Request, _) => self.handle_request(received, io),
            _ => self.counters.drops.unexpected += 1,
        }
    }

    /// In a stream nothing that follows can be trusted to begin where it seems to.
    fn drop_malformed(&mut self, client: ClientId, io: &mut impl Io) {
        self.counters.drops.malformed += 1;
        if client.is_stream() {
            io.close_client(client);
        }
    }

    /// The next event. Drain it after every batch: nothing bounds what waits here.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Server::handle_timeout`] is due. May be early, never late.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.next_look).min()
    }

    /// The allocation with this relay port, with its bytes so far.
    #[must_use]
    pub fn allocation(&self, port: u16) -> Option<AllocationState> {
        self.by_port.get(&port).and_then(|slot| self.allocations.get(*slot)).map(Allocation::state)
    }

    /// All allocations, in no order.
    pub fn allocations(&self) -> impl Iterator<Item = AllocationState> {
        self.allocations.iter().map(|(_, allocation)| allocation.state())
    }

    /// How many allocations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.allocations.len()
    }

    /// There is no allocation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }

    /// Whether this client has an allocation: a stream without one may be closed when its owner needs the place.
    #[must_use]
    pub fn knows(&self, client: ClientId) -> bool {
        self.clients.contains_key(&client)
    }

    /// Totals since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What the network can make this server remember, in entries.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let allocations = || self.allocations.iter().map(|(_, allocation)| allocation);
        Memory {
            allocations: self.allocations.len(),
            clients: self.clients.len(),
            relay_ports: self.by_port.len(),
            free_ports: self.ports.len(),
            quota_entries: self.config.ledger.entries(),
            timers: self.timers.len(),
            permissions: allocations().map(|it| it.permissions.len()).sum(),
            channels: allocations().map(|it| it.channels.len()).sum(),
            remembered_ends: self.ended.len(),
        }
    }

    fn slot(&self, client: ClientId) -> Option<usize> {
        self.clients.get(&client).copied()
    }
}

/// What a server remembers, in entries: for tests and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Allocations.
    pub allocations: usize,
    /// Clients with an allocation: as many.
    pub clients: usize,
    /// Relay ports in use: as many.
    pub relay_ports: usize,
    /// Relay ports that are free or rest.
    pub free_ports: usize,
    /// Users and client addresses in the pod's ledger: at most twice as many as the pod's allocations.
    pub quota_entries: usize,
    /// Wake-ups: as many as allocations.
    pub timers: usize,
    /// Permissions of all allocations.
    pub permissions: usize,
    /// Channels of all allocations.
    pub channels: usize,
    /// Ends that are remembered for requests that are sent again: at most 256.
    pub remembered_ends: usize,
}

impl Memory {
    /// Every figure with a stable name for a metric label.
    #[must_use]
    pub fn named(&self) -> [(&'static str, usize); 9] {
        [
            ("Allocations", self.allocations),
            ("Clients", self.clients),
            ("RelayPorts", self.relay_ports),
            ("FreePorts", self.free_ports),
            ("QuotaEntries", self.quota_entries),
            ("Timers", self.timers),
            ("Permissions", self.permissions),
            ("Channels", self.channels),
            ("RememberedEnds", self.remembered_ends),
        ]
    }
}

fn bits_per_second(relay: &CheckedConfig) -> u64 {
    u64::from(relay.quotas.kbps_per_allocation) * 1_000
}

/// The bandwidth of a new allocation.
fn bandwidth(relay: &CheckedConfig, now: Instant) -> TokenBucket {
    TokenBucket::new(bits_per_second(relay), BANDWIDTH_BURST, now)
}

/// Allocations are fewer than ports, so their slots fit.
fn relay_id(slot: usize) -> RelayId {
    RelayId(u32::try_from(slot).unwrap_or(u32::MAX))
}
