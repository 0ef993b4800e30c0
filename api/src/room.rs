//! Room: what an application team applies, and what Plenum answers in its status.

mod lifecycle;
mod rules;
mod status;

use crate::schema;
use crate::selector::Selector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use lifecycle::{EndedReason, Lifecycle};
pub use status::{
    Assignment, Basis, Endpoint, EndpointPurpose, FlowLegs, FlowName, MAX_RELAY_POOLS, Participants, Protocol,
    RelayPoolRef, RoomFlow, RoomPlacement, RoomSignaling, RoomStatus,
};

/// A place where people talk: who may be there is the token's business, how their media flows is said here.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "rtc.plenum.dev",
    version = "v1alpha1",
    kind = "Room",
    namespaced,
    category = "plenum",
    derive = "PartialEq",
    doc = "A Room: people who talk with each other, the way their media flows, and where it is placed.",
    status = "RoomStatus",
    printcolumn(name = "Flow", type_ = "string", json_path = ".status.flow.name"),
    printcolumn(name = "Region", type_ = "string", json_path = ".status.placement.region"),
    printcolumn(name = "Media", type_ = "string", json_path = ".status.media"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Participants", type_ = "integer", json_path = ".status.participants.current"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.signaling.url", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::rules()))]
pub struct RoomSpec {
    /// How participants are connected. May change from `PeerToPeer` to `MediaServer` under a call, and not back.
    pub topology: Topology,
    /// How clients set up their media sessions.
    #[serde(default)]
    pub signaling: Signaling,
    /// Whether clients go by TURN relays, and which.
    #[serde(default)]
    pub relay: Relay,
    /// Media servers and bounds of the media.
    #[serde(default)]
    pub media: Media,
    /// Where the room's media goes.
    #[serde(default)]
    pub placement: Placement,
    /// How many people fit in.
    #[serde(default)]
    pub capacity: RoomCapacity,
    /// When the room ends by itself, and when it is deleted.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// `Closed` ends the room's sessions and frees its media pod; `Open` again binds it anew.
    #[serde(default)]
    pub desired_state: DesiredState,
}

/// How participants are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Topology {
    /// Two people send to each other, by a relay where they must. No media pod is needed; a gateway passes on their signaling.
    PeerToPeer,
    /// Everybody sends to a media server, which forwards to the others.
    MediaServer,
}

/// How clients set up their media sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Signaling {
    /// Who answers the clients.
    pub mode: SignalingMode,
}

/// Who answers the clients' offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum SignalingMode {
    /// The gateway, which controls the media server behind it.
    #[default]
    Gateway,
}

/// Whether clients go by TURN relays, and which.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Relay {
    /// When a client's media goes by a relay.
    pub policy: RelayPolicy,
    /// Which RelayPools of role TURN the room's clients are sent to, by their labels. Empty: every pool that admits the
    /// room's namespace. `placement.allowedRegions` binds relays too.
    pub pool_selector: Selector,
}

/// When a client's media goes by a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum RelayPolicy {
    /// Clients get no relays (STUN all the same): who cannot reach the media pod, or the other one of two, stays out.
    Never,
    /// When nothing else gets through.
    #[default]
    Fallback,
    /// Every client's. Media pods enforce it: they do not answer anybody who comes without a relay. In a `PeerToPeer` room the
    /// clients are told so, and nobody is in between to enforce it.
    Always,
}

/// Media servers and bounds of the media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Media {
    /// Which RelayPools may serve the room, by their labels. Empty: every pool that admits the room's namespace.
    pub pool_selector: Selector,
    /// Most that one publisher may send, kbit/s. A media server sees to it; between two people it is what their clients are told.
    #[schemars(range(min = 30, max = 100_000))]
    pub max_bitrate_kbps: i32,
}

impl Default for Media {
    fn default() -> Self {
        Self { pool_selector: Selector::default(), max_bitrate_kbps: 2_500 }
    }
}

/// Where the room's media goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// What is preferred among the pods that fit.
    pub strategy: Strategy,
    /// When the media pod is chosen.
    pub binding: Binding,
    /// Where people are expected, so that media is placed near them. Their sum is reserved on the media pod; at least 1 is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["region"]))]
    pub expected: Vec<Expected>,
    /// The only regions that media and relays may be in. Empty: any. A change that leaves out the present region moves the room.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63), regex(pattern = schema::NAME)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_regions: Vec<String>,
}

/// What is preferred among the pods that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// The region nearest to the expected participants, then the least loaded pod.
    #[default]
    Nearest,
    /// The region nearest to the expected participants, then the fullest pod that has room: leaves pods empty for scale-in.
    Packed,
    /// The least loaded pod of all allowed regions, then the nearest.
    Spread,
}

/// When the media pod is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Binding {
    /// When the Room is applied.
    #[default]
    Immediate,
    /// When somebody joins, near them.
    WaitForFirstParticipant,
}

/// How many people are expected in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// Region, as in the nodes' label `topology.kubernetes.io/region`.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::NAME))]
    pub region: String,
    /// How many.
    #[schemars(range(min = 1, max = 10_000))]
    pub participants: i32,
}

/// How many people fit in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RoomCapacity {
    /// Most participants at once; further joins are refused. Unset: 50, in a `PeerToPeer` room 2. With `upgrade: MediaServer`
    /// it is what the room takes once it has a media server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_participants: Option<i32>,
    /// What happens when a third person wants to join a `PeerToPeer` room.
    pub upgrade: Upgrade,
}

/// What happens when a third person wants to join a `PeerToPeer` room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Upgrade {
    /// They are refused.
    #[default]
    Never,
    /// The room gets a media server, and everybody goes on through it until the room ends. A room that has one already is
    /// as it is.
    MediaServer,
}

/// People in a room that is peer to peer.
pub const PEERS: i32 = 2;
/// Most participants of a media server room that does not say so.
pub const MAX_PARTICIPANTS: i32 = 50;

/// Whether people may be in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum DesiredState {
    /// They may.
    #[default]
    Open,
    /// Sessions end and nobody can join.
    Closed,
}

impl RoomSpec {
    /// Most participants at once, as long as the room runs as `topology`.
    #[must_use]
    pub fn max_participants(&self, topology: Topology) -> i32 {
        match topology {
            Topology::PeerToPeer => PEERS,
            Topology::MediaServer => self.capacity.max_participants.unwrap_or(MAX_PARTICIPANTS),
        }
    }
}

impl Room {
    /// How the room runs now: it may have been upgraded, or be wanted with a media server and not have one yet.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.status.as_ref().and_then(|status| status.topology).unwrap_or(self.spec.topology)
    }

    /// The media pod that the room is bound to.
    #[must_use]
    pub fn media_assignment(&self) -> Option<&Assignment> {
        self.status.as_ref()?.assignments.iter().find(|assignment| assignment.role == crate::pool::Role::Media)
    }

    /// Epoch of the last binding; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.status.as_ref().and_then(|status| status.placement.as_ref()).map_or(0, |placement| placement.epoch)
    }

    /// Why nobody may be in the room: it is to be closed, or it ended by itself. One that ended by itself stays so until it
    /// was closed and is to be open again.
    #[must_use]
    pub fn over(&self) -> Option<EndedReason> {
        if self.spec.desired_state == DesiredState::Closed {
            return Some(EndedReason::Closed);
        }
        self.status.as_ref()?.ended_reason.filter(|reason| *reason != EndedReason::Closed)
    }

    /// A condition of the status.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&crate::Condition> {
        crate::conditions::find(&self.status.as_ref()?.conditions, kind)
    }
}
