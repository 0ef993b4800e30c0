//! What must hold of TURN pods, the directory that gateways choose from, and the pools that Rooms name.

use super::{State, addresses_of, slot_of};
use crate::grants;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plenum_api::pool::{ExposureType, NamespacesFrom, Role};
use plenum_api::{RelayPool, Room, names};
use plenum_protocol::ports::{PortRange, relay_ports, unprivileged};
use plenum_protocol::relay::Relay;
use std::collections::BTreeSet;

/// Default relay ports of pods of the node's network, and how many one takes.
const HOST_NETWORK: (u16, u16, u16) = (61_000, 65_535, 1_500);

/// The directory holds the ready, active TURN pods, and no other.
pub(super) fn check_directory(state: &State, broken: &mut Vec<String>) {
    let wanted: BTreeSet<(String, String)> = state
        .pods
        .iter()
        .filter(|pod| is_turn_pod(pod) && serves(pod) && !is_orphan(state, pod))
        .map(|pod| (pod.namespace().unwrap_or_default(), pod.name_any()))
        .collect();
    let listed: BTreeSet<(String, String)> =
        state.directory.relays.iter().map(|relay| (relay.namespace.clone(), relay.pod.clone())).collect();
    for (namespace, pod) in wanted.difference(&listed) {
        broken.push(format!("TURN pod {namespace}/{pod} is ready, but not in the directory of relays"));
    }
    for (namespace, pod) in listed.difference(&wanted) {
        broken.push(format!("the directory of relays has {namespace}/{pod}, which is no ready TURN pod"));
    }
    if listed.len() != state.directory.relays.len() {
        broken.push("the directory of relays has a pod twice".to_owned());
    }
    for relay in &state.directory.relays {
        check_relay(state, relay, broken);
    }
}

fn is_turn_pod(pod: &Pod) -> bool {
    pod.labels().get(names::LABEL_APP).is_some_and(|app| app == names::APP_TURN_NODE)
}

fn serves(pod: &Pod) -> bool {
    let active = pod.labels().get(names::LABEL_STATE).is_some_and(|state| state == names::STATE_ACTIVE);
    active && pod.metadata.deletion_timestamp.is_none() && grants::is_ready(pod)
}

/// A pool that is gone or going takes its pods along, a moment later.
fn is_orphan(state: &State, pod: &Pod) -> bool {
    let pool = pod.labels().get(names::LABEL_POOL).map(String::as_str).unwrap_or_default();
    let found = state.pool(&pod.namespace().unwrap_or_default(), pool);
    found.is_none_or(|pool| pool.metadata.deletion_timestamp.is_some())
}

fn check_relay(state: &State, relay: &Relay, broken: &mut Vec<String>) {
    let name = format!("relay {}/{}", relay.namespace, relay.pod);
    let Some(pool) = state.pool(&relay.namespace, &relay.pool) else {
        broken.push(format!("{name} is of pool {}, which is not there", relay.pool));
        return;
    };
    if pool.spec.region != relay.region {
        broken.push(format!("{name} says region {}, its pool is in {}", relay.region, pool.spec.region));
    }
    if relay.doors.is_empty() {
        broken.push(format!("{name} has no way in"));
    }
    let Some(pod) = state.pod(&relay.namespace, &relay.pod) else { return };
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    let of_node: BTreeSet<&str> = state.nodes.iter().filter(|n| n.name_any() == node).flat_map(addresses_of).collect();
    let given: BTreeSet<&str> = pool.spec.exposure.address.addresses.iter().map(String::as_str).collect();
    let ports: BTreeSet<i32> = listeners(pool).into_iter().map(i32::from).collect();
    for door in &relay.doors {
        if !ports.contains(&i32::from(door.port)) {
            broken.push(format!("{name} tells clients port {}, its pool listens on {ports:?}", door.port));
        }
        // A balancer's address, and a host name, are not the node's.
        let by_node = pool.spec.exposure.kind != ExposureType::LoadBalancer;
        let literal = |host: &&String| host.parse::<std::net::IpAddr>().is_ok();
        for host in door.hosts.iter().filter(literal).filter(|_| by_node && given.is_empty()) {
            if !of_node.contains(host.as_str()) {
                broken.push(format!("{name} tells clients {host}, which is no address of node {node}"));
            }
        }
    }
}

/// Ports of the pool's listeners as clients know them.
fn listeners(pool: &RelayPool) -> Vec<u16> {
    let given = pool.spec.turn.as_ref().map(|turn| turn.listeners.as_slice()).unwrap_or_default();
    if given.is_empty() {
        return vec![3_478];
    }
    given.iter().filter_map(|listener| u16::try_from(listener.port).ok()).collect()
}

/// The pools that a Room names are TURN pools that admit it, in regions that it allows.
pub(super) fn check_pools_of_room(state: &State, name: &str, room: &Room, broken: &mut Vec<String>) {
    let namespace = room.namespace().unwrap_or_default();
    let allowed = &room.spec.placement.allowed_regions;
    let mut seen = BTreeSet::new();
    for named in room.status.iter().flat_map(|status| &status.relay_pools) {
        let shown = format!("{}/{}", named.namespace, named.name);
        if !seen.insert(shown.clone()) {
            broken.push(format!("{name} names the relay pool {shown} twice"));
        }
        let Some(pool) = state.pool(&named.namespace, &named.name) else {
            broken.push(format!("{name} names the relay pool {shown}, which is not there"));
            continue;
        };
        if pool.spec.role != Role::Turn {
            broken.push(format!("{name} names the relay pool {shown}, whose role is {}", pool.spec.role.as_str()));
        }
        if pool.spec.region != named.region {
            broken.push(format!("{name} says that {shown} is in {}, it is in {}", named.region, pool.spec.region));
        }
        if !allowed.is_empty() && !allowed.contains(&named.region) {
            broken.push(format!("{name} names {shown}, whose region {} it does not allow", named.region));
        }
        // Selectors are the operator's own business: they are judged by its tests.
        let same_only = pool.spec.allowed_rooms.namespaces.from == NamespacesFrom::Same;
        if same_only && named.namespace != namespace {
            broken.push(format!("{name} names {shown}, which admits its own namespace only"));
        }
    }
}

/// A TURN pod has the container ports that its pool's listeners and its slot give it.
pub(super) fn check_ports(state: &State, broken: &mut Vec<String>) {
    for pod in state.pods.iter().filter(|pod| is_turn_pod(pod)) {
        let name = format!("TURN pod {}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
        let pool = pod.labels().get(names::LABEL_POOL).map(String::as_str).unwrap_or_default();
        let Some(pool) = state.pool(&pod.namespace().unwrap_or_default(), pool) else { continue };
        // A pod of an earlier generation of its pool is replaced, one at a time.
        let current = pool.status.as_ref().and_then(|status| status.observed_generation) == pool.metadata.generation;
        let active = pod.labels().get(names::LABEL_STATE).is_some_and(|state| state == names::STATE_ACTIVE);
        if !current || !active {
            continue;
        }
        let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let has = |number: u16, host: Option<u16>| {
            containers
                .iter()
                .flat_map(|container| container.ports.iter().flatten())
                .any(|port| port.container_port == i32::from(number) && port.host_port == host.map(i32::from))
        };
        for listener in listeners(pool) {
            let (container, host) = match pool.spec.exposure.kind {
                ExposureType::HostPort => (unprivileged(listener), Some(listener)),
                ExposureType::HostNetwork => (listener, Some(listener)),
                ExposureType::LoadBalancer => (unprivileged(listener), None),
            };
            if !has(container, host) {
                broken.push(format!("{name} lacks port {container} (host port {host:?}) for its pool's {listener}"));
            }
        }
        if pool.spec.exposure.kind == ExposureType::HostNetwork {
            check_relay_ports(&name, pool, pod, &has, broken);
        }
    }
}

/// Pods of one node must not relay on each other's ports: the first one of a slot is declared.
fn check_relay_ports(
    name: &str,
    pool: &RelayPool,
    pod: &Pod,
    has: &dyn Fn(u16, Option<u16>) -> bool,
    broken: &mut Vec<String>,
) {
    let given = pool.spec.turn.as_ref().map(|turn| turn.relay_port_range.clone()).unwrap_or_default();
    let port = |value: Option<i32>, default: u16| value.and_then(|value| u16::try_from(value).ok()).unwrap_or(default);
    let (min, max, per_pod) = HOST_NETWORK;
    let range = PortRange { min: port(given.min, min), max: port(given.max, max) };
    let slot = slot_of(pod).and_then(|slot| relay_ports(range, port(given.per_pod, per_pod), slot));
    match slot {
        None => broken.push(format!("{name} has no slot of its pool's relay ports")),
        Some(ports) if !has(ports.min, Some(ports.min)) => {
            broken.push(format!("{name} does not declare its first relay port {}", ports.min));
        }
        Some(_) => {}
    }
}
