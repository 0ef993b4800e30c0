//! What the operator says of a RelayPool. Written whole, by the leader alone.

use crate::conditions::Condition;
use crate::pool::AddressSource;
use crate::schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator says of a RelayPool.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RelayPoolStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Pods that take rooms or allocations, or will; draining ones are not counted.
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Those of them that are ready.
    #[schemars(range(min = 0))]
    pub ready_replicas: i32,
    /// Pods that take no new ones and leave when they are empty.
    #[schemars(range(min = 0))]
    pub draining_replicas: i32,
    /// Label selector of the pods that `replicas` counts, for autoscalers.
    #[schemars(length(max = 512))]
    pub selector: String,
    /// How much the ready pods take, and how much is taken.
    pub capacity: CapacityStatus,
    /// Taken share of the capacity, in percent; coarse, at most one update in ten seconds.
    #[schemars(range(min = 0, max = 1000))]
    pub utilization_percent: i32,
    /// Where the addresses that clients are told come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_source: Option<AddressSource>,
    /// Accepted, Ready, Progressing, ExposureReady.
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// How much the pods take, and how much is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityStatus {
    /// Of all ready pods.
    pub total: CapacityCount,
    /// Reserved or in use.
    pub used: CapacityCount,
}

/// A number of participants (role Media) or allocations (role TURN).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityCount {
    /// Participants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub participants: Option<i64>,
    /// Allocations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub allocations: Option<i64>,
}
