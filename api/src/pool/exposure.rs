//! How clients reach the pods of a pool.

use crate::schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How clients reach the pods.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    // The API server checks the default `{}` before it fills it in: hence has().
    schema::rule(
        "!has(self.type) || self.type == 'LoadBalancer' || !has(self.address) || !has(self.address.source) || self.address.source != 'LoadBalancer'",
        "address.source LoadBalancer is the address of the pool's balancer: set exposure.type to LoadBalancer too, or choose another source",
    ),
    schema::rule(
        "!has(self.type) || self.type != 'LoadBalancer' || !has(self.address) || !has(self.address.source) || self.address.source in ['LoadBalancer', 'Static']",
        "with exposure.type LoadBalancer the pods do not listen on nodes' addresses: leave address.source out, or set it to LoadBalancer or Static",
    ),
    schema::rule(
        "!has(self.type) || self.type == 'LoadBalancer' || !has(self.service) || ((!has(self.service.annotations) || size(self.service.annotations) == 0) && (!has(self.service.externalTrafficPolicy) || self.service.externalTrafficPolicy == 'Local'))",
        "exposure.service is only used with exposure.type LoadBalancer: set the type, or remove service",
    ),
]))]
pub struct Exposure {
    /// Whose network the pods listen on.
    #[serde(rename = "type")]
    pub kind: ExposureType,
    /// Host ports of the pods, by their slot number. A media pod takes workers + 2 of them; a TURN pod takes 2, and only
    /// with HostNetwork.
    pub port_range: PortRange,
    /// Which address clients are told.
    pub address: Address,
    /// The Service of a pool with type LoadBalancer.
    pub service: ServiceExposure,
}

/// The Service of a pool with type LoadBalancer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceExposure {
    /// Annotations of the Service: clouds take their settings from there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
    /// Local keeps the clients' addresses, by which quotas count, and sends nothing around another node.
    pub external_traffic_policy: TrafficPolicy,
}

/// Which nodes' pods a balancer's traffic may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPolicy {
    /// Those of the node that it arrives at.
    #[default]
    Local,
    /// Any; clients' addresses are lost.
    Cluster,
}

/// Whose network the pods listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum ExposureType {
    /// Their own; media ports, or TURN listeners, are host ports.
    #[default]
    HostPort,
    /// The node's. Namespaces with Pod Security "baseline" or "restricted" forbid it, and HostPort too.
    HostNetwork,
    /// Their own, behind one Service of type LoadBalancer per pool. Only with role TURN.
    LoadBalancer,
}

/// First and last port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule(
        "!has(self.min) || !has(self.max) || self.min <= self.max",
        "portRange.min must not be above portRange.max",
    ),
    schema::rule(
        "!has(self.min) || !has(self.max) || self.max < 30000 || self.min > 60999",
        "portRange must stay off 30000-32767 (node ports) and 32768-60999 (ephemeral ports): choose one below 30000, such as 20000-20999, or above 60999",
    ),
]))]
pub struct PortRange {
    /// First port.
    #[schemars(range(min = 1024, max = 65535))]
    pub min: i32,
    /// Last port.
    #[schemars(range(min = 1024, max = 65535))]
    pub max: i32,
}

impl Default for PortRange {
    fn default() -> Self {
        Self { min: 20_000, max: 20_999 }
    }
}

/// Which address clients are told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule(
        "!has(self.source) || self.source != 'Static' || (has(self.addresses) && size(self.addresses) > 0)",
        "source: Static needs addresses: list the addresses that clients reach the pods by",
    ),
    schema::rule(
        "!has(self.addresses) || size(self.addresses) == 0 || (has(self.source) && self.source == 'Static')",
        "addresses are only used with source: Static: set source to Static, or remove addresses",
    ),
    schema::rule(
        "!has(self.addresses) || self.addresses.all(a, isIP(a))",
        "each of addresses must be an IPv4 or IPv6 address without a port",
    ),
]))]
pub struct Address {
    /// Where it comes from. Unset: the balancer's with type LoadBalancer, else the node's ExternalIP, or its InternalIP
    /// when it has none; status says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<AddressSource>,
    /// The addresses, with `source: Static`: every pod of the pool is told to be there, so the pool should have one pod or a balancer that keeps ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 2, max = 45)), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<String>,
}

/// Where an address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AddressSource {
    /// Addresses of type ExternalIP in the node's status.
    NodeExternalIP,
    /// Addresses of type InternalIP in the node's status.
    NodeInternalIP,
    /// The status of the pool's Service.
    LoadBalancer,
    /// Given in `addresses`.
    Static,
}
