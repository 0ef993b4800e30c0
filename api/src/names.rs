//! Names that more than one program must agree on: group, labels, annotations, Secrets, the Lease.

/// API group.
pub const GROUP: &str = "rtc.plenum.dev";
/// API version.
pub const VERSION: &str = "v1alpha1";
/// Prefix of labels and annotations; the operator alone sets them.
pub const PREFIX: &str = "rtc.plenum.dev/";

/// Label: name of a program.
pub const LABEL_APP: &str = "app.kubernetes.io/name";
/// Value of [`LABEL_APP`] on media pods.
pub const APP_MEDIA_NODE: &str = "plenum-media-node";
/// Value of [`LABEL_APP`] on TURN pods.
pub const APP_TURN_NODE: &str = "plenum-turn-node";
/// Value of [`LABEL_APP`] on gateway pods.
pub const APP_GATEWAY: &str = "plenum-gateway";
/// Label of a pool's pod: its RelayPool.
pub const LABEL_POOL: &str = "rtc.plenum.dev/pool";
/// Label of a pool's pod: its slot number.
pub const LABEL_SLOT: &str = "rtc.plenum.dev/slot";
/// Label of a pool's pod: [`STATE_ACTIVE`] or [`STATE_DRAINING`].
pub const LABEL_STATE: &str = "rtc.plenum.dev/state";
/// Label of a pool's pod: the pool's role.
pub const LABEL_ROLE: &str = "rtc.plenum.dev/role";
/// Takes rooms or allocations.
pub const STATE_ACTIVE: &str = "active";
/// Takes no new ones and leaves.
pub const STATE_DRAINING: &str = "draining";
/// Annotation of a draining pod: since when (RFC 3339).
pub const ANNOTATION_DRAINING_SINCE: &str = "rtc.plenum.dev/draining-since";
/// Annotation of a pool's pod: digest of what it was made from.
pub const ANNOTATION_REVISION: &str = "rtc.plenum.dev/revision";
/// Readiness gate of a pool's pods: the process has its configuration.
pub const CONDITION_CONFIGURED: &str = "rtc.plenum.dev/Configured";

/// Name of the operators' Lease.
pub const LEASE: &str = "plenum-operator";
/// Annotation of the Lease: `https://IP:PORT` of the leader's control endpoint.
pub const ANNOTATION_ADDRESS: &str = "rtc.plenum.dev/address";
/// Secret with the CA, in the operator's namespace.
pub const SECRET_CA: &str = "plenum-ca";
/// Secret with the gateways' certificate, in the operator's namespace.
pub const SECRET_GATEWAY_CONTROL: &str = "plenum-gateway-control";
/// Secret with the certificate of media and TURN pods, in each namespace that has a RelayPool.
pub const SECRET_NODE_CONTROL: &str = "plenum-node-control";
/// Secret with the directory of all ready relays, in the operator's namespace.
pub const SECRET_RELAYS: &str = "plenum-relays";
/// Key of the directory in [`SECRET_RELAYS`]: JSON, a `RelayDirectory`.
pub const KEY_RELAYS: &str = "relays.json";
/// Secret that TURN pools without `turn.authSecretRef` share, in each namespace that has one. The operator makes it.
pub const SECRET_TURN_AUTH: &str = "plenum-turn-auth";
/// Key of the secret in use, in a Secret for TURN.
pub const KEY_CURRENT: &str = "current";
/// Key of the secret that was in use before, in a Secret for TURN; may be missing.
pub const KEY_PREVIOUS: &str = "previous";
/// Key of a certificate in such a Secret (PEM).
pub const KEY_CERT: &str = "tls.crt";
/// Key of a private key in such a Secret (PEM).
pub const KEY_KEY: &str = "tls.key";
/// Key of the CA certificate in such a Secret (PEM).
pub const KEY_CA: &str = "ca.crt";

/// Node label: region.
pub const TOPOLOGY_REGION: &str = "topology.kubernetes.io/region";
/// Node label: zone.
pub const TOPOLOGY_ZONE: &str = "topology.kubernetes.io/zone";

/// Name of the container port of media worker `worker`.
#[must_use]
pub fn media_port_name(worker: u16) -> String {
    format!("media-{worker}")
}
/// Name of the container port of the TURN listener `name`.
#[must_use]
pub fn listener_port_name(name: &str) -> String {
    format!("turn-{name}")
}
/// Name of the container port of the first relay port, on pods of the node's network.
pub const PORT_RELAY: &str = "relay";
/// Name of the container port of the control API.
pub const PORT_CONTROL: &str = "control";
/// Name of the container port of probes and metrics.
pub const PORT_METRICS: &str = "metrics";
