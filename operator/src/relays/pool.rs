//! A RelayPool of role TURN with all that its spec leaves open filled in. Pure.

use plenum_api::RelayPoolSpec;
use plenum_api::names;
use plenum_api::pool::{ExposureType, Listener, ListenerProtocol, Peer, Role, Turn};
use plenum_protocol::ports::{self, PortRange};
use plenum_protocol::relay::{PeerRule, RelayQuotas};

/// Port of the listeners of a pool that names none.
const DEFAULT_PORT: i32 = 3478;
/// Relay ports of pods with a network of their own.
const OWN_RANGE: PortRange = PortRange { min: 49_152, max: 65_535 };
/// Relay ports of pods on the node's network: above the ephemeral ports.
const HOST_RANGE: PortRange = PortRange { min: 61_000, max: 65_535 };
/// Relay ports of one pod on the node's network.
const HOST_PER_POD: u16 = 1_500;
/// Slots of a pool whose pods have networks of their own: nothing is shared but nodes.
const OWN_SLOTS: u16 = 2_000;
/// Ports of `exposure.portRange` that a pod on the node's network takes: control, then metrics.
const STRIDE: u16 = 2;

/// A spec that cannot be served, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unservable(pub String);

/// A TURN pool with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnPool {
    /// Whose network its pods are on.
    pub exposure: ExposureType,
    /// Ways in: UDP, then TCP, then TLS.
    pub listeners: Vec<Listener>,
    /// Relay ports of all pods of a node.
    pub relay_range: PortRange,
    /// How many of them one pod takes; unset: all.
    pub per_pod: Option<u16>,
    /// Host ports of control and metrics, with HostNetwork.
    pub control_range: PortRange,
    /// REALM.
    pub realm: String,
    /// Name of the Secret with the shared secret.
    pub auth_secret: String,
    /// How long credentials live, seconds.
    pub credential_ttl_seconds: u32,
    /// How long an allocation may live in all, seconds.
    pub max_lifetime_seconds: u32,
    /// Bounds.
    pub quotas: RelayQuotas,
    /// Also allowed peers.
    pub allow: Vec<PeerRule>,
    /// Forbidden peers.
    pub deny: Vec<PeerRule>,
    /// Allocations by which utilization of one pod is measured.
    pub allocations: i64,
}

impl TurnPool {
    /// Fills in what is unset.
    ///
    /// # Errors
    /// The spec is of another role, or contradicts itself; the API server has checked most of it already.
    pub fn of(spec: &RelayPoolSpec) -> Result<Self, Unservable> {
        if spec.role != Role::Turn {
            return Err(Unservable("the pool is not of role TURN".to_owned()));
        }
        let turn = spec.turn.clone().unwrap_or_default();
        let Turn {
            realm,
            listeners,
            auth_secret_ref,
            credential_ttl_seconds,
            quotas,
            relay_port_range,
            max_lifetime_seconds,
            peers,
        } = turn;
        let exposure = spec.exposure.kind;
        let on_node = exposure == ExposureType::HostNetwork;
        let default = if on_node { HOST_RANGE } else { OWN_RANGE };
        let relay_range = match (relay_port_range.min, relay_port_range.max) {
            (Some(min), Some(max)) => PortRange { min: port(min)?, max: port(max)? },
            _ => default,
        };
        let per_pod = match relay_port_range.per_pod {
            Some(count) => Some(port(count)?),
            None => on_node.then(|| HOST_PER_POD.min(count(relay_range))),
        };
        let ports = u32::from(per_pod.unwrap_or_else(|| count(relay_range)));
        let wanted = number(spec.capacity.per_pod.allocations()).min(ports);
        let pool = Self {
            exposure,
            listeners: with_defaults(listeners),
            relay_range,
            per_pod,
            control_range: PortRange {
                min: port(spec.exposure.port_range.min)?,
                max: port(spec.exposure.port_range.max)?,
            },
            realm,
            auth_secret: auth_secret_ref.map_or_else(|| names::SECRET_TURN_AUTH.to_owned(), |secret| secret.name),
            credential_ttl_seconds: number(credential_ttl_seconds),
            max_lifetime_seconds: number(max_lifetime_seconds),
            quotas: RelayQuotas {
                allocations: quotas.allocations.map_or(wanted, |most| number(most).min(ports)),
                allocations_per_user: number(quotas.allocations_per_user),
                allocations_per_address: number(quotas.allocations_per_address),
                kbps_per_allocation: number(quotas.kbps_per_allocation),
            },
            allow: rules(&peers.allow)?,
            deny: rules(&peers.deny)?,
            allocations: i64::from(wanted),
        };
        pool.check(port(spec.workers)?)?;
        Ok(pool)
    }

    fn check(&self, workers: u16) -> Result<(), Unservable> {
        let PortRange { min, max } = self.relay_range;
        for listener in &self.listeners {
            let bound = self.bound_port(listener);
            let name = &listener.name;
            if listener.protocol == ListenerProtocol::UDP && (min..=max).contains(&bound) {
                return Err(Unservable(format!(
                    "listener {name} is on UDP port {bound}, which is one of the relay ports ({min}-{max}): move it, or turn.relayPortRange"
                )));
            }
            let control = self.control_range.min..=self.control_range.max;
            let on_node = self.exposure == ExposureType::HostNetwork;
            if on_node && listener.protocol != ListenerProtocol::UDP && control.contains(&bound) {
                return Err(Unservable(format!(
                    "listener {name} is on TCP port {bound}, which lies in exposure.portRange: move one of them"
                )));
            }
        }
        let ports = self.per_pod.unwrap_or_else(|| count(self.relay_range));
        if ports < workers {
            return Err(Unservable(format!(
                "each of the {workers} workers of a pod needs a relay port, and a pod has {ports}: widen turn.relayPortRange, or lower workers"
            )));
        }
        if self.slots() == 0 {
            return Err(Unservable(
                "exposure.portRange (2 ports) or turn.relayPortRange (perPod ports) is too small for one pod: widen it"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// How many slots the ranges have.
    #[must_use]
    pub fn slots(&self) -> u16 {
        if self.exposure != ExposureType::HostNetwork {
            return OWN_SLOTS;
        }
        let relay = self.per_pod.filter(|per_pod| *per_pod > 0).map_or(1, |per_pod| count(self.relay_range) / per_pod);
        relay.min(count(self.control_range) / STRIDE)
    }

    /// Relay ports of the pod of `slot`.
    #[must_use]
    pub fn relay_ports(&self, slot: u16) -> Option<PortRange> {
        match self.per_pod {
            Some(per_pod) => ports::relay_ports(self.relay_range, per_pod, slot),
            None => Some(self.relay_range),
        }
    }

    /// Control and metrics port of the pod of `slot`.
    #[must_use]
    pub fn control_ports(&self, slot: u16) -> Option<(u16, u16)> {
        if self.exposure != ExposureType::HostNetwork {
            return Some((ports::POD_CONTROL_PORT, ports::POD_METRICS_PORT));
        }
        let control = slot.checked_mul(STRIDE).and_then(|offset| self.control_range.min.checked_add(offset))?;
        let metrics = control.checked_add(1)?;
        (metrics <= self.control_range.max).then_some((control, metrics))
    }

    /// Port that the process itself binds for a listener.
    #[must_use]
    pub fn bound_port(&self, listener: &Listener) -> u16 {
        let port = listener_port(listener);
        if self.exposure == ExposureType::HostNetwork { port } else { ports::unprivileged(port) }
    }
}

/// Port that clients of a listener go to.
#[must_use]
pub fn listener_port(listener: &Listener) -> u16 {
    u16::try_from(listener.port).unwrap_or(0)
}

fn with_defaults(mut listeners: Vec<Listener>) -> Vec<Listener> {
    if listeners.is_empty() {
        listeners = [("udp", ListenerProtocol::UDP), ("tcp", ListenerProtocol::TCP)]
            .map(|(name, protocol)| Listener {
                name: name.to_owned(),
                protocol,
                port: DEFAULT_PORT,
                hostname: None,
                tls_secret_ref: None,
            })
            .to_vec();
    }
    listeners.sort_by(|a, b| (a.protocol, a.port, &a.name).cmp(&(b.protocol, b.port, &b.name)));
    listeners
}

fn rules(peers: &[Peer]) -> Result<Vec<PeerRule>, Unservable> {
    let rule = |peer: &Peer| {
        let ports = match &peer.ports {
            Some(ports) => Some(PortRange { min: port(ports.min)?, max: port(ports.max)? }),
            None => None,
        };
        Ok(PeerRule { cidr: peer.cidr.clone(), ports })
    };
    peers.iter().map(rule).collect()
}

fn count(range: PortRange) -> u16 {
    range.max.saturating_sub(range.min).saturating_add(1)
}

fn port(port: i32) -> Result<u16, Unservable> {
    u16::try_from(port).map_err(|_| Unservable(format!("{port} is not a port")))
}

fn number(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    pub(crate) fn spec(exposure: &str, turn: Value) -> RelayPoolSpec {
        serde_json::from_value(
            json!({ "role": "TURN", "region": "eu-west", "exposure": { "type": exposure }, "turn": turn }),
        )
        .unwrap()
    }

    #[test]
    fn a_pool_that_says_nothing_listens_on_3478_and_has_every_high_port() {
        let pool = TurnPool::of(&spec("HostPort", Value::Null)).unwrap();
        let listeners: Vec<_> = pool.listeners.iter().map(|l| (l.name.as_str(), l.protocol, l.port)).collect();
        assert_eq!(listeners, vec![("udp", ListenerProtocol::UDP, 3478), ("tcp", ListenerProtocol::TCP, 3478)]);
        assert_eq!(pool.relay_ports(7), Some(PortRange { min: 49_152, max: 65_535 }));
        assert_eq!(pool.control_ports(7), Some((7443, 9090)));
        assert_eq!((pool.auth_secret.as_str(), pool.quotas.allocations), ("plenum-turn-auth", 4_000));
    }

    #[test]
    fn pods_on_a_nodes_network_share_its_ports_by_slot() {
        let pool = TurnPool::of(&spec("HostNetwork", json!({}))).unwrap();
        assert_eq!(pool.slots(), 3);
        assert_eq!(pool.relay_ports(2), Some(PortRange { min: 64_000, max: 65_499 }));
        assert_eq!(pool.relay_ports(3), None);
        assert_eq!(pool.control_ports(2), Some((20_004, 20_005)));
        assert_eq!(pool.quotas.allocations, 1_500, "no more than it has ports");
    }

    #[test]
    fn a_privileged_listener_is_bound_elsewhere_and_sorted_behind_udp() {
        let tls = json!({ "name": "tls", "protocol": "TLS", "port": 443, "tlsSecretRef": { "name": "x" } });
        let udp = json!({ "name": "udp", "protocol": "UDP", "port": 3478 });
        let pool = TurnPool::of(&spec("HostPort", json!({ "listeners": [tls, udp] }))).unwrap();
        let bound: Vec<u16> = pool.listeners.iter().map(|listener| pool.bound_port(listener)).collect();
        assert_eq!(bound, vec![3478, 10_443]);
    }

    #[test]
    fn contradictions_are_told() {
        let udp = json!({ "listeners": [{ "name": "udp", "protocol": "UDP", "port": 50_000 }] });
        let error = TurnPool::of(&spec("HostPort", udp)).unwrap_err().to_string();
        assert!(error.contains("one of the relay ports (49152-65535)"), "{error}");
        let tcp = json!({ "listeners": [{ "name": "tcp", "protocol": "TCP", "port": 20_001 }] });
        let error = TurnPool::of(&spec("HostNetwork", tcp)).unwrap_err().to_string();
        assert!(error.contains("lies in exposure.portRange"), "{error}");
        let mut few = spec("HostPort", json!({ "relayPortRange": { "min": 50_000, "max": 50_001 } }));
        few.workers = 3;
        assert!(TurnPool::of(&few).unwrap_err().to_string().contains("widen turn.relayPortRange"));
    }

    #[test]
    fn quotas_follow_the_capacity_unless_they_are_set() {
        let mut pool = spec("HostPort", json!({ "quotas": { "allocationsPerUser": 3 } }));
        pool.capacity.per_pod.allocations = Some(50);
        let turn = TurnPool::of(&pool).unwrap();
        assert_eq!((turn.quotas.allocations, turn.quotas.allocations_per_user, turn.allocations), (50, 3, 50));
        pool.turn.as_mut().unwrap().quotas.allocations = Some(70);
        assert_eq!(TurnPool::of(&pool).unwrap().quotas.allocations, 70);
    }
}
