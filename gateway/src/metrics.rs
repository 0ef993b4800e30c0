//! What a gateway counts (`plenum_gateway_*`).

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

/// What went wrong between gateway and media node.
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

/// Why a room socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum SocketEnd {
    Client,
    Rebound,
    NodeLost,
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
    registry: Metrics,
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
        registry.register("node_errors", "Failed calls to media nodes", node_errors.clone());
        registry.register("socket_ends", "Room sockets that ended, by reason", socket_ends.clone());
        registry.register("ice_servers", "Answers to who asks for ICE servers, by outcome", ice_servers.clone());
        registry.register("relay_lost_messages", "Room sockets told that a relay is gone", relays_lost.clone());
        registry.register("rate_limited", "Requests refused because their source asked too often", limited.clone());
        registry.register("sockets", "Room sockets now", sockets.clone());
        registry.register("join_seconds", "From join to joined", join_seconds.clone());
        let registry = Arc::new(Mutex::new(registry));
        Self { opened, node_errors, socket_ends, ice_servers, relays_lost, limited, sockets, join_seconds, registry }
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

    pub(crate) fn socket_joined(&self, seconds: f64) {
        self.sockets.inc();
        self.join_seconds.observe(seconds);
    }

    pub(crate) fn socket_ended(&self, reason: SocketEnd) {
        self.sockets.dec();
        self.socket_ends.get_or_create(&EndLabels { reason }).inc();
    }
}
