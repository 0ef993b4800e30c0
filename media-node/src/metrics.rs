//! What Prometheus is told (`plenum_media_…`). Read at each scrape from the registry and the workers' last counts.

use crate::node::Node;
use crate::worker::Snapshot;
use plenum_runtime::node::Pod;
use plenum_runtime::node::metrics::{Counted, by_reason, by_worker, counter, gauge, gauges, registry as node_registry};
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// A registry with everything of this node.
pub(crate) fn registry(node: &Arc<Node>, pod: &Pod) -> Registry {
    let scraped = Arc::clone(node);
    let mut registry = node_registry("plenum_media", pod, move |encoder| encode(&scraped, encoder));
    registry.register("handshake_seconds", "From the opening of a session to its connection", node.handshakes.clone());
    registry
}

/// Counters by worker.
const COUNTERS: [Counted<Snapshot>; 19] = [
    ("received_datagrams", "Datagrams received", |s| s.received.datagrams),
    ("received_bytes", "Payload bytes received", |s| s.received.bytes),
    ("receive_calls", "recvmmsg calls that brought something", |s| s.received.calls),
    ("receive_messages", "Messages received: trains or single datagrams", |s| s.received.messages),
    ("receive_errors", "Errors told by the socket", |s| s.received.errors),
    ("sent_packets", "Packets sent", |s| s.sent.packets),
    ("sent_bytes", "Payload bytes sent", |s| s.sent.bytes),
    ("send_calls", "sendmmsg calls", |s| s.sent.calls),
    ("send_messages", "Messages sent: trains or single packets", |s| s.sent.messages),
    ("send_refused_trains", "Trains that the kernel refused and that went as single packets", |s| {
        s.sent.refused_trains
    }),
    ("rtp_received_packets", "RTP packets accepted from publishers", |s| s.engine.rtp_received),
    ("rtp_forwarded_packets", "RTP packets sent to subscribers, resends included", |s| s.engine.rtp_forwarded),
    ("rtp_resent_packets", "RTP packets sent again because a subscriber asked", |s| s.engine.rtp_resent),
    ("nack_misses", "Packets asked for that were not in the cache any more", |s| s.engine.nack_misses),
    ("nacks_sent", "Packets that publishers were asked to send again", |s| s.engine.nacks_sent),
    ("keyframes_wanted", "Keyframe requests (PLI) of subscribers", |s| s.engine.keyframes_wanted),
    ("keyframes_requested", "Keyframe requests (PLI) sent to publishers", |s| s.engine.keyframes_requested),
    ("sessions_connected", "Sessions whose transport connected", |s| s.engine.sessions_connected),
    ("sessions_lost", "Sessions ended by the engine itself", |s| s.engine.sessions_lost),
];

/// Drops outside the engine, by reason.
fn socket_drops(snapshot: &Snapshot) -> [(&'static str, u64); 4] {
    [
        ("ReceiveUnusable", snapshot.received.unusable),
        ("ReceiveOverflow", snapshot.received.overflowed),
        ("SendQueueFull", snapshot.sent.dropped_full),
        ("SendRefused", snapshot.sent.dropped_errors),
    ]
}

fn encode(node: &Node, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (totals, too_slow) = node.read(|rooms| (rooms.totals(), rooms.too_slow()));
    let snapshots = node.snapshots();
    gauge(encoder, ("rooms", "Rooms with a grant"), totals.rooms)?;
    gauge(encoder, ("participants", "People on the node"), totals.participants)?;
    let sessions = ["Publisher", "Subscriber"].into_iter().zip(totals.sessions).flat_map(|(role, states)| {
        let states = ["Connecting", "Connected"].into_iter().zip(states);
        states.map(move |(state, count)| ([("role", role), ("state", state)], count))
    });
    gauges(encoder, ("sessions", "WebRTC sessions"), sessions)?;
    let legs = [([("kind", "Direct")], totals.legs.direct), ([("kind", "Relayed")], totals.legs.relayed)];
    gauges(encoder, ("legs", "Connected sessions by path"), legs)?;
    counter(encoder, ("slow_sockets", "Room sockets let go because they were not read"), too_slow)?;
    by_worker(encoder, &COUNTERS, &snapshots)?;
    by_reason(encoder, ("drops", "Datagrams and packets dropped, by reason"), &snapshots, |one| {
        one.engine.drops.named().into_iter().chain(socket_drops(one))
    })
}
