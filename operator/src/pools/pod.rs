//! Makes the pods of a pool. Pure.

use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use plenum_api::pool::{Template, TolerationEffect, TolerationOperator};
use plenum_api::{RelayPool, names};
use plenum_protocol::control::CONTROL_CERT_DIR;
use plenum_protocol::ports::{self, Exposure, PortRange, SlotPorts};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// User and group of the media node's process.
const USER: i64 = 65_532;
/// How long a pod may take to end its sessions after it is deleted, in seconds.
const GRACE_SECONDS: i64 = 30;
/// How long a pod stays on a node that Kubernetes has lost, in seconds.
const LOST_NODE_SECONDS: i64 = 30;
/// Label with the name of a node.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// All that a pod is made from, but for its slot and its name.
pub(super) struct Blueprint {
    pub(super) pool: Arc<RelayPool>,
    pub(super) namespace: String,
    pub(super) region: String,
    pub(super) zones: Vec<String>,
    pub(super) template: Template,
    pub(super) range: PortRange,
    pub(super) workers: u16,
    pub(super) exposure: Exposure,
    pub(super) image: String,
    pub(super) pull_policy: String,
    pub(super) log: String,
}

impl Blueprint {
    /// Digest of what the pods look like, whatever their slot.
    pub(super) fn revision(&self) -> String {
        let spec = self.slot(0).map(|ports| self.spec(&ports));
        let labels = json!([spec, self.template.labels, self.template.annotations, self.range.min, self.range.max]);
        let digest = Sha256::digest(labels.to_string());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The pod of `slot`; `random` ends its name. `None`: there is no such slot.
    pub(super) fn pod(&self, slot: u16, random: &str) -> Option<Result<Pod, serde_json::Error>> {
        let ports = self.slot(slot)?;
        let pool = self.pool.name_any();
        let mut labels = self.template.labels.clone();
        labels.extend([
            (names::LABEL_APP.to_owned(), names::APP_MEDIA_NODE.to_owned()),
            (names::LABEL_POOL.to_owned(), pool.clone()),
            (names::LABEL_SLOT.to_owned(), slot.to_string()),
            (names::LABEL_STATE.to_owned(), names::STATE_ACTIVE.to_owned()),
            (names::LABEL_ROLE.to_owned(), "Media".to_owned()),
        ]);
        let mut annotations = self.template.annotations.clone();
        annotations.insert(names::ANNOTATION_REVISION.to_owned(), self.revision());
        Some(serde_json::from_value(json!({
            "metadata": {
                "name": format!("{pool}-{slot}-{random}"),
                "namespace": self.namespace,
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [self.pool.controller_owner_ref(&())],
            },
            "spec": self.spec(&ports),
        })))
    }

    fn slot(&self, slot: u16) -> Option<SlotPorts> {
        ports::slot_ports(self.range, self.workers, slot, self.exposure)
    }

    fn spec(&self, ports: &SlotPorts) -> Value {
        let host_network = self.exposure == Exposure::HostNetwork;
        json!({
            "restartPolicy": "Always",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "hostNetwork": host_network,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "readinessGates": [{ "conditionType": names::CONDITION_CONFIGURED }],
            "nodeSelector": self.node_selector(),
            "affinity": self.affinity(),
            "topologySpreadConstraints": self.spread(),
            "tolerations": self.tolerations(),
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "volumes": [{ "name": "control", "secret": { "secretName": names::SECRET_NODE_CONTROL, "defaultMode": 0o440 } }],
            "containers": [self.container(ports, host_network)],
        })
    }

    fn container(&self, ports: &SlotPorts, host_network: bool) -> Value {
        let probe = |path: &str, period: i32, failures: i32| {
            json!({
                "httpGet": { "path": path, "port": names::PORT_METRICS },
                "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 2,
            })
        };
        json!({
            "name": "media-node",
            "image": self.image,
            "imagePullPolicy": self.pull_policy,
            "env": self.environment(ports),
            "ports": container_ports(ports, host_network),
            "resources": { "requests": self.template.resources.requests, "limits": self.template.resources.limits },
            "startupProbe": probe("/livez", 1, 30),
            "livenessProbe": probe("/livez", 5, 6),
            "readinessProbe": probe("/readyz", 2, 3),
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [{ "name": "control", "mountPath": CONTROL_CERT_DIR, "readOnly": true }],
        })
    }

    fn environment(&self, ports: &SlotPorts) -> Value {
        let field =
            |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
        let value = |name: &str, value: String| json!({ "name": name, "value": value });
        json!([
            field("PLENUM_POD_NAME", "metadata.name"),
            field("PLENUM_POD_NAMESPACE", "metadata.namespace"),
            field("PLENUM_POD_UID", "metadata.uid"),
            field("PLENUM_POD_IP", "status.podIP"),
            field("PLENUM_NODE_NAME", "spec.nodeName"),
            value("PLENUM_WORKERS", ports.workers.to_string()),
            value("PLENUM_MEDIA_PORT_BASE", ports.media_base.to_string()),
            value("PLENUM_CONTROL_PORT", ports.control.to_string()),
            value("PLENUM_METRICS_PORT", ports.metrics.to_string()),
            value("PLENUM_CONTROL_CERT_DIR", CONTROL_CERT_DIR.to_owned()),
            value("PLENUM_LOG", self.log.clone()),
        ])
    }

    fn node_selector(&self) -> Value {
        let mut selector = self.template.node_selector.clone();
        selector.insert(names::TOPOLOGY_REGION.to_owned(), self.region.clone());
        json!(selector)
    }

    fn affinity(&self) -> Value {
        if self.zones.is_empty() {
            return Value::Null;
        }
        let zone = json!({ "key": names::TOPOLOGY_ZONE, "operator": "In", "values": self.zones });
        json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [zone] }],
        } } })
    }

    fn spread(&self) -> Value {
        let over = |key: &str| {
            json!({
                "topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": { names::LABEL_POOL: self.pool.name_any() } },
            })
        };
        json!([over(names::TOPOLOGY_ZONE), over(HOSTNAME)])
    }

    fn tolerations(&self) -> Value {
        let lost = |key: &str| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LOST_NODE_SECONDS });
        let own = self.template.tolerations.iter().map(|toleration| {
            json!({
                "key": toleration.key,
                "operator": match toleration.operator {
                    TolerationOperator::Equal => "Equal",
                    TolerationOperator::Exists => "Exists",
                },
                "value": toleration.value,
                "effect": toleration.effect.map(|effect| match effect {
                    TolerationEffect::NoSchedule => "NoSchedule",
                    TolerationEffect::PreferNoSchedule => "PreferNoSchedule",
                    TolerationEffect::NoExecute => "NoExecute",
                }),
                "tolerationSeconds": toleration.toleration_seconds,
            })
        });
        let defaults = [lost("node.kubernetes.io/not-ready"), lost("node.kubernetes.io/unreachable")];
        own.chain(defaults).collect()
    }
}

/// Every port is a host port where it lies on the node, so that the scheduler sees conflicts.
fn container_ports(ports: &SlotPorts, host_network: bool) -> Value {
    let media = (0..ports.workers).map(|worker| {
        let port = ports.media_base + worker;
        json!({ "name": names::media_port_name(worker), "protocol": "UDP", "containerPort": port, "hostPort": port })
    });
    let inner = [(names::PORT_CONTROL, ports.control), (names::PORT_METRICS, ports.metrics)].map(|(name, port)| {
        let host_port = host_network.then_some(port);
        json!({ "name": name, "protocol": "TCP", "containerPort": port, "hostPort": host_port })
    });
    media.chain(inner).collect()
}

#[cfg(test)]
mod tests;
