//! What a RelayPool of role TURN offers, to whom, and whom it speaks to.

use crate::schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Listeners, credentials, bounds and peers of the TURN pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Turn {
    /// REALM that clients are asked for credentials of.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-zA-Z0-9._-]+$"))]
    pub realm: String,
    /// Ways in. Empty: UDP 3478 and TCP 3478.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"],
        "x-kubernetes-validations" = [schema::rule(
            "self.all(a, self.exists_one(b, (a.protocol == 'UDP') == (b.protocol == 'UDP') \
             && (a.port < 1024 ? a.port + 10000 : a.port) == (b.port < 1024 ? b.port + 10000 : b.port)))",
            "two listeners share a port and a transport (TLS and TCP are one; a port below 1024 takes the pod's port + 10000 too): give one of them another port",
        )],
    ))]
    pub listeners: Vec<Listener>,
    /// Secret of the pool's namespace with the shared secret that makes passwords: key `current`, and `previous` while it
    /// is being replaced. Unset: the operator makes `plenum-turn-auth`. Other names must stand in the chart's value
    /// `operator.turnAuthSecrets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_secret_ref: Option<SecretRef>,
    /// How long credentials admit new allocations, seconds.
    #[serde(rename = "credentialTTLSeconds")]
    #[schemars(range(min = 60, max = 86_400))]
    pub credential_ttl_seconds: i32,
    /// Bounds of allocations and of what they carry.
    pub quotas: Quotas,
    /// UDP ports of relayed addresses.
    pub relay_port_range: RelayPortRange,
    /// How long an allocation may live in all, however often it is refreshed, seconds.
    #[schemars(range(min = 600, max = 604_800))]
    pub max_lifetime_seconds: i32,
    /// Whom clients of other media servers, and peer-to-peer clients, may reach. Media pods of Plenum need no entry.
    pub peers: Peers,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            realm: "plenum".to_owned(),
            listeners: Vec::new(),
            auth_secret_ref: None,
            credential_ttl_seconds: 3_600,
            quotas: Quotas::default(),
            relay_port_range: RelayPortRange::default(),
            max_lifetime_seconds: 86_400,
            peers: Peers::default(),
        }
    }
}

/// One way into a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule(
        "self.protocol != 'TLS' || has(self.tlsSecretRef)",
        "a listener with protocol TLS needs tlsSecretRef: name a Secret of type kubernetes.io/tls in the pool's namespace",
    ),
    schema::rule(
        "self.protocol == 'TLS' || !has(self.tlsSecretRef)",
        "tlsSecretRef is only used with protocol TLS: set protocol to TLS, or remove tlsSecretRef",
    ),
    schema::rule(
        "self.protocol == 'UDP' || !(self.port in [7443, 9090])",
        "TCP ports 7443 and 9090 are those of the pod's control API and metrics: choose another port",
    ),
]))]
pub struct Listener {
    /// Name.
    #[schemars(length(min = 1, max = 10), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// How clients speak to it.
    pub protocol: ListenerProtocol,
    /// Port that clients go to. Below 1024 (443) only with exposure HostPort or LoadBalancer.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Host name that clients are told; it must resolve to the pods. Unset: their addresses. TLS certificates are checked
    /// against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub hostname: Option<String>,
    /// Certificate and key of a TLS listener (`tls.crt`, `tls.key`); a renewed one is taken without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_ref: Option<SecretRef>,
}

/// How clients speak to a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ListenerProtocol {
    /// UDP.
    UDP,
    /// TCP.
    TCP,
    /// TLS over TCP.
    TLS,
}

/// A Secret of the own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// Bounds of allocations and of what they carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Quotas {
    /// Most allocations of a pod at once. Unset: `capacity.perPod.allocations`. Relay ports are a bound too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub allocations: Option<i32>,
    /// Most allocations of one credential's session or user on a pod. A browser makes one per URL and connection.
    #[schemars(range(min = 1, max = 60_000))]
    pub allocations_per_user: i32,
    /// Most allocations of one client address (IPv6: of one /64) on a pod. Many people may sit behind one address.
    #[schemars(range(min = 1, max = 60_000))]
    pub allocations_per_address: i32,
    /// Most that one allocation carries, both ways together, kbit/s; what is beyond is dropped.
    #[schemars(range(min = 64, max = 1_000_000))]
    pub kbps_per_allocation: i32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            allocations: None,
            allocations_per_user: 200,
            allocations_per_address: 2_000,
            kbps_per_allocation: 20_000,
        }
    }
}

/// UDP ports of relayed addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule(
        "has(self.min) == has(self.max)",
        "relayPortRange needs both min and max, or neither",
    ),
    schema::rule(
        "!has(self.min) || !has(self.max) || self.min <= self.max",
        "relayPortRange.min must not be above relayPortRange.max",
    ),
    schema::rule(
        "!has(self.perPod) || !has(self.min) || !has(self.max) || self.perPod <= self.max - self.min + 1",
        "relayPortRange.perPod is more than the whole range: lower it, or widen the range",
    ),
]))]
pub struct RelayPortRange {
    /// First port. Unset: 49152, with exposure HostNetwork 61000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535))]
    pub min: Option<i32>,
    /// Last port. Unset: 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535))]
    pub max: Option<i32>,
    /// How many of them one pod takes, with exposure HostNetwork; otherwise each pod has them all. Unset: 1500.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub per_pod: Option<i32>,
}

/// Whom clients may reach by relay, besides media pods of Plenum. Private, loopback and link-local addresses, those of
/// nodes and balancers, and the relays themselves are refused unless allowed here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Peers {
    /// Also allowed: private networks of other media servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub allow: Vec<Peer>,
    /// Never allowed; beats `allow`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub deny: Vec<Peer>,
}

/// A range of peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Addresses, as `192.0.2.0/24` or `2001:db8::/32`.
    #[schemars(length(min = 3, max = 43), extend("x-kubernetes-validations" = [schema::rule(
        "isCIDR(self)",
        "cidr must be an IPv4 or IPv6 range such as 192.0.2.0/24 or 2001:db8::/32; a single address is /32 or /128",
    )]))]
    pub cidr: String,
    /// UDP ports. Unset: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PeerPorts>,
}

/// First and last UDP port of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "self.min <= self.max",
    "peers: ports.min must not be above ports.max",
)]))]
pub struct PeerPorts {
    /// First port.
    #[schemars(range(min = 1, max = 65535))]
    pub min: i32,
    /// Last port.
    #[schemars(range(min = 1, max = 65535))]
    pub max: i32,
}
