//! RelayPool: media pods of one role in one region, with one scale path.

mod exposure;
mod status;
mod template;

use crate::schema;
use crate::selector::Selector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use exposure::{Address, AddressSource, Exposure, ExposureType, PortRange};
pub use status::{CapacityStatus, ParticipantCount, RelayPoolStatus};
pub use template::{Resources, Template, Toleration, TolerationEffect, TolerationOperator};

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
    doc = "A RelayPool: media pods of one role in one region.",
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
        "self.exposure.portRange.max - self.exposure.portRange.min + 1 >= self.workers + 2",
        "exposure.portRange is too small for one pod, which takes workers + 2 ports: widen it or lower workers",
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
    /// Media worker threads per pod, each with a UDP port of its own.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub workers: i32,
    /// What its pods look like. A change replaces the pods one at a time: each is drained first.
    #[serde(default)]
    pub template: Template,
    /// How clients reach its pods.
    #[serde(default)]
    pub exposure: Exposure,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PerPod {
    /// Most participants of all rooms together: rooms are placed by it and joins beyond it are refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub participants: i32,
}

impl Default for PerPod {
    fn default() -> Self {
        Self { participants: 1_000 }
    }
}

/// How pods leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Drain {
    /// How long a leaving pod keeps rooms that people are in; then they are bound to another pod and clients rejoin.
    #[schemars(range(min = 0, max = 86_400))]
    pub timeout_seconds: i32,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout_seconds: 3_600 }
    }
}
