//! What media and TURN pods must know of each other: which packets come by a relay, and whom relays may speak to. Pure.

use crate::planner::PodKey;
use crate::pods;
use crate::pools::address::{self, Outside};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use plenum_api::RelayPool;
use plenum_api::pool::Role;
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{MAX_ENTRIES, PeerEndpoint, PeerRule, RelaySource};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Most TURN pods that media pods are told of, so that a configuration fits into one message.
const MAX_SOURCES: usize = 2_000;
/// Most addresses of one of them.
const MAX_ADDRESSES: usize = 8;

/// A pod of a pool with what its reachability depends on.
pub struct Placed {
    /// Which.
    pub key: PodKey,
    /// The pod.
    pub pod: Arc<Pod>,
    /// Its pool.
    pub pool: Arc<RelayPool>,
    /// Its node, once it has one.
    pub node: Option<Arc<Node>>,
    /// What clients are told, once it is known.
    pub outside: Option<Outside>,
}

/// What pods must know of each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Where relayed packets come from.
    pub sources: Vec<RelaySource>,
    /// Media ports of all media pods.
    pub media: Vec<PeerEndpoint>,
    /// Relay ports of all TURN pods. Each is told of its own too: two clients of one pod meet there.
    pub relays: Vec<PeerEndpoint>,
    /// Addresses of nodes and balancers, and public pod ranges.
    pub guarded: Vec<PeerRule>,
}

impl Surroundings {
    /// From all pods of pools, all nodes, and addresses that are guarded besides.
    #[must_use]
    pub fn of(placed: &[Placed], nodes: &[Arc<Node>], others: &[IpAddr]) -> Self {
        let alive = || placed.iter().filter(|placed| !pods::is_finished(&placed.pod));
        let of_role = |role| alive().filter(move |placed| pods::role_of(&placed.pod) == Some(role));
        let mut sources: Vec<RelaySource> = of_role(Role::Turn).filter_map(Placed::source).collect();
        let mut media: Vec<PeerEndpoint> = of_role(Role::Media).filter_map(Placed::media).collect();
        let mut relays: Vec<PeerEndpoint> = of_role(Role::Turn).filter_map(Placed::relay).collect();
        sources.sort_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)));
        for endpoints in [&mut media, &mut relays] {
            endpoints.sort_by_key(|endpoint| (endpoint.inside, endpoint.ports.min));
        }
        for (what, many, most) in [("TURN pods", sources.len(), MAX_SOURCES), ("media pods", media.len(), MAX_ENTRIES)]
        {
            if many > most {
                tracing::warn!(many, most, "too many {what}: the rest is not told");
            }
        }
        sources.truncate(MAX_SOURCES);
        media.truncate(MAX_ENTRIES);
        relays.truncate(MAX_ENTRIES);
        Self { sources, media, relays, guarded: guarded(nodes, others) }
    }

    /// Whether TURN pods are to be told something else than `other`.
    #[must_use]
    pub fn differ_for_relays(&self, other: &Self) -> bool {
        (&self.media, &self.relays, &self.guarded) != (&other.media, &other.relays, &other.guarded)
    }
}

impl Placed {
    fn outside_addresses(&self) -> Vec<IpAddr> {
        let told = self.outside.iter().flat_map(|outside| &outside.addresses);
        told.filter_map(|address| address.parse().ok()).collect()
    }

    /// Packets of a pod may come from its own address, or from its node's where pods are masqueraded.
    fn source(&self) -> Option<RelaySource> {
        let mut addresses = pods::addresses(&self.pod);
        if addresses.is_empty() {
            return None;
        }
        let node = self.node.iter().flat_map(|node| address::of_type(node, "InternalIP"));
        for address in node.filter_map(|address| address.parse().ok()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.truncate(MAX_ADDRESSES);
        Some(RelaySource {
            namespace: self.key.namespace.clone(),
            pool: self.pool.name_any(),
            pod: self.key.name.clone(),
            region: self.pool.spec.region.clone(),
            addresses,
            outside: self.outside_addresses(),
            ports: pods::relay_ports(&self.pod)?,
        })
    }

    fn media(&self) -> Option<PeerEndpoint> {
        let (first, last) = pods::media_ports(&self.pod)?;
        let ports = PortRange { min: u16::try_from(first).ok()?, max: u16::try_from(last).ok()? };
        self.endpoint(ports)
    }

    fn relay(&self) -> Option<PeerEndpoint> {
        self.endpoint(pods::relay_ports(&self.pod)?)
    }

    fn endpoint(&self, ports: PortRange) -> Option<PeerEndpoint> {
        let inside = *pods::addresses(&self.pod).first()?;
        let outside = self.outside_addresses();
        (!outside.is_empty()).then_some(PeerEndpoint { outside, inside, ports })
    }
}

/// Addresses that no rule of a pool may open. Private pod ranges are not among them: relays refuse them anyway, and a pool
/// may open them to reach media servers of others. More of them than a message takes are told as the networks around them.
fn guarded(nodes: &[Arc<Node>], others: &[IpAddr]) -> Vec<PeerRule> {
    let mut hosts: BTreeSet<IpAddr> = others.iter().copied().collect();
    let mut ranges: BTreeSet<String> = BTreeSet::new();
    for node in nodes {
        let addresses = ["InternalIP", "ExternalIP"].into_iter().flat_map(|kind| address::of_type(node, kind));
        hosts.extend(addresses.filter_map(|address| address.parse::<IpAddr>().ok()));
        let spec = node.spec.as_ref();
        let pods = spec.and_then(|spec| spec.pod_cidrs.clone()).into_iter().flatten();
        ranges.extend(pods.chain(spec.and_then(|spec| spec.pod_cidr.clone())).filter(|cidr| is_public(cidr)));
    }
    let exact = hosts.len() + ranges.len() <= MAX_ENTRIES;
    ranges.extend(hosts.into_iter().map(|host| if exact { single(host) } else { around(host) }));
    ranges.into_iter().take(MAX_ENTRIES).map(|cidr| PeerRule { cidr, ports: None }).collect()
}

fn is_public(cidr: &str) -> bool {
    match cidr.split('/').next().and_then(|address| address.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(network)) => {
            let [a, b, ..] = network.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !network.is_private() && !shared
        }
        Some(IpAddr::V6(network)) => network.segments()[0] & 0xfe00 != 0xfc00,
        None => false,
    }
}

fn single(host: IpAddr) -> String {
    let length = if host.is_ipv4() { 32 } else { 128 };
    format!("{host}/{length}")
}

fn around(host: IpAddr) -> String {
    match host {
        IpAddr::V4(host) => {
            let [a, b, c, _] = host.octets();
            format!("{}/24", Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(host) => {
            let network = u128::from(host) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use plenum_api::pool::AddressSource;
    use serde_json::{Value, json};

    pub(crate) fn pool(role: &str) -> Arc<RelayPool> {
        let pool = json!({
            "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
            "metadata": { "name": "p", "namespace": "a", "uid": "u" },
            "spec": { "role": role, "region": "eu-west" },
        });
        Arc::new(serde_json::from_value(pool).unwrap())
    }

    pub(crate) fn placed(name: &str, app: &str, ip: &str, outside: &str) -> Placed {
        let media = json!([{ "name": "media-0", "protocol": "UDP", "containerPort": 20000, "hostPort": 20000 }]);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "a", "labels": { "app.kubernetes.io/name": app } },
            "spec": { "containers": [{
                "name": "c",
                "ports": if app == "plenum-media-node" { media } else { Value::Null },
                "env": [
                    { "name": "PLENUM_RELAY_PORT_MIN", "value": "49152" },
                    { "name": "PLENUM_RELAY_PORT_MAX", "value": "65535" },
                ],
            }] },
            "status": { "podIP": ip, "podIPs": [{ "ip": ip }] },
        }))
        .unwrap();
        Placed {
            key: PodKey { namespace: "a".into(), name: name.into() },
            pod: Arc::new(pod),
            pool: pool(if app == "plenum-media-node" { "Media" } else { "TURN" }),
            node: Some(node("172.16.0.7")),
            outside: Some(Outside {
                addresses: vec![outside.to_owned()],
                hosts: vec![],
                source: AddressSource::NodeExternalIP,
            }),
        }
    }

    pub(crate) fn node(ip: &str) -> Arc<Node> {
        let node = json!({
            "metadata": { "name": "n" },
            "spec": { "podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "2001:db8:1::/64", "fd00:1::/64"] },
            "status": { "addresses": [{ "type": "InternalIP", "address": ip }] },
        });
        Arc::new(serde_json::from_value(node).unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn relays_are_told_where_media_is_inside_and_media_where_relays_send_from() {
        let all = [
            placed("m", "plenum-media-node", "10.1.0.5", "192.0.2.1"),
            placed("t", "plenum-turn-node", "10.1.0.6", "192.0.2.1"),
        ];
        let around = Surroundings::of(&all, &[node("172.16.0.7")], &[ip("192.0.2.200")]);
        let media = PeerEndpoint {
            outside: vec![ip("192.0.2.1")],
            inside: ip("10.1.0.5"),
            ports: PortRange { min: 20_000, max: 20_000 },
        };
        assert_eq!(around.media, vec![media]);
        assert_eq!(around.sources[0].addresses, vec![ip("10.1.0.6"), ip("172.16.0.7")]);
        let guarded: Vec<&str> = around.guarded.iter().map(|rule| rule.cidr.as_str()).collect();
        assert_eq!(guarded, vec!["172.16.0.7/32", "192.0.2.200/32", "2001:db8:1::/64"]);
    }

    #[test]
    fn relays_are_told_of_the_relay_ports_of_all() {
        let all = [
            placed("u", "plenum-turn-node", "10.1.0.8", "192.0.2.2"),
            placed("t", "plenum-turn-node", "10.1.0.6", "192.0.2.1"),
        ];
        let told = Surroundings::of(&all, &[], &[]).relays;
        let inside: Vec<IpAddr> = told.iter().map(|relay| relay.inside).collect();
        assert_eq!((inside, told[0].ports.min), (vec![ip("10.1.0.6"), ip("10.1.0.8")], 49_152));
    }

    #[test]
    fn more_nodes_than_a_message_takes_are_guarded_by_their_networks() {
        let nodes: Vec<Arc<Node>> =
            (0..5_000).map(|n: u32| node(&Ipv4Addr::from(0xAC10_0000 + n).to_string())).collect();
        let around = Surroundings::of(&[], &nodes, &[]);
        assert!(around.guarded.len() <= MAX_ENTRIES);
        assert!(around.guarded.iter().any(|rule| rule.cidr == "172.16.19.0/24"));
    }
}
