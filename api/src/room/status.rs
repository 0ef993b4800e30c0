//! What the operator says of a Room. Written whole, by the leader alone. No credentials and no client addresses.

use crate::conditions::Condition;
use crate::pool::Role;
use crate::room::{EndedReason, SignalingMode, Topology};
use crate::schema;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator says of a Room.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RoomStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Accepted, Scheduled, RelayReady, SignalingReady, Ready, Disrupted.
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// How the room runs: as `spec.topology` says, or with a media server since it was upgraded. A room that is to get a
    /// media server runs on as it is until it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Which way the media goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<RoomFlow>,
    /// Where the room was placed, and why there. Stays when the room is unbound, so that epochs never repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<RoomPlacement>,
    /// The pods that serve the room. Empty while it is not bound.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub assignments: Vec<Assignment>,
    /// RelayPools of role TURN that the room's clients may use, by namespace and name; a client gets one of their ready pods
    /// when it joins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RELAY_POOLS), extend("x-kubernetes-list-type" = "atomic"))]
    pub relay_pools: Vec<RelayPoolRef>,
    /// The media pod in short, for people; unset while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub media: Option<String>,
    /// Where clients go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signaling: Option<RoomSignaling>,
    /// How many people are there; coarse, at most one update in ten seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participants: Option<Participants>,
    /// When the first participant came since the room was applied, or opened again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub started_at: Option<Time>,
    /// Since when nobody has been in the room; unset while somebody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub empty_since: Option<Time>,
    /// When the room ended. It stays ended until `desiredState` was `Closed` and is `Open` again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub ended_at: Option<Time>,
    /// Why the room ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_reason: Option<EndedReason>,
}

/// Names of the flows that this version runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FlowName {
    /// Client to client; signaling by the gateways.
    PeerToPeer,
    /// As PeerToPeer, by a relay at one end or both.
    PeerToPeerRelayed,
    /// Client, media node, client; signaling by the gateway.
    MediaServer,
    /// As MediaServer, with every leg by a relay.
    MediaServerRelayed,
    /// As MediaServer, with some legs by a relay.
    MediaServerRelayedOneSide,
}

/// Whether a flow was seen or is only what the spec plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Basis {
    /// No leg is connected: what the spec plans.
    Planned,
    /// Judged from connected legs.
    Observed,
}

/// Which way the media goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomFlow {
    /// Name of the flow.
    pub name: FlowName,
    /// Seen or planned.
    pub basis: Basis,
    /// Who does the signaling.
    pub signaling: SignalingMode,
    /// Connected legs by kind; at most one update in ten seconds after the first.
    #[serde(default)]
    pub legs: FlowLegs,
}

/// Connected legs by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FlowLegs {
    /// Without a relay.
    #[schemars(range(min = 0))]
    pub direct: i32,
    /// By a relay.
    #[schemars(range(min = 0))]
    pub relayed: i32,
    /// By the media pod's own relay.
    #[schemars(range(min = 0))]
    pub colocated: i32,
}

/// Where the room was placed, and why there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomPlacement {
    /// Counts the bindings of the room; a media pod serves one epoch only.
    #[schemars(range(min = 1))]
    pub epoch: i64,
    /// Region of the media pod; unset while the room is not bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub region: Option<String>,
    /// When it was decided.
    #[schemars(schema_with = "schema::time")]
    pub decided_at: Time,
    /// Why there, in plain words.
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// A pod that serves the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// What it does for the room.
    pub role: Role,
    /// Namespace of the pod and its pool.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// RelayPool.
    #[schemars(length(max = 63))]
    pub pool: String,
    /// Pod.
    #[schemars(length(max = 63))]
    pub pod: String,
    /// Which start of the pod's process holds the room: part of the fence.
    #[schemars(length(max = 128))]
    pub boot_id: String,
    /// Node that the pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// Region.
    #[schemars(length(max = 63))]
    pub region: String,
    /// Zone of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub zone: Option<String>,
    /// Where it listens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub endpoints: Vec<Endpoint>,
}

/// Most RelayPools in one status.
pub const MAX_RELAY_POOLS: usize = 64;

/// A RelayPool that the room's clients may use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RelayPoolRef {
    /// Namespace.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Region.
    #[schemars(length(max = 63))]
    pub region: String,
}

/// What an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EndpointPurpose {
    /// Clients' media.
    Media,
    /// Control API, for gateways and the operator.
    Control,
}

/// Transport protocol of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// UDP.
    UDP,
    /// TCP.
    TCP,
}

/// An address that a pod listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// What it is for.
    pub purpose: EndpointPurpose,
    /// Transport protocol.
    pub protocol: Protocol,
    /// IPv4 or IPv6 address.
    #[schemars(length(max = 45))]
    pub address: String,
    /// Port, or the first of several.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Last port, when there are several: the room is on one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub end_port: Option<i32>,
}

/// Where clients go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomSignaling {
    /// Base of the room's URLs: append `/whip`, `/whep` or `/socket`.
    #[schemars(length(max = 512))]
    pub url: String,
}

/// How many people are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Participants {
    /// Now.
    #[schemars(range(min = 0))]
    pub current: i32,
    /// Most at once so far.
    #[schemars(range(min = 0))]
    pub peak: i32,
}

impl Assignment {
    /// `address:port` of the pod's control API (IPv6 in brackets).
    #[must_use]
    pub fn control_address(&self) -> Option<String> {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.purpose == EndpointPurpose::Control)?;
        let Endpoint { address, port, .. } = endpoint;
        Some(if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") })
    }
}
