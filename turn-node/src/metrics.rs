//! What Prometheus is told (`plenum_turn_…`). Read at each scrape from the node and the workers' last counts. No
//! addresses, no users.

use crate::node::{Node, TRANSPORTS};
use crate::settings::Settings;
use crate::worker::Snapshot;
use plenum_turn_core::{Method, Outcome};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// A registry with everything of this node.
pub(crate) fn registry(node: &Arc<Node>, settings: &Settings) -> Registry {
    let mut registry = Registry::with_prefix("plenum_turn");
    let labels = vec![
        ("pod", settings.pod_name.clone()),
        ("namespace", settings.pod_namespace.clone()),
        ("node", settings.node_name.clone()),
    ];
    registry.register("pod", "Where this TURN node runs", Info::new(labels));
    registry.register_collector(Box::new(NodeCollector(Arc::clone(node))));
    registry
}

struct NodeCollector(Arc<Node>);

impl fmt::Debug for NodeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeCollector")
    }
}

/// Name, help, and where the count is in a worker's snapshot.
type Counted = (&'static str, &'static str, fn(&Snapshot) -> u64);

/// Counters by worker.
const COUNTERS: [Counted; 20] = [
    ("received_datagrams", "Datagrams of clients received over UDP", |s| s.received.listeners.datagrams),
    ("received_bytes", "Payload bytes of clients received over UDP", |s| s.received.listeners.bytes),
    ("receive_calls", "recvmmsg calls at listeners that brought something", |s| s.received.listeners.calls),
    ("receive_messages", "Messages received at listeners: trains or single datagrams", |s| {
        s.received.listeners.messages
    }),
    ("relay_received_datagrams", "Datagrams of peers received", |s| s.received.relays.datagrams),
    ("relay_receive_calls", "recvmmsg calls at relay sockets that brought something", |s| s.received.relays.calls),
    ("relay_receive_messages", "Messages received at relay sockets: trains or single datagrams", |s| {
        s.received.relays.messages
    }),
    ("receive_errors", "Errors told by UDP sockets", |s| s.received.listeners.errors + s.received.relays.errors),
    ("sent_packets", "UDP packets sent, to clients and peers", |s| s.sent.packets),
    ("sent_bytes", "UDP payload bytes sent, to clients and peers", |s| s.sent.bytes),
    ("send_calls", "sendmmsg calls", |s| s.sent.calls),
    ("send_messages", "Messages sent: trains or single packets", |s| s.sent.messages),
    ("send_refused_trains", "Trains that the kernel refused and that went as single packets", |s| {
        s.sent.refused_trains
    }),
    ("requests_replayed", "Requests that came again and got their first answer again", |s| s.server.replayed),
    ("keep_alives", "Indications that only keep a NAT open", |s| s.server.keep_alives),
    ("allocations_expired", "Allocations that were not refreshed, or lived as long as they may", |s| s.server.expired),
    ("allocations_idle", "Allocations that the leaving node ended, since they carried nothing", |s| s.server.idle),
    ("permissions_revoked", "Permissions and channels that a new configuration took away", |s| s.server.revoked),
    ("connections_accepted", "TCP and TLS connections taken", |s| s.streams.accepted),
    ("quota_refusals", "Requests refused for a quota (486)", quota_refusals),
];

fn quota_refusals(snapshot: &Snapshot) -> u64 {
    Method::ALL.iter().map(|method| snapshot.server.requests(*method, Outcome::QuotaReached)).sum()
}

/// Drops outside the server, by reason.
fn socket_drops(snapshot: &Snapshot) -> [(&'static str, u64); 5] {
    let received = snapshot.received;
    [
        ("ReceiveUnusable", received.listeners.unusable + received.relays.unusable),
        ("ReceiveOverflow", received.listeners.overflowed + received.relays.overflowed),
        ("SendQueueFull", snapshot.sent.dropped_full),
        ("SendRefused", snapshot.sent.dropped_errors),
        ("SlowStream", snapshot.streams.slow),
    ]
}

/// Connections that were not taken or ended by the node, by reason.
fn ended_connections(snapshot: &Snapshot) -> [(&'static str, u64); 5] {
    [
        ("NoPlace", snapshot.streams.refused_full),
        ("SourceHasEnough", snapshot.streams.refused_source),
        ("TlsFailed", snapshot.streams.failed_tls),
        ("NotTurn", snapshot.streams.broken),
        ("NoAllocation", snapshot.streams.useless),
    ]
}

impl Collector for NodeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.0.totals();
        let snapshots = self.0.load().snapshots.clone();
        let allocations = [("UDP", totals.udp), ("TCP", totals.tcp), ("TLS", totals.tls)];
        gauges(&mut encoder, ("allocations", "Allocations, by the transport of their client"), &allocations)?;
        let open = |count: fn(&Snapshot) -> usize| snapshots.iter().map(count).sum::<usize>();
        let connections = [("TCP", open(|s| s.streams.tcp)), ("TLS", open(|s| s.streams.tls))];
        gauges(&mut encoder, ("connections", "Open connections of clients"), &connections)?;
        for (name, help, count) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (worker, snapshot) in snapshots.iter().enumerate() {
                let labels = [("worker", worker.to_string())];
                ConstCounter::new(count(snapshot)).encode(family.encode_family(&labels)?)?;
            }
        }
        encode_relayed(&mut encoder, &snapshots)?;
        encode_requests(&mut encoder, &snapshots)?;
        let drops = |s: &Snapshot| s.server.drops.named().into_iter().chain(socket_drops(s)).collect::<Vec<_>>();
        reasons(&mut encoder, ("drops", "Messages and packets dropped, by reason"), &snapshots, drops)?;
        let help = "Connections that were not taken or ended by the node, by reason";
        reasons(&mut encoder, ("connections_refused", help), &snapshots, |s| ended_connections(s).to_vec())
    }
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    values: &[(&'static str, usize)],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (transport, value) in values {
        let gauge = ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX));
        gauge.encode(family.encode_family(&[("transport", *transport)])?)?;
    }
    Ok(())
}

/// Counters by worker and reason.
fn reasons(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    snapshots: &[Snapshot],
    counts: impl Fn(&Snapshot) -> Vec<(&'static str, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (worker, snapshot) in snapshots.iter().enumerate() {
        let worker = worker.to_string();
        for (reason, count) in counts(snapshot) {
            let labels = [("worker", worker.as_str()), ("reason", reason)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_relayed(encoder: &mut DescriptorEncoder<'_>, snapshots: &[Snapshot]) -> fmt::Result {
    type Direction = (&'static str, fn(&plenum_turn_core::Relayed) -> u64);
    const PACKETS: [Direction; 2] = [("ToPeers", |r| r.packets_to_peers), ("ToClients", |r| r.packets_to_clients)];
    const BYTES: [Direction; 2] = [("ToPeers", |r| r.bytes_to_peers), ("ToClients", |r| r.bytes_to_clients)];
    let families = [
        ("relayed_packets", "Packets relayed, by the client's transport and direction", PACKETS),
        ("relayed_bytes", "Payload bytes relayed, by the client's transport and direction", BYTES),
    ];
    for (name, help, directions) in families {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (worker, snapshot) in snapshots.iter().enumerate() {
            for transport in TRANSPORTS {
                let relayed = snapshot.server.relayed(transport);
                for (direction, count) in directions {
                    let (worker, transport) = (worker.to_string(), transport.to_string());
                    let labels =
                        [("worker", worker.as_str()), ("transport", transport.as_str()), ("direction", direction)];
                    ConstCounter::new(count(&relayed)).encode(family.encode_family(&labels)?)?;
                }
            }
        }
    }
    Ok(())
}

fn encode_requests(encoder: &mut DescriptorEncoder<'_>, snapshots: &[Snapshot]) -> fmt::Result {
    let help = "Requests, by method and outcome (code 0: success)";
    let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for (worker, snapshot) in snapshots.iter().enumerate() {
        let worker = worker.to_string();
        for method in Method::ALL {
            for outcome in Outcome::ALL {
                let code = outcome.code().to_string();
                let labels = [
                    ("worker", worker.as_str()),
                    ("method", method.as_str()),
                    ("outcome", outcome.as_str()),
                    ("code", code.as_str()),
                ];
                ConstCounter::new(snapshot.server.requests(method, outcome)).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}
