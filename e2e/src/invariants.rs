//! What must hold in the API server's state at the end of every test, whatever the test did.
//!
//! [`check`] judges one reading of the state and is pure; [`settle`] reads until nothing is broken, since the
//! operator may be in the middle of something. What must never happen, not even for a moment, is in [`crate::epochs`].

mod relays;

use crate::kube::Kube;
use crate::relays::directory;
use crate::wait::{Look, until};
use anyhow::Result;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use plenum_api::pool::ExposureType;
use plenum_api::room::{Assignment, EndpointPurpose, Topology};
use plenum_api::{Condition, RelayPool, Room, conditions, names};
use plenum_protocol::ports::{Exposure, PortRange, slot_ports};
use plenum_protocol::relay::RelayDirectory;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One reading of the API server.
#[derive(Debug, Default)]
pub struct State {
    /// All Rooms.
    pub rooms: Vec<Room>,
    /// All RelayPools.
    pub pools: Vec<RelayPool>,
    /// All pods that hold resources (not finished).
    pub pods: Vec<Pod>,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// Which relays gateways choose from.
    pub directory: RelayDirectory,
}

impl State {
    /// Reads everything; `system` is the operator's namespace.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn read(kube: &Kube, system: &str) -> Result<Self> {
        let finished = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        };
        let mut pods = kube.all::<Pod>().await?;
        pods.retain(|pod| !finished(pod));
        let directory = directory(kube, system).await?;
        Ok(Self { rooms: kube.all().await?, pools: kube.all().await?, pods, nodes: kube.all().await?, directory })
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.name_any() == name && pod.namespace().as_deref() == Some(namespace))
    }

    fn pool(&self, namespace: &str, name: &str) -> Option<&RelayPool> {
        self.pools.iter().find(|pool| pool.name_any() == name && pool.namespace().as_deref() == Some(namespace))
    }
}

/// Reads until every invariant holds.
///
/// # Errors
/// The deadline passes; the message lists what is broken.
pub async fn settle(kube: &Kube, system: &str, within: Duration) -> Result<()> {
    until("every invariant holds", within, async || {
        let broken = check(&State::read(kube, system).await?);
        Ok(Look::when(broken.is_empty(), (), || broken.join("\n  ")))
    })
    .await
}

/// What is broken, in plain words.
#[must_use]
pub fn check(state: &State) -> Vec<String> {
    let mut broken = Vec::new();
    for room in state.rooms.iter().filter(|room| room.metadata.deletion_timestamp.is_none()) {
        check_room(state, room, &mut broken);
    }
    for pool in state.pools.iter().filter(|pool| pool.metadata.deletion_timestamp.is_none()) {
        check_pool(state, pool, &mut broken);
    }
    check_owners(state, &mut broken);
    check_host_ports(state, &mut broken);
    relays::check_directory(state, &mut broken);
    relays::check_ports(state, &mut broken);
    broken
}

fn check_room(state: &State, room: &Room, broken: &mut Vec<String>) {
    let name = format!("Room {}/{}", room.namespace().unwrap_or_default(), room.name_any());
    let Some(status) = &room.status else {
        broken.push(format!("{name} has no status"));
        return;
    };
    check_conditions(&name, &conditions::ROOM, &status.conditions, room.metadata.generation, broken);
    if status.observed_generation != room.metadata.generation {
        broken.push(format!(
            "{name} observed generation {:?}, it is {:?}",
            status.observed_generation, room.metadata.generation
        ));
    }
    relays::check_pools_of_room(state, &name, room, broken);
    let pair = room.topology() == Topology::PeerToPeer;
    if pair && (room.media_assignment().is_some() || status.placement.as_ref().is_some_and(|p| p.region.is_some())) {
        broken.push(format!("{name} is peer to peer and has a media pod"));
    }
    let Some(assignment) = room.media_assignment().filter(|_| !pair) else {
        let waits = room.condition(conditions::SCHEDULED).is_some_and(|condition| condition.status != "True");
        if !pair && !waits {
            broken.push(format!("{name} has no media pod, but Scheduled does not say so"));
        }
        return;
    };
    if room.epoch() < 1 {
        broken.push(format!("{name} is bound under epoch {}", room.epoch()));
    }
    check_assignment(state, &name, assignment, broken);
}

/// Each type once, for the present generation.
fn check_conditions(
    name: &str,
    wanted: &[&str],
    found: &[Condition],
    generation: Option<i64>,
    broken: &mut Vec<String>,
) {
    for kind in wanted {
        let of_kind: Vec<_> = found.iter().filter(|condition| condition.type_ == *kind).collect();
        match of_kind.as_slice() {
            [one] if one.observed_generation == generation => {}
            [one] => broken.push(format!(
                "{name}: {kind} speaks of generation {:?}, it is {generation:?}",
                one.observed_generation
            )),
            other => broken.push(format!("{name}: {kind} is there {} times", other.len())),
        }
    }
}

fn check_assignment(state: &State, name: &str, assignment: &Assignment, broken: &mut Vec<String>) {
    let Some(pod) = state.pod(&assignment.namespace, &assignment.pod) else {
        broken.push(format!("{name} is bound to pod {}/{}, which is not there", assignment.namespace, assignment.pod));
        return;
    };
    if pod.labels().get(names::LABEL_POOL) != Some(&assignment.pool) {
        broken.push(format!("{name} is bound to pod {}, which is not of pool {}", assignment.pod, assignment.pool));
    }
    let node_name = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    if assignment.node != node_name {
        broken.push(format!("{name} says its pod is on {:?}, it is on {node_name:?}", assignment.node));
    }
    let Some(pool) = state.pool(&assignment.namespace, &assignment.pool) else {
        broken
            .push(format!("{name} is bound to pool {}/{}, which is not there", assignment.namespace, assignment.pool));
        return;
    };
    if pool.spec.region != assignment.region {
        broken.push(format!("{name} says region {}, its pool is in {}", assignment.region, pool.spec.region));
    }
    check_endpoints(state, name, assignment, pool, pod, broken);
}

fn check_endpoints(
    state: &State,
    name: &str,
    assignment: &Assignment,
    pool: &RelayPool,
    pod: &Pod,
    broken: &mut Vec<String>,
) {
    let Some((base, last)) = media_ports(pool, pod) else {
        broken.push(format!("pod {} has no slot of its pool's port range", pod.name_any()));
        return;
    };
    let node = assignment.node.as_deref().unwrap_or_default();
    let given: BTreeSet<&str> = pool.spec.exposure.address.addresses.iter().map(String::as_str).collect();
    let node_addresses = state.nodes.iter().filter(|n| n.name_any() == node).flat_map(addresses_of);
    let allowed: BTreeSet<&str> = if given.is_empty() { node_addresses.collect() } else { given };
    let media: Vec<_> =
        assignment.endpoints.iter().filter(|endpoint| endpoint.purpose == EndpointPurpose::Media).collect();
    if media.is_empty() {
        broken.push(format!("{name} has no media endpoint"));
    }
    for endpoint in media {
        if !allowed.contains(endpoint.address.as_str()) {
            broken.push(format!("{name}: endpoint {} is no address of node {node}", endpoint.address));
        }
        let (from, to) = (endpoint.port, endpoint.end_port.unwrap_or(endpoint.port));
        if from < base || to > last {
            broken.push(format!("{name}: endpoint ports {from}-{to} are not of the pod's {base}-{last}"));
        }
    }
}

/// First and last media port of a pod, by its slot.
fn media_ports(pool: &RelayPool, pod: &Pod) -> Option<(i32, i32)> {
    let slot = slot_of(pod)?;
    let port = |value: i32| u16::try_from(value).ok();
    let range =
        PortRange { min: port(pool.spec.exposure.port_range.min)?, max: port(pool.spec.exposure.port_range.max)? };
    let exposure = match pool.spec.exposure.kind {
        ExposureType::HostPort => Exposure::HostPort,
        ExposureType::HostNetwork => Exposure::HostNetwork,
        // Of TURN pods only.
        ExposureType::LoadBalancer => return None,
    };
    let ports = slot_ports(range, port(pool.spec.workers)?, slot, exposure)?;
    Some((i32::from(ports.media_base), i32::from(ports.media_base) + i32::from(ports.workers) - 1))
}

fn slot_of(pod: &Pod) -> Option<u16> {
    pod.labels().get(names::LABEL_SLOT)?.parse().ok()
}

fn addresses_of(node: &Node) -> impl Iterator<Item = &str> {
    let addresses = node.status.as_ref().and_then(|status| status.addresses.as_ref());
    addresses.into_iter().flatten().filter(|a| a.type_ != "Hostname").map(|address| address.address.as_str())
}

fn check_pool(state: &State, pool: &RelayPool, broken: &mut Vec<String>) {
    let namespace = pool.namespace().unwrap_or_default();
    let name = format!("RelayPool {namespace}/{}", pool.name_any());
    let Some(status) = &pool.status else {
        broken.push(format!("{name} has no status"));
        return;
    };
    check_conditions(&name, &conditions::POOL, &status.conditions, pool.metadata.generation, broken);
    let selected = |pod: &&Pod| {
        let alive = pod.metadata.deletion_timestamp.is_none() && pod.namespace().as_ref() == Some(&namespace);
        alive && matches_selector(pod, &status.selector)
    };
    if status.selector.is_empty() {
        broken.push(format!("{name} has no selector for autoscalers"));
    } else {
        let active = state.pods.iter().filter(selected).count();
        if i32::try_from(active).ok() != Some(status.replicas) {
            broken.push(format!("{name} says {} replicas, its selector matches {active}", status.replicas));
        }
    }
}

/// Equality terms only: that is what the operator writes.
fn matches_selector(pod: &Pod, selector: &str) -> bool {
    selector.split(',').all(|term| {
        term.split_once('=')
            .is_some_and(|(key, value)| pod.labels().get(key).is_some_and(|v| v == value.trim_start_matches('=')))
    })
}

/// Pods of pools have one controller, their pool, and a slot of their own.
fn check_owners(state: &State, broken: &mut Vec<String>) {
    let mut slots: BTreeMap<(String, String, String), String> = BTreeMap::new();
    for pod in state.pods.iter().filter(|pod| pod.labels().contains_key(names::LABEL_POOL)) {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let pool_name = pod.labels().get(names::LABEL_POOL).cloned().unwrap_or_default();
        let controller = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
        let pool = state.pool(&namespace, &pool_name);
        // A pool that is gone takes its pods along, a moment later.
        if controller.is_none_or(|owner| owner.kind != "RelayPool" || owner.name != pool_name) {
            broken.push(format!("pod {namespace}/{name} is not controlled by RelayPool {pool_name}"));
        } else if pool.is_some_and(|pool| pool.uid() != controller.map(|owner| owner.uid.clone())) {
            broken.push(format!("pod {namespace}/{name} belongs to an earlier RelayPool {pool_name}"));
        }
        let slot = pod.labels().get(names::LABEL_SLOT).cloned().unwrap_or_default();
        if slot.parse::<u16>().is_err() {
            broken.push(format!("pod {namespace}/{name} has slot {slot:?}"));
        }
        if let Some(other) = slots.insert((namespace.clone(), pool_name, slot.clone()), name.clone()) {
            broken.push(format!("pods {other} and {name} in {namespace} share slot {slot}"));
        }
    }
}

/// No two pods on a node have the same host port.
fn check_host_ports(state: &State, broken: &mut Vec<String>) {
    let mut taken: BTreeMap<(String, String, i32), String> = BTreeMap::new();
    for pod in &state.pods {
        let Some(spec) = &pod.spec else { continue };
        let Some(node) = &spec.node_name else { continue };
        for port in spec.containers.iter().flat_map(|container| container.ports.iter().flatten()) {
            let Some(number) = port.host_port else { continue };
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
            if let Some(other) = taken.insert((node.clone(), protocol.clone(), number), name.clone()) {
                broken.push(format!("{other} and {name} both have {protocol} host port {number} of {node}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn pod(name: &str, slot: &str, owner: &str) -> Pod {
        object(json!({
            "metadata": {"name": name, "namespace": "a", "labels": {names::LABEL_POOL: "eu", names::LABEL_SLOT: slot, names::LABEL_STATE: "active"},
                "ownerReferences": [{"apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool", "name": owner, "uid": "u", "controller": true}]},
            "spec": {"nodeName": "n", "containers": [{"name": "media", "ports": [{"containerPort": 20000, "hostPort": 20000, "protocol": "UDP"}]}]},
        }))
    }

    fn pool() -> RelayPool {
        let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        object(json!({
            "metadata": {"name": "eu", "namespace": "a", "uid": "u", "generation": 1}, "spec": {"role": "Media", "region": "eu-west"},
            "status": {"replicas": 1, "selector": "rtc.plenum.dev/pool=eu,rtc.plenum.dev/state=active",
                "conditions": conditions::POOL.iter().map(|kind| condition(kind)).collect::<Vec<_>>()},
        }))
    }

    fn room() -> Room {
        let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        object(json!({
            "metadata": {"name": "r", "namespace": "a", "generation": 1}, "spec": {"topology": "MediaServer"},
            "status": {"observedGeneration": 1, "conditions": conditions::ROOM.iter().map(|kind| condition(kind)).collect::<Vec<_>>(),
                "placement": {"epoch": 1, "region": "eu-west", "decidedAt": "2026-01-01T00:00:00Z", "reason": "x"},
                "assignments": [{"role": "Media", "namespace": "a", "pool": "eu", "pod": "eu-0-abcde", "bootId": "b", "node": "n", "region": "eu-west",
                    "endpoints": [{"purpose": "Media", "protocol": "UDP", "address": "192.0.2.1", "port": 20000}]}]},
        }))
    }

    #[test]
    fn two_peers_need_no_pod_and_have_none() {
        let mut state = healthy();
        let status = state.rooms[0].status.as_mut().unwrap();
        status.topology = Some(Topology::PeerToPeer);
        assert!(check(&state).iter().any(|line| line.contains("is peer to peer and has a media pod")));
        let status = state.rooms[0].status.as_mut().unwrap();
        (status.assignments, status.placement) = (Vec::new(), None);
        assert_eq!(check(&state), Vec::<String>::new());
    }

    fn node() -> Node {
        object(
            json!({"metadata": {"name": "n"}, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}}),
        )
    }

    fn healthy() -> State {
        State {
            rooms: vec![room()],
            pools: vec![pool()],
            pods: vec![pod("eu-0-abcde", "0", "eu")],
            nodes: vec![node()],
            directory: RelayDirectory::default(),
        }
    }

    #[test]
    fn a_healthy_state_has_nothing_broken() {
        assert_eq!(check(&healthy()), Vec::<String>::new());
    }

    #[test]
    fn a_room_bound_to_a_pod_that_is_gone_is_broken() {
        let mut state = healthy();
        state.pods.clear();
        assert!(check(&state).iter().any(|line| line.contains("which is not there")));
    }

    #[test]
    fn two_pods_with_one_slot_and_one_host_port_are_broken() {
        let mut state = healthy();
        state.pods.push(pod("eu-0-fghij", "0", "eu"));
        let broken = check(&state);
        assert!(broken.iter().any(|line| line.contains("share slot 0")), "{broken:?}");
        assert!(broken.iter().any(|line| line.contains("host port 20000")), "{broken:?}");
        assert!(broken.iter().any(|line| line.contains("says 1 replicas, its selector matches 2")), "{broken:?}");
    }

    #[test]
    fn a_pod_of_nobody_is_broken() {
        let mut state = healthy();
        state.pods = vec![pod("eu-0-abcde", "0", "other")];
        assert!(check(&state).iter().any(|line| line.contains("is not controlled by")));
    }

    #[test]
    fn an_endpoint_that_is_not_the_pods_is_broken() {
        let mut state = healthy();
        state.nodes.clear();
        assert!(check(&state).iter().any(|line| line.contains("is no address of node")));
    }

    fn with_relay() -> State {
        let mut state = healthy();
        let mut turn = pool();
        turn.metadata.name = Some("turn".to_owned());
        turn.spec = object(json!({"role": "TURN", "region": "eu-west",
            "turn": {"listeners": [{"name": "tls", "protocol": "TLS", "port": 443, "tlsSecretRef": {"name": "t"}}]}}));
        if let Some(status) = &mut turn.status {
            (status.observed_generation, status.selector) = (Some(1), "rtc.plenum.dev/pool=turn".to_owned());
        }
        state.pools.push(turn);
        state.pods.push(object(json!({
            "metadata": {"name": "turn-0-abcde", "namespace": "a", "labels": {names::LABEL_POOL: "turn", names::LABEL_SLOT: "0",
                names::LABEL_STATE: "active", names::LABEL_APP: names::APP_TURN_NODE},
                "ownerReferences": [{"apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool", "name": "turn", "uid": "u", "controller": true}]},
            "spec": {"nodeName": "n", "containers": [{"name": "turn", "ports": [{"containerPort": 10443, "hostPort": 443, "protocol": "TCP"}]}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        })));
        state.directory =
            object(json!({"relays": [{"namespace": "a", "pool": "turn", "pod": "turn-0-abcde", "bootId": "b",
            "region": "eu-west", "control": "10.0.0.1:7443", "secret": "s", "credentialTtlSeconds": 60,
            "doors": [{"transport": "TLS", "hosts": ["192.0.2.1"], "port": 443}]}]}));
        if let Some(status) = &mut state.rooms[0].status {
            status.relay_pools = vec![object(json!({"namespace": "a", "name": "turn", "region": "eu-west"}))];
        }
        state
    }

    #[test]
    fn a_healthy_relay_has_nothing_broken() {
        assert_eq!(check(&with_relay()), Vec::<String>::new());
    }

    #[test]
    fn a_directory_that_lags_is_broken() {
        let mut state = with_relay();
        state.directory.relays.clear();
        assert!(check(&state).iter().any(|line| line.contains("not in the directory")));
        let mut state = with_relay();
        state.pods.pop();
        assert!(check(&state).iter().any(|line| line.contains("which is no ready TURN pod")));
        let mut state = with_relay();
        state.directory.relays[0].doors[0].port = 444;
        assert!(check(&state).iter().any(|line| line.contains("tells clients port 444")));
    }

    #[test]
    fn a_room_that_names_a_pool_it_may_not_use_is_broken() {
        let mut state = with_relay();
        state.rooms[0].spec.placement.allowed_regions = vec!["us-east".to_owned()];
        assert!(check(&state).iter().any(|line| line.contains("does not allow")));
        let mut state = with_relay();
        state.rooms[0].metadata.namespace = Some("b".to_owned());
        assert!(check(&state).iter().any(|line| line.contains("its own namespace only")));
    }

    #[test]
    fn a_relay_without_its_host_port_is_broken() {
        let mut state = with_relay();
        let pod = state.pods.last_mut().unwrap();
        pod.spec.as_mut().unwrap().containers[0].ports.as_mut().unwrap()[0].host_port = Some(8443);
        assert!(check(&state).iter().any(|line| line.contains("lacks port 10443")));
    }

    #[test]
    fn a_condition_of_an_old_generation_is_broken() {
        let mut state = healthy();
        state.rooms[0].metadata.generation = Some(2);
        assert!(check(&state).iter().any(|line| line.contains("speaks of generation")));
    }
}
