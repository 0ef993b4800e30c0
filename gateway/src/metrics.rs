//! What a gateway counts (`plenum_gateway_*`).

use plenum_protocol::room::RejoinReason;
use plenum_runtime::probes::Metrics;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex};

/// Buckets of the join latency, in seconds.
const JOIN_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: Kind,
    result: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    error: NodeError,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    reason: SocketEnd,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IceLabels {
    outcome: IceOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MoveLabels {
    to: PeerMove,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Kind {
    Whip,
    Whep,
    Socket,
    Token,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    Ok,
    /// The client's fault (4xx).
    Refused,
    /// Ours (5xx).
    Failed,
}

/// What went wrong between gateway and media node, or the home of a peer-to-peer room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum NodeError {
    NotGranted,
    Transport,
    Timeout,
    Malformed,
}

/// What a client was told of ICE servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum IceOutcome {
    /// A relay with credentials.
    Relay,
    /// STUN: the room's policy is Never.
    StunOnly,
    /// Nothing: no relay that the room may use is ready.
    NoRelay,
    /// Its source asks too often.
    Limited,
    /// There is no such room.
    Refused,
}

/// Why a peer-to-peer room left this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum PeerMove {
    Home,
    Upgraded,
}

/// Why a room socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum SocketEnd {
    Client,
    Rebound,
    NodeLost,
    HomeMoved,
    Upgraded,
    Room,
    Shutdown,
}

/// The metrics. Clones share them.
#[derive(Clone)]
pub struct Counters {
    opened: Family<Labels, Counter>,
    node_errors: Family<ErrorLabels, Counter>,
    socket_ends: Family<EndLabels, Counter>,
    ice_servers: Family<IceLabels, Counter>,
    relays_lost: Counter,
    limited: Counter,
    sockets: Gauge,
    join_seconds: Histogram,
    peers: PeerCounters,
    registry: Metrics,
}

/// What a gateway counts as a home.
#[derive(Clone, Default)]
struct PeerCounters {
    rooms: Gauge,
    signals: Counter,
    refused: Counter,
    too_slow: Counter,
    moves: Family<MoveLabels, Counter>,
}

impl PeerCounters {
    fn register(registry: &mut Registry) -> Self {
        let own = Self::default();
        registry.register("peer_rooms", "Peer-to-peer rooms that this gateway is home of, now", own.rooms.clone());
        registry.register("peer_signals", "Signals passed on between peers", own.signals.clone());
        registry.register("peer_refused", "Joins that the home of a room refused", own.refused.clone());
        registry.register("peer_too_slow", "Peers that did not read their messages", own.too_slow.clone());
        registry.register("peer_room_moves", "Peer-to-peer rooms that left this gateway", own.moves.clone());
        own
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// Makes and registers them.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("plenum_gateway");
        let (opened, node_errors, socket_ends) = (Family::default(), Family::default(), Family::default());
        let (ice_servers, relays_lost) = (Family::default(), Counter::default());
        let (limited, sockets, join_seconds) = (Counter::default(), Gauge::default(), Histogram::new(JOIN_BUCKETS));
        registry.register("opened", "Sessions, sockets and tokens asked for, by kind and result", opened.clone());
        registry.register(
            "node_errors",
            "Failed calls to media nodes and homes of peer-to-peer rooms",
            node_errors.clone(),
        );
        registry.register("socket_ends", "Room sockets that ended, by reason", socket_ends.clone());
        registry.register("ice_servers", "Answers to who asks for ICE servers, by outcome", ice_servers.clone());
        registry.register("relay_lost_messages", "Room sockets told that a relay is gone", relays_lost.clone());
        registry.register("rate_limited", "Requests refused because their source asked too often", limited.clone());
        registry.register("sockets", "Room sockets now", sockets.clone());
        registry.register("join_seconds", "From join to joined", join_seconds.clone());
        let peers = PeerCounters::register(&mut registry);
        let registry = Arc::new(Mutex::new(registry));
        Self {
            opened,
            node_errors,
            socket_ends,
            ice_servers,
            relays_lost,
            limited,
            sockets,
            join_seconds,
            peers,
            registry,
        }
    }

    pub(crate) fn registry(&self) -> Metrics {
        Arc::clone(&self.registry)
    }

    /// Counts a result by its HTTP status.
    pub(crate) fn opened<T>(&self, kind: Kind, result: &Result<T, plenum_signaling::Refusal>) {
        let result = match result {
            Ok(_) => Outcome::Ok,
            Err(refusal) if refusal.problem.status < 500 => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        self.opened.get_or_create(&Labels { kind, result }).inc();
    }

    pub(crate) fn node_error(&self, error: NodeError) {
        self.node_errors.get_or_create(&ErrorLabels { error }).inc();
    }

    pub(crate) fn ice_servers(&self, outcome: IceOutcome) {
        self.ice_servers.get_or_create(&IceLabels { outcome }).inc();
    }

    pub(crate) fn told_relay_lost(&self) {
        self.relays_lost.inc();
    }

    pub(crate) fn limited(&self) {
        self.limited.inc();
    }

    pub(crate) fn peer_room_began(&self) {
        self.peers.rooms.inc();
    }

    pub(crate) fn peer_room_ended(&self) {
        self.peers.rooms.dec();
    }

    pub(crate) fn peer_room_left(&self, reason: RejoinReason) {
        let to = if reason == RejoinReason::Upgraded { PeerMove::Upgraded } else { PeerMove::Home };
        self.peers.moves.get_or_create(&MoveLabels { to }).inc();
    }

    pub(crate) fn signal(&self) {
        self.peers.signals.inc();
    }

    pub(crate) fn peer_refused(&self) {
        self.peers.refused.inc();
    }

    pub(crate) fn peer_too_slow(&self) {
        self.peers.too_slow.inc();
    }

    pub(crate) fn socket_joined(&self, seconds: f64) {
        self.sockets.inc();
        self.join_seconds.observe(seconds);
    }

    pub(crate) fn socket_ended(&self, reason: SocketEnd) {
        self.sockets.dec();
        self.socket_ends.get_or_create(&EndLabels { reason }).inc();
    }
}
