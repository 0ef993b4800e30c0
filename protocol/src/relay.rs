//! The control API of a TURN node, and the directory by which gateways know the relays.

use crate::control::Known;
use crate::ids::{BootId, ParticipantId, Term};
use crate::ports::PortRange;
use crate::turn::{RelayTransport, Scope};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Most endpoints, rules or relays in one message.
pub const MAX_ENTRIES: usize = 4_000;
/// Most ports in one [`AllocationQuery`].
pub const MAX_QUERY: usize = 1_000;

/// A shared secret that makes TURN passwords. Not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelaySecret(pub String);

impl fmt::Debug for RelaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelaySecret(…)")
    }
}

/// Media ports that the operator names: the only peers of scope `media`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerEndpoint {
    /// Addresses that clients are told, and put into their requests.
    pub outside: Vec<IpAddr>,
    /// Address that the relay sends to instead, and hears from: no way through the edge of the cloud and back.
    pub inside: IpAddr,
    /// UDP ports, the same outside and inside.
    pub ports: PortRange,
}

/// A range of peers in `turn.peers` of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerRule {
    /// Addresses, as `10.0.0.0/8` or `2001:db8::/32`.
    pub cidr: String,
    /// UDP ports; unset: all.
    pub ports: Option<PortRange>,
}

/// Whom a relay may speak to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RelayPeers {
    /// Named media endpoints, for scope `media`.
    pub media: Vec<PeerEndpoint>,
    /// Relay ports of the cluster's TURN pods, for scope `peers`: two clients, each behind a relay.
    pub relays: Vec<PeerEndpoint>,
    /// Also allowed, for scope `peers` and for foreign issuers, private addresses included.
    pub allow: Vec<PeerRule>,
    /// Never allowed; beats `allow`.
    pub deny: Vec<PeerRule>,
    /// Never allowed, whatever `allow` says: addresses of nodes and balancers. Named endpoints are exempt.
    pub guarded: Vec<PeerRule>,
}

/// Bounds of a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayQuotas {
    /// Allocations of the pod.
    pub allocations: u32,
    /// Allocations of one session (or user of a foreign issuer).
    pub allocations_per_user: u32,
    /// Allocations of one client address (IPv6: of one /64).
    pub allocations_per_address: u32,
    /// Relayed bits of one allocation, both ways together, kbit/s.
    pub kbps_per_allocation: u32,
}

/// What a TURN node must know before it can serve. Pushed whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayConfig {
    /// Addresses that relayed addresses are told with, one per family is used; the sockets bind to the pod's own.
    pub outside_addresses: Vec<IpAddr>,
    /// REALM.
    pub realm: String,
    /// One or two: the current, then the previous.
    pub secrets: Vec<RelaySecret>,
    /// Whom it may speak to.
    pub peers: RelayPeers,
    /// Bounds.
    pub quotas: RelayQuotas,
    /// How long an allocation may live in all, seconds, however often it is refreshed.
    pub max_lifetime_seconds: u32,
    /// Take new allocations; `false` while the pod drains.
    pub accepting: bool,
}

/// Leader to TURN node, `POST /v1/sync`: every second, and when something changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelaySyncRequest {
    /// Term of the leader.
    pub term: Term,
    /// Unset on first contact: the report is then whole.
    pub known: Option<Known>,
    /// Whole configuration; unset when the node is known to have it.
    pub config: Option<RelayConfig>,
}

/// One allocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocationState {
    /// Its relay port on the pod's own address: its name while it lives.
    pub port: u16,
    /// How its client reaches the relay.
    pub transport: RelayTransport,
    /// Session of its username.
    pub session: String,
    /// Scope of its username; unset: of a foreign issuer.
    pub scope: Option<Scope>,
    /// Payload bytes towards peers so far. Only in answers to an [`AllocationQuery`]; 0 in sync reports.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Payload bytes from peers so far; as `sent_bytes`.
    #[serde(default)]
    pub received_bytes: u64,
}

/// How busy a TURN node is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayLoad {
    /// Allocations.
    pub allocations: i32,
    /// Relayed in the last second, both ways, kbit/s.
    pub relay_kbps: u32,
}

/// The TURN node's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelaySyncReport {
    /// This start of the node.
    pub boot_id: BootId,
    /// It has a configuration, so it can serve.
    pub configured: bool,
    /// Grows with every allocation that comes or goes.
    pub state_version: u64,
    /// `allocations` holds all (else only those that came since `known.state_version`).
    pub whole: bool,
    /// Allocations, whole or new.
    pub allocations: Vec<AllocationState>,
    /// Relay ports whose allocation ended since `known.state_version`. Applied before `allocations`.
    #[serde(default)]
    pub ended: Vec<u16>,
    /// Load.
    pub load: RelayLoad,
}

/// Gateway or operator to TURN node, `POST /v1/allocations`: what are these relay ports, and what do these people have?
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocationQuery {
    /// Relay ports, at most [`MAX_QUERY`].
    pub ports: Vec<u16>,
    /// Participants that usernames were made for ([`crate::peer::relay_session`]), at most [`MAX_QUERY`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<ParticipantId>,
}

/// The allocations asked for that live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocationAnswer {
    /// Those of the ports, then those of the participants, in the order of the query.
    pub allocations: Vec<AllocationState>,
}

/// A TURN pod as media nodes know it: packets from there come by a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelaySource {
    /// Namespace of pod and pool.
    pub namespace: String,
    /// RelayPool.
    pub pool: String,
    /// Pod.
    pub pod: String,
    /// Region of the pool.
    pub region: String,
    /// Addresses that its packets may come from: the pod's, and its node's where pods are masqueraded.
    pub addresses: Vec<IpAddr>,
    /// Addresses that its clients are told as their relayed ones, at most one per family counts: answers to their checks
    /// name these, with the port that the check came from.
    #[serde(default)]
    pub outside: Vec<IpAddr>,
    /// Relay ports.
    pub ports: PortRange,
}

/// One way into a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayDoor {
    /// Transport.
    pub transport: RelayTransport,
    /// Host name or addresses (IPv6 without brackets), one URL each.
    pub hosts: Vec<String>,
    /// Port that clients go to.
    pub port: u16,
}

/// A ready TURN pod as gateways know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relay {
    /// Namespace of pod and pool.
    pub namespace: String,
    /// RelayPool: a Room names those it may use in `status.relayPools`.
    pub pool: String,
    /// Pod.
    pub pod: String,
    /// This start of its process.
    pub boot_id: BootId,
    /// Region of the pool.
    pub region: String,
    /// `address:port` of its control API.
    pub control: String,
    /// Ways in: UDP, then TCP, then TLS.
    pub doors: Vec<RelayDoor>,
    /// Current secret of the pool.
    pub secret: RelaySecret,
    /// How long credentials live, seconds.
    pub credential_ttl_seconds: u32,
}

/// All ready relays: JSON in the Secret `plenum-relays` of the operator's namespace, written when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayDirectory {
    /// By namespace and pod.
    pub relays: Vec<Relay>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", RelaySecret("hush".into())).contains("hush"));
    }
}
