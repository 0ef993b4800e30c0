//! What Prometheus is told (`plenum_turn_…`). Read at each scrape from the node and the workers' last counts. No
//! addresses, no users.

use crate::node::{Node, TRANSPORTS};
use crate::worker::Snapshot;
use plenum_runtime::node::Pod;
use plenum_runtime::node::metrics::{Counted, by_reason, by_worker, counters, gauges, registry as node_registry};
use plenum_turn_core::{Method, Outcome, Relayed};
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// A registry with everything of this node.
pub(crate) fn registry(node: &Arc<Node>, pod: &Pod) -> Registry {
    let scraped = Arc::clone(node);
    node_registry("plenum_turn", pod, move |encoder| encode(&scraped, encoder))
}

/// Counters by worker.
const COUNTERS: [Counted<Snapshot>; 20] = [
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

fn encode(node: &Node, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (totals, snapshots) = (node.totals(), node.snapshots());
    let transport = |name, count| ([("transport", name)], count);
    let allocations = [transport("UDP", totals.udp), transport("TCP", totals.tcp), transport("TLS", totals.tls)];
    gauges(encoder, ("allocations", "Allocations, by the transport of their client"), allocations)?;
    let open = |count: fn(&Snapshot) -> usize| snapshots.iter().map(count).sum::<usize>();
    let connections = [transport("TCP", open(|s| s.streams.tcp)), transport("TLS", open(|s| s.streams.tls))];
    gauges(encoder, ("connections", "Open connections of clients"), connections)?;
    let memory = snapshots.iter().enumerate().flat_map(|(worker, one)| {
        one.memory.named().map(|(what, count)| ([("worker", worker.to_string()), ("of", what.to_owned())], count))
    });
    gauges(encoder, ("memory_entries", "What workers remember, in entries; those of quotas are the pod's"), memory)?;
    by_worker(encoder, &COUNTERS, &snapshots)?;
    encode_relayed(encoder, &snapshots)?;
    encode_requests(encoder, &snapshots)?;
    by_reason(encoder, ("drops", "Messages and packets dropped, by reason"), &snapshots, |one| {
        one.server.drops.named().into_iter().chain(socket_drops(one))
    })?;
    let refused = ("connections_refused", "Connections that were not taken or ended by the node, by reason");
    by_reason(encoder, refused, &snapshots, ended_connections)
}

fn encode_relayed(encoder: &mut DescriptorEncoder<'_>, snapshots: &[Snapshot]) -> fmt::Result {
    type Direction = (&'static str, fn(&Relayed) -> u64);
    const PACKETS: [Direction; 2] = [("ToPeers", |r| r.packets_to_peers), ("ToClients", |r| r.packets_to_clients)];
    const BYTES: [Direction; 2] = [("ToPeers", |r| r.bytes_to_peers), ("ToClients", |r| r.bytes_to_clients)];
    let families = [
        ("relayed_packets", "Packets relayed, by the client's transport and direction", PACKETS),
        ("relayed_bytes", "Payload bytes relayed, by the client's transport and direction", BYTES),
    ];
    for (name, help, directions) in families {
        let all = snapshots.iter().enumerate().flat_map(|(worker, one)| TRANSPORTS.map(|by| (worker, one, by)));
        let counts = all.flat_map(|(worker, one, by)| {
            directions.map(|(direction, count)| {
                let labels = [
                    ("worker", worker.to_string()),
                    ("transport", by.to_string()),
                    ("direction", direction.to_owned()),
                ];
                (labels, count(&one.server.relayed(by)))
            })
        });
        counters(encoder, (name, help), counts)?;
    }
    Ok(())
}

fn encode_requests(encoder: &mut DescriptorEncoder<'_>, snapshots: &[Snapshot]) -> fmt::Result {
    let all = snapshots.iter().enumerate().flat_map(|(worker, one)| Method::ALL.map(|method| (worker, one, method)));
    let counts = all.flat_map(|(worker, one, method)| {
        Outcome::ALL.map(|outcome| {
            let labels = [
                ("worker", worker.to_string()),
                ("method", method.as_str().to_owned()),
                ("outcome", outcome.as_str().to_owned()),
                ("code", outcome.code().to_string()),
            ];
            (labels, one.server.requests(method, outcome))
        })
    });
    counters(encoder, ("requests", "Requests, by method and outcome (code 0: success)"), counts)
}
