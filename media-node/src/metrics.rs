//! What Prometheus is told (`plenum_media_…`). Read at each scrape from the registry and the workers' last counts.

use crate::node::Node;
use crate::rooms::Legs;
use crate::settings::Settings;
use crate::worker::Snapshot;
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
    let mut registry = Registry::with_prefix("plenum_media");
    let labels = vec![
        ("pod", settings.pod_name.clone()),
        ("namespace", settings.pod_namespace.clone()),
        ("node", settings.node_name.clone()),
    ];
    registry.register("pod", "Where this media node runs", Info::new(labels));
    registry.register("handshake_seconds", "From the opening of a session to its connection", node.handshakes.clone());
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
const COUNTERS: [Counted; 19] = [
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

impl Collector for NodeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (totals, too_slow) = self.0.read(|rooms| (rooms.totals(), rooms.too_slow()));
        let snapshots = self.0.load().snapshots.clone();
        gauge(&mut encoder, "rooms", "Rooms with a grant", totals.rooms)?;
        gauge(&mut encoder, "participants", "People on the node", totals.participants)?;
        encode_sessions(&mut encoder, &totals.sessions)?;
        encode_legs(&mut encoder, totals.legs)?;
        let slow = ConstCounter::new(too_slow);
        let help = "Room sockets let go because they were not read";
        slow.encode(encoder.encode_descriptor("slow_sockets", help, None, slow.metric_type())?)?;
        for (name, help, count) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (worker, snapshot) in snapshots.iter().enumerate() {
                let labels = [("worker", worker.to_string())];
                ConstCounter::new(count(snapshot)).encode(family.encode_family(&labels)?)?;
            }
        }
        encode_drops(&mut encoder, &snapshots)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: usize) -> fmt::Result {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn encode_sessions(encoder: &mut DescriptorEncoder<'_>, sessions: &[[usize; 2]; 2]) -> fmt::Result {
    let mut family = encoder.encode_descriptor("sessions", "WebRTC sessions", None, MetricType::Gauge)?;
    for (role, states) in ["Publisher", "Subscriber"].into_iter().zip(sessions) {
        for (state, count) in ["Connecting", "Connected"].into_iter().zip(states) {
            let gauge = ConstGauge::new(i64::try_from(*count).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("role", role), ("state", state)])?)?;
        }
    }
    Ok(())
}

fn encode_legs(encoder: &mut DescriptorEncoder<'_>, legs: Legs) -> fmt::Result {
    let mut family = encoder.encode_descriptor("legs", "Connected sessions by path", None, MetricType::Gauge)?;
    for (kind, count) in [("Direct", legs.direct), ("Relayed", legs.relayed)] {
        let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
        gauge.encode(family.encode_family(&[("kind", kind)])?)?;
    }
    Ok(())
}

fn encode_drops(encoder: &mut DescriptorEncoder<'_>, snapshots: &[Snapshot]) -> fmt::Result {
    let help = "Datagrams and packets dropped, by reason";
    let mut family = encoder.encode_descriptor("drops", help, None, MetricType::Counter)?;
    for (worker, snapshot) in snapshots.iter().enumerate() {
        let worker = worker.to_string();
        for (reason, count) in snapshot.engine.drops.named().into_iter().chain(socket_drops(snapshot)) {
            let labels = [("worker", worker.as_str()), ("reason", reason)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
