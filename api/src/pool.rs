//! RelayPool: media or TURN pods in one region, with one scale path.

mod exposure;
mod status;
mod template;
mod turn;

use crate::schema;
use crate::selector::Selector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use exposure::{Address, AddressSource, Exposure, ExposureType, PortRange, ServiceExposure, TrafficPolicy};
pub use status::{CapacityCount, CapacityStatus, RelayPoolStatus};
pub use template::{Resources, Template, Toleration, TolerationEffect, TolerationOperator};
pub use turn::{Listener, ListenerProtocol, Peer, PeerPorts, Peers, Quotas, RelayPortRange, SecretRef, Turn};

/// Participants that a media pod takes where `capacity.perPod.participants` is unset.
pub const DEFAULT_PARTICIPANTS: i32 = 1_000;
/// Allocations that a TURN pod takes where `capacity.perPod.allocations` is unset.
pub const DEFAULT_ALLOCATIONS: i32 = 4_000;

/// Pods of one role in one region. Each pod is owned directly, so that the operator chooses who leaves.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "rtc.plenum.dev",
    version = "v1alpha1",
    kind = "RelayPool",
    namespaced,
    shortname = "rlp",
    category = "plenum",
    derive = "PartialEq",
    doc = "A RelayPool: media or TURN pods in one region.",
    status = "RelayPoolStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Draining", type_ = "integer", json_path = ".status.drainingReplicas"),
    printcolumn(name = "Utilization", type_ = "integer", json_path = ".status.utilizationPercent"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule(
        "self.role == oldSelf.role && self.region == oldSelf.region",
        "role and region cannot change: create another RelayPool and scale this one down",
    ),
    schema::rule(
        "self.role != 'Media' || self.exposure.portRange.max - self.exposure.portRange.min + 1 >= self.workers + 2",
        "exposure.portRange is too small for one media pod, which takes workers + 2 ports: widen it or lower workers",
    ),
    schema::rule(
        "self.role != 'TURN' || self.exposure.type != 'HostNetwork' || self.exposure.portRange.max > self.exposure.portRange.min",
        "exposure.portRange is too small for one TURN pod, which takes 2 ports of it with HostNetwork: widen it",
    ),
    schema::rule(
        "self.role == 'TURN' || !has(self.turn)",
        "turn is only used with role TURN: remove turn, or create a RelayPool with role TURN",
    ),
    schema::rule(
        "self.role == 'TURN' || self.exposure.type != 'LoadBalancer'",
        "exposure.type LoadBalancer is only for role TURN, since one address for a pool cannot steer participants to their room's media pod: use HostPort or HostNetwork",
    ),
    schema::rule(
        "self.role == 'TURN' ? !has(self.capacity.perPod.participants) : !has(self.capacity.perPod.allocations)",
        "capacity.perPod.participants is for role Media and capacity.perPod.allocations for role TURN: use the one of the pool's role",
    ),
    schema::rule(
        "!has(self.turn) || self.exposure.type != 'HostNetwork' || !has(self.turn.listeners) || self.turn.listeners.all(l, l.port >= 1024)",
        "with exposure.type HostNetwork the process itself listens on turn.listeners, without the right to take ports below 1024: choose ports from 1024 on, or exposure.type HostPort, which maps 443 to an unprivileged port",
    ),
    schema::rule(
        "!has(self.turn) || self.exposure.type != 'HostNetwork' || !has(self.turn.relayPortRange.min) || !has(self.turn.relayPortRange.max) || self.turn.relayPortRange.max < 30000 || self.turn.relayPortRange.min > 60999",
        "with exposure.type HostNetwork turn.relayPortRange must stay off 30000-32767 (node ports) and 32768-60999 (ephemeral ports): choose one below 30000 or above 60999",
    ),
    schema::rule(
        "!has(self.turn) || self.exposure.type == 'HostNetwork' || !has(self.turn.relayPortRange.perPod)",
        "turn.relayPortRange.perPod is only used with exposure.type HostNetwork, since other pods have every port to themselves: remove it",
    ),
]))]
pub struct RelayPoolSpec {
    /// What its pods do. Cannot change.
    pub role: Role,
    /// Region of its pods: they run on nodes whose label `topology.kubernetes.io/region` says so. Cannot change.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::NAME))]
    pub region: String,
    /// The only zones that its pods may run in (label `topology.kubernetes.io/zone`). Empty: any zone of the region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63), regex(pattern = schema::NAME)), extend("x-kubernetes-list-type" = "set"))]
    pub zones: Vec<String>,
    /// How many pods. Leave it out of the manifest when an autoscaler sets it.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Which Rooms may use the pool.
    #[serde(default)]
    pub allowed_rooms: AllowedRooms,
    /// Worker threads per pod. Each media worker has a UDP port of its own; TURN workers share theirs.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub workers: i32,
    /// What its pods look like. A change replaces the pods one at a time: each is drained first.
    #[serde(default)]
    pub template: Template,
    /// How clients reach its pods.
    #[serde(default)]
    pub exposure: Exposure,
    /// What TURN pods offer and to whom, with role TURN. Unset: UDP and TCP 3478 for the rooms of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// How much its pods take.
    #[serde(default)]
    pub capacity: PoolCapacity,
    /// How pods leave.
    #[serde(default)]
    pub drain: Drain,
}

fn one() -> i32 {
    1
}

/// What a pod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// Media server.
    Media,
    /// TURN server: relays between clients and media pods, where networks let nothing else through.
    #[serde(rename = "TURN")]
    Turn,
}

impl Role {
    /// As the resource writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Media => "Media",
            Self::Turn => "TURN",
        }
    }
}

/// Which Rooms may use a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedRooms {
    /// By their namespace.
    pub namespaces: AllowedNamespaces,
}

/// Namespaces whose Rooms may use a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule(
        "!has(self.from) || self.from != 'Selector' || has(self.selector)",
        "from: Selector needs a selector: add allowedRooms.namespaces.selector, or use Same or All",
    ),
    schema::rule(
        "!has(self.selector) || (has(self.from) && self.from == 'Selector')",
        "selector is only used with from: Selector: set from to Selector, or remove selector",
    ),
]))]
pub struct AllowedNamespaces {
    /// Which namespaces.
    pub from: NamespacesFrom,
    /// Labels of the namespaces, with `from: Selector`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
}

/// Which namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// The pool's own.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Those that the selector matches.
    Selector,
}

/// How much the pods of a pool take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolCapacity {
    /// Each pod.
    pub per_pod: PerPod,
}

/// How much one pod takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PerPod {
    /// Most participants of all rooms together, with role Media: rooms are placed by it and joins beyond it are refused.
    /// Unset: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub participants: Option<i32>,
    /// Allocations, with role TURN: utilization is measured by it, and `turn.quotas.allocations` follows it. Unset: 4000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub allocations: Option<i32>,
}

impl PerPod {
    /// Participants of a media pod.
    #[must_use]
    pub fn participants(&self) -> i32 {
        self.participants.unwrap_or(DEFAULT_PARTICIPANTS)
    }

    /// Allocations of a TURN pod.
    #[must_use]
    pub fn allocations(&self) -> i32 {
        self.allocations.unwrap_or(DEFAULT_ALLOCATIONS)
    }
}

/// How pods leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Drain {
    /// How long a leaving media pod keeps rooms that people are in; then they are bound to another pod and clients rejoin.
    /// A leaving TURN pod keeps its allocations as long.
    #[schemars(range(min = 0, max = 86_400))]
    pub timeout_seconds: i32,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout_seconds: 3_600 }
    }
}
