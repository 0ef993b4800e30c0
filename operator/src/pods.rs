//! Reading the pods of pools: labels, ports, conditions. Pure.

use crate::nodes::NodeView;
use crate::planner::{PodKey, PodState};
use k8s_openapi::api::core::v1::{ContainerPort, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use plenum_api::names;
use plenum_api::pool::Role;
use plenum_protocol::ports::PortRange;
use std::net::{IpAddr, SocketAddr};

/// How long a new pod may take to serve before rooms stop waiting for it.
const START_SECONDS: i64 = 30;

/// Namespace and name.
#[must_use]
pub fn key_of(pod: &Pod) -> Option<PodKey> {
    Some(PodKey { namespace: pod.namespace()?, name: pod.metadata.name.clone()? })
}

/// Name of its pool.
#[must_use]
pub fn pool_of(pod: &Pod) -> Option<&str> {
    pod.labels().get(names::LABEL_POOL).map(String::as_str)
}

/// Its slot.
#[must_use]
pub fn slot_of(pod: &Pod) -> Option<u16> {
    pod.labels().get(names::LABEL_SLOT)?.parse().ok()
}

/// Whether it takes no new rooms and leaves.
#[must_use]
pub fn is_draining(pod: &Pod) -> bool {
    pod.labels().get(names::LABEL_STATE).is_some_and(|state| state == names::STATE_DRAINING)
}

/// Seconds since 1970 when it began to drain; a draining pod without a readable time has done so for ever.
#[must_use]
pub fn draining_since(pod: &Pod) -> Option<i64> {
    let since = pod.annotations().get(names::ANNOTATION_DRAINING_SINCE);
    let since = since.and_then(|text| text.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second);
    is_draining(pod).then_some(since)
}

/// Whether it is being deleted.
#[must_use]
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether its containers ended for good.
#[must_use]
pub fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// Whether a condition of its status is `True`.
#[must_use]
pub fn has_condition(pod: &Pod, kind: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Whether the scheduler finds no node for it.
#[must_use]
pub fn is_unschedulable(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })
}

/// Whether Kubernetes calls it ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    !is_terminating(pod) && has_condition(pod, "Ready")
}

/// Where its control API listens, once it has an address.
#[must_use]
pub fn control_address(pod: &Pod) -> Option<SocketAddr> {
    let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    let port = ports(pod).find(|port| port.name.as_deref() == Some(names::PORT_CONTROL))?;
    Some(SocketAddr::new(address, u16::try_from(port.container_port).ok()?))
}

/// First and last media port on its node.
#[must_use]
pub fn media_ports(pod: &Pod) -> Option<(i32, i32)> {
    let media = |port: &&ContainerPort| port.name.as_deref().is_some_and(|name| name.starts_with("media-"));
    let numbers = || ports(pod).filter(media).filter_map(|port| port.host_port);
    Some((numbers().min()?, numbers().max()?))
}

/// Relay ports of a TURN pod.
#[must_use]
pub fn relay_ports(pod: &Pod) -> Option<PortRange> {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let port = |name: &str| {
        let mut variables = containers.iter().filter_map(|container| container.env.as_ref()).flatten();
        variables.find(|variable| variable.name == name)?.value.as_ref()?.parse::<u16>().ok()
    };
    Some(PortRange { min: port("PLENUM_RELAY_PORT_MIN")?, max: port("PLENUM_RELAY_PORT_MAX")? })
}

/// Addresses of the pod itself.
#[must_use]
pub fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = pod.status.as_ref() else { return Vec::new() };
    let first = status.pod_ip.iter().cloned();
    let all = first.chain(status.pod_ips.iter().flatten().map(|address| address.ip.clone()));
    let mut found: Vec<IpAddr> = Vec::new();
    for address in all.filter_map(|address| address.parse().ok()) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// What the pod does; `None` for one that no pool made.
#[must_use]
pub fn role_of(pod: &Pod) -> Option<Role> {
    match pod.labels().get(names::LABEL_APP)?.as_str() {
        names::APP_MEDIA_NODE => Some(Role::Media),
        names::APP_TURN_NODE => Some(Role::Turn),
        _ => None,
    }
}

fn ports(pod: &Pod) -> impl Iterator<Item = &ContainerPort> {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    containers.iter().filter_map(|container| container.ports.as_ref()).flatten()
}

/// Whether a pod was made a moment ago and does not serve yet.
#[must_use]
pub fn is_starting(pod: &Pod, node: &NodeView, now: Timestamp) -> bool {
    let made = pod.metadata.creation_timestamp.as_ref().map_or(0, |made| made.0.as_second());
    !node.serves && now.as_second().saturating_sub(made) < START_SECONDS
}

/// Where a pod stands for the planner.
#[must_use]
pub fn state_of(pod: &Pod, node: &NodeView, drain_seconds: i64, now: Timestamp) -> PodState {
    if is_finished(pod) || node.dead {
        return PodState::Lost;
    }
    if is_terminating(pod) {
        return PodState::Terminating;
    }
    match draining_since(pod) {
        Some(since) if now.as_second() >= since.saturating_add(drain_seconds) => PodState::DrainExpired,
        Some(_) => PodState::Draining,
        None if node.serves => PodState::Ready,
        None => PodState::NotReady,
    }
}
