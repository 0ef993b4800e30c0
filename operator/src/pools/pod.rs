//! Makes the pods of a pool: what all roles share is here, what is particular to a role in a file of its own. Pure.

mod media;
mod turn;

use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use plenum_api::pool::{Template, TolerationEffect, TolerationOperator};
use plenum_api::{RelayPool, names};
use plenum_protocol::control::CONTROL_CERT_DIR;
use plenum_protocol::ports::Exposure;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

pub(super) use media::MediaPart;
pub(super) use turn::{TurnPart, transport};

/// User and group of the process.
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
    pub(super) part: RolePart,
    pub(super) image: String,
    pub(super) pull_policy: String,
    pub(super) log: String,
}

/// What is particular to the pool's role.
pub(super) enum RolePart {
    /// Media servers.
    Media(MediaPart),
    /// TURN servers.
    Turn(TurnPart),
}

/// What a role adds to the pod of a slot.
struct Parts {
    /// Container ports towards clients.
    ports: Vec<Value>,
    control: u16,
    metrics: u16,
    environment: Vec<(&'static str, String)>,
    /// Variables that Kubernetes fills in, and from which field.
    fields: Vec<(&'static str, &'static str)>,
    secrets: Vec<SecretMount>,
}

/// A Secret that a pod mounts.
struct SecretMount {
    volume: String,
    secret: String,
    path: String,
}

impl RolePart {
    /// How many slots there are.
    pub(super) fn slots(&self) -> u16 {
        match self {
            Self::Media(media) => media.slots(),
            Self::Turn(turn) => turn.pool.slots(),
        }
    }

    fn parts(&self, slot: u16) -> Option<Parts> {
        match self {
            Self::Media(media) => media.parts(slot),
            Self::Turn(turn) => turn.parts(slot),
        }
    }

    fn app(&self) -> &'static str {
        match self {
            Self::Media(_) => names::APP_MEDIA_NODE,
            Self::Turn(_) => names::APP_TURN_NODE,
        }
    }

    fn container(&self) -> &'static str {
        match self {
            Self::Media(_) => "media-node",
            Self::Turn(_) => "turn-node",
        }
    }

    fn on_host_network(&self) -> bool {
        match self {
            Self::Media(media) => media.exposure == Exposure::HostNetwork,
            Self::Turn(turn) => turn.pool.exposure == plenum_api::pool::ExposureType::HostNetwork,
        }
    }
}

impl Blueprint {
    /// Digest of what the pods look like, whatever their slot.
    pub(super) fn revision(&self) -> String {
        let specs = [0, 1].map(|slot| self.part.parts(slot).map(|parts| self.spec(&parts)));
        let template = self.template();
        let all = json!([specs, self.part.slots(), template.labels, template.annotations]);
        let digest = Sha256::digest(all.to_string());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The pod of `slot`; `random` ends its name. `None`: there is no such slot.
    pub(super) fn pod(&self, slot: u16, random: &str) -> Option<Result<Pod, serde_json::Error>> {
        let parts = self.part.parts(slot)?;
        let pool = self.pool.name_any();
        let mut labels = self.template().labels.clone();
        labels.extend([
            (names::LABEL_APP.to_owned(), self.part.app().to_owned()),
            (names::LABEL_POOL.to_owned(), pool.clone()),
            (names::LABEL_SLOT.to_owned(), slot.to_string()),
            (names::LABEL_STATE.to_owned(), names::STATE_ACTIVE.to_owned()),
            (names::LABEL_ROLE.to_owned(), self.pool.spec.role.as_str().to_owned()),
        ]);
        let mut annotations = self.template().annotations.clone();
        annotations.insert(names::ANNOTATION_REVISION.to_owned(), self.revision());
        Some(serde_json::from_value(json!({
            "metadata": {
                "name": format!("{pool}-{slot}-{random}"),
                "namespace": self.namespace,
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [self.pool.controller_owner_ref(&())],
            },
            "spec": self.spec(&parts),
        })))
    }

    fn template(&self) -> &Template {
        &self.pool.spec.template
    }

    fn spec(&self, parts: &Parts) -> Value {
        let secret = |name: &str, secret: &str| json!({ "name": name, "secret": { "secretName": secret, "defaultMode": 0o440 } });
        let control = secret("control", names::SECRET_NODE_CONTROL);
        let others = parts.secrets.iter().map(|mount| secret(&mount.volume, &mount.secret));
        let volumes: Vec<Value> = std::iter::once(control).chain(others).collect();
        json!({
            "restartPolicy": "Always",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "hostNetwork": self.part.on_host_network(),
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
            "volumes": volumes,
            "containers": [self.container(parts)],
        })
    }

    fn container(&self, parts: &Parts) -> Value {
        let probe = |path: &str, period: i32, failures: i32| {
            json!({
                "httpGet": { "path": path, "port": names::PORT_METRICS },
                "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 2,
            })
        };
        let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
        let control = mount("control", CONTROL_CERT_DIR);
        let mounts =
            std::iter::once(control).chain(parts.secrets.iter().map(|secret| mount(&secret.volume, &secret.path)));
        let resources = &self.template().resources;
        json!({
            "name": self.part.container(),
            "image": self.image,
            "imagePullPolicy": self.pull_policy,
            "env": self.environment(parts),
            "ports": self.ports(parts),
            "resources": { "requests": resources.requests, "limits": resources.limits },
            "startupProbe": probe("/livez", 1, 30),
            "livenessProbe": probe("/livez", 5, 6),
            "readinessProbe": probe("/readyz", 2, 3),
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": mounts.collect::<Vec<_>>(),
        })
    }

    fn environment(&self, parts: &Parts) -> Value {
        let field =
            |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
        let value = |name: &str, value: String| json!({ "name": name, "value": value });
        let shared = [
            field("PLENUM_POD_NAME", "metadata.name"),
            field("PLENUM_POD_NAMESPACE", "metadata.namespace"),
            field("PLENUM_POD_UID", "metadata.uid"),
            field("PLENUM_POD_IP", "status.podIP"),
            field("PLENUM_NODE_NAME", "spec.nodeName"),
            value("PLENUM_WORKERS", self.pool.spec.workers.to_string()),
            value("PLENUM_CONTROL_PORT", parts.control.to_string()),
            value("PLENUM_METRICS_PORT", parts.metrics.to_string()),
            value("PLENUM_CONTROL_CERT_DIR", CONTROL_CERT_DIR.to_owned()),
            value("PLENUM_LOG", self.log.clone()),
        ];
        let fields = parts.fields.iter().map(|(name, path)| field(name, path));
        shared
            .into_iter()
            .chain(fields)
            .chain(parts.environment.iter().map(|(name, text)| value(name, text.clone())))
            .collect()
    }

    /// Every port is a host port where it lies on the node, so that the scheduler sees conflicts.
    fn ports(&self, parts: &Parts) -> Value {
        let inner = [(names::PORT_CONTROL, parts.control), (names::PORT_METRICS, parts.metrics)].map(|(name, port)| {
            let host_port = self.part.on_host_network().then_some(port);
            json!({ "name": name, "protocol": "TCP", "containerPort": port, "hostPort": host_port })
        });
        parts.ports.iter().cloned().chain(inner).collect()
    }

    fn node_selector(&self) -> Value {
        let mut selector = self.template().node_selector.clone();
        selector.insert(names::TOPOLOGY_REGION.to_owned(), self.pool.spec.region.clone());
        json!(selector)
    }

    fn affinity(&self) -> Value {
        if self.pool.spec.zones.is_empty() {
            return Value::Null;
        }
        let zone = json!({ "key": names::TOPOLOGY_ZONE, "operator": "In", "values": self.pool.spec.zones });
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
        let own = self.template().tolerations.iter().map(|toleration| {
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

#[cfg(test)]
mod tests;
