//! Which way the media goes: legs as the media node and the client see them, and the flow that they add up to.

use crate::ids::{Epoch, ParticipantId, PublicationId, RoomName, RoomUid, SessionId};
use crate::turn::RelayTransport;
use serde::{Deserialize, Serialize};

/// The seven flows. Only those that this version can run are ever reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FlowName {
    /// Client to client.
    PeerToPeer,
    /// Client to client by a relay.
    PeerToPeerRelayed,
    /// Client, media node, client; signaling by the gateway.
    MediaServer,
    /// As `MediaServer`, with signaling at the media node.
    MediaServerDirectSignaling,
    /// Every leg relayed.
    MediaServerRelayed,
    /// Some legs relayed.
    MediaServerRelayedOneSide,
    /// Relayed by the media pod's own relay.
    MediaServerColocated,
}

/// Whether a flow was seen or is only what the spec plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Basis {
    /// No leg yet: what the spec plans.
    Planned,
    /// Judged from connected legs.
    Observed,
}

/// How many connected legs run which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct LegCounts {
    /// Without a relay.
    pub direct: i32,
    /// By a relay.
    pub relayed: i32,
    /// By the media pod's own relay.
    pub colocated: i32,
}

/// Which way a leg's media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LegRole {
    /// Client to media node.
    Publisher,
    /// Media node to client.
    Subscriber,
    /// Both ways between two clients.
    Peer,
}

/// What a leg is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum LegBasis {
    /// Its client says so, and nobody else.
    Claimed,
    /// Both clients say so, and the relays that they name.
    Confirmed,
    /// A media node of ours sees it.
    #[default]
    Measured,
}

/// Where a leg's transport stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LegState {
    /// ICE or DTLS is not done.
    Connecting,
    /// Media can flow.
    Connected,
}

/// ICE candidate types as `getStats` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CandidateType {
    /// An address of the host itself.
    Host,
    /// Seen by a STUN server.
    Srflx,
    /// Seen by the peer.
    Prflx,
    /// An address of a relay.
    Relay,
}

/// One end of a leg. Addresses are personal data: `None` where the reader may not see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegEnd {
    /// Type of the candidate in the selected pair.
    pub candidate_type: Option<CandidateType>,
    /// Address without port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What the client says of its own leg (room socket, message `view`). A claim, not a fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientView {
    /// The session it speaks of.
    pub session: SessionId,
    /// Type of its own candidate in the selected pair.
    pub local_type: Option<CandidateType>,
    /// Type of the media node's (or the other peer's) candidate.
    pub remote_type: Option<CandidateType>,
    /// `udp` or `tcp`.
    pub protocol: Option<String>,
    /// `udp`, `tcp` or `tls` towards a relay.
    #[serde(default)]
    pub relay_protocol: Option<String>,
    /// Round trip in microseconds.
    pub rtt_micros: Option<u32>,
    /// Pod of the relay of its own candidate, as in `relay.pod` of the ICE servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_relay: Option<String>,
    /// Frames decoded (subscriber, peer) or sent (publisher) so far.
    #[serde(default)]
    pub frames: Option<u64>,
    /// Bytes sent over the selected pair so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
    /// Bytes received over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
}

impl ClientView {
    /// A view that knows nothing yet.
    #[must_use]
    pub fn of(session: SessionId) -> Self {
        Self {
            session,
            local_type: None,
            remote_type: None,
            protocol: None,
            relay_protocol: None,
            rtt_micros: None,
            local_relay: None,
            frames: None,
            bytes_sent: None,
            bytes_received: None,
        }
    }
}

/// The relay that a leg goes by: found by the address that its packets come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegRelay {
    /// Namespace of pod and pool.
    pub namespace: String,
    /// RelayPool.
    pub pool: String,
    /// TURN pod.
    pub pod: String,
    /// Region of the pool.
    pub region: String,
    /// How the client reaches it, from the relay's own report; unset: the relay did not answer.
    #[serde(default)]
    pub transport: Option<RelayTransport>,
    /// Payload bytes that the relay sent towards the media node on this allocation.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Payload bytes that the relay received from the media node.
    #[serde(default)]
    pub received_bytes: u64,
}

/// One leg as its media node sees it, or, in a peer-to-peer room, as its clients say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub participant: ParticipantId,
    /// Who is at the other end, in a peer-to-peer room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<ParticipantId>,
    /// Display name of the participant.
    pub participant_name: String,
    /// Which way the media goes.
    pub role: LegRole,
    /// What is sent over it; between peers the session's own name.
    pub publication: PublicationId,
    /// Where the transport stands.
    pub state: LegState,
    /// What it is known by.
    #[serde(default)]
    pub basis: LegBasis,
    /// Gateway pod that opened the session.
    pub gateway: String,
    /// The client's end as the node sees it (an ICE-lite node sees a source address, not a candidate type).
    pub client: LegEnd,
    /// The node's end; between peers the other's, as this client sees it.
    pub node: LegEnd,
    /// `udp`.
    pub protocol: String,
    /// Round trip in microseconds, from RTCP; `None` before the first report.
    pub rtt_micros: Option<u32>,
    /// Media towards the node, kbit/s over the last second.
    pub receive_kbps: u32,
    /// Media towards the client, kbit/s over the last second.
    pub send_kbps: u32,
    /// RTP packets forwarded over this leg so far (received for a publisher, sent for a subscriber).
    pub packets: u64,
    /// Bytes of UDP payload so far, both ways: what the relay of a relayed leg must have counted too.
    #[serde(default)]
    pub bytes: LegBytes,
    /// The relay, when the leg is relayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<LegRelay>,
    /// What the client says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_view: Option<ClientView>,
}

impl Leg {
    /// Whether its media goes by a relay: between peers at either end.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        let by_relay = |end: &LegEnd| end.candidate_type == Some(CandidateType::Relay);
        self.relay.is_some() || self.role == LegRole::Peer && (by_relay(&self.client) || by_relay(&self.node))
    }
}

/// Bytes of UDP payload (STUN, DTLS, SRTP, SRTCP) of a leg at its media node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegBytes {
    /// From the client.
    pub received: u64,
    /// To the client.
    pub sent: u64,
}

/// `GET /v1/rooms/{uid}/legs` of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomLegs {
    /// The room.
    pub uid: RoomUid,
    /// The binding they belong to.
    pub epoch: Epoch,
    /// The legs, by session.
    pub legs: Vec<Leg>,
}

/// Where the room's media pod is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaPlace {
    /// Pod name.
    pub pod: String,
    /// Node name, once known.
    pub node: Option<String>,
    /// Region of the pool.
    pub region: String,
    /// Zone of the node.
    pub zone: Option<String>,
}

/// `GET /v1/rooms/{namespace}/{name}/flow` of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowReport {
    /// The room.
    pub room: RoomName,
    /// Name of the flow.
    pub flow: FlowName,
    /// Seen or planned.
    pub basis: Basis,
    /// How the legs run.
    pub counts: LegCounts,
    /// Gateway pod that answered.
    pub gateway: String,
    /// Region of that gateway, when known.
    pub gateway_region: Option<String>,
    /// Gateway pod that is the home of a peer-to-peer room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Where the media node is; `None` while the room is not bound, and in a peer-to-peer room.
    pub media: Option<MediaPlace>,
    /// The legs.
    pub legs: Vec<Leg>,
}

/// Counts connected legs by kind; what one client alone says of its peer does not count.
#[must_use]
pub fn count_legs(legs: &[Leg]) -> LegCounts {
    let counts = |leg: &&Leg| leg.state == LegState::Connected && leg.basis != LegBasis::Claimed;
    let connected = || legs.iter().filter(counts);
    let count = |relayed: bool| connected().filter(|leg| leg.is_relayed() == relayed).count();
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    LegCounts { direct: number(count(false)), relayed: number(count(true)), colocated: 0 }
}

/// The flow of a MediaServer room with gateway signaling, from its connected legs.
#[must_use]
pub fn media_server_flow(counts: LegCounts) -> (FlowName, Basis) {
    let LegCounts { direct, relayed, colocated } = counts;
    let name = match (direct, relayed, colocated) {
        (_, 0, 0) => FlowName::MediaServer,
        (_, 0, _) => FlowName::MediaServerColocated,
        (0, _, _) => FlowName::MediaServerRelayed,
        _ => FlowName::MediaServerRelayedOneSide,
    };
    (name, basis(counts))
}

/// The flow of a peer-to-peer room, from its connected legs: two for a pair.
#[must_use]
pub fn peer_to_peer_flow(counts: LegCounts) -> (FlowName, Basis) {
    let name = if counts.relayed > 0 { FlowName::PeerToPeerRelayed } else { FlowName::PeerToPeer };
    (name, basis(counts))
}

fn basis(LegCounts { direct, relayed, colocated }: LegCounts) -> Basis {
    if direct + relayed + colocated == 0 { Basis::Planned } else { Basis::Observed }
}
