//! Every pod of the charts runs with nothing that it does not need, and can be observed, spread and evicted.

use super::{list, name_of, text};
use anyhow::bail;
use serde_json::{Value, json};

/// Pods of Deployments and bare pods (the Helm test).
pub(super) fn check(objects: &[Value]) -> anyhow::Result<()> {
    let mut deployments = 0;
    for object in objects {
        match text(object, "/kind") {
            "Deployment" => {
                deployments += 1;
                deployment(object)?;
                pod(&name_of(object), object.pointer("/spec/template/spec").unwrap_or(&Value::Null))?;
            }
            "Pod" => pod(&name_of(object), object.pointer("/spec").unwrap_or(&Value::Null))?,
            _ => {}
        }
    }
    if deployments != 2 {
        bail!("the chart renders {deployments} deployments: the operator and the gateway are expected");
    }
    Ok(())
}

fn deployment(object: &Value) -> anyhow::Result<()> {
    let name = name_of(object);
    let spec = object.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    if object.pointer("/spec/replicas").and_then(Value::as_u64).is_none_or(|replicas| replicas < 2) {
        bail!("{name} has one replica by default: its death would be noticed");
    }
    if list(spec, "/topologySpreadConstraints").is_empty() || spec.get("terminationGracePeriodSeconds").is_none() {
        bail!("{name} lacks topologySpreadConstraints or terminationGracePeriodSeconds");
    }
    for container in list(spec, "/containers") {
        let probe = |kind: &str| text(container, &format!("/{kind}/httpGet/path")).to_owned();
        if probe("livenessProbe") != "/livez" || probe("readinessProbe") != "/readyz" {
            bail!("{name}: liveness must ask /livez and readiness /readyz");
        }
    }
    Ok(())
}

fn pod(name: &str, spec: &Value) -> anyhow::Result<()> {
    let wanted = [
        ("/securityContext/runAsNonRoot", json!(true)),
        ("/securityContext/seccompProfile/type", json!("RuntimeDefault")),
    ];
    expect(name, spec, &wanted)?;
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec.get(forbidden).is_some() {
            bail!("{name} asks for {forbidden}");
        }
    }
    if list(spec, "/containers").is_empty() {
        bail!("{name} has no containers");
    }
    for container in list(spec, "/containers") {
        let wanted = [
            ("/securityContext/allowPrivilegeEscalation", json!(false)),
            ("/securityContext/readOnlyRootFilesystem", json!(true)),
            ("/securityContext/capabilities/drop", json!(["ALL"])),
        ];
        expect(name, container, &wanted)?;
        for resource in ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"] {
            if container.pointer(resource).is_none() {
                bail!("{name} lacks {resource}");
            }
        }
        if list(container, "/ports").iter().any(|port| port.get("hostPort").is_some()) {
            bail!("{name} takes a host port");
        }
        if text(container, "/image").ends_with(":latest") || !text(container, "/image").contains(':') {
            bail!("{name} has an image without a fixed tag");
        }
    }
    Ok(())
}

fn expect(name: &str, object: &Value, wanted: &[(&str, Value)]) -> anyhow::Result<()> {
    for (pointer, value) in wanted {
        if object.pointer(pointer) != Some(value) {
            bail!("{name}: {pointer} must be {value}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_may_be_root_is_found() {
        let good = json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "image": "x:1",
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
            }],
        });
        assert!(pod("Pod/x", &good).is_ok());
        for (pointer, bad) in [
            ("/securityContext/runAsNonRoot", json!(false)),
            ("/containers/0/securityContext/readOnlyRootFilesystem", json!(false)),
            ("/containers/0/image", json!("x:latest")),
        ] {
            let mut broken = good.clone();
            *broken.pointer_mut(pointer).unwrap() = bad;
            assert!(pod("Pod/x", &broken).is_err(), "{pointer}");
        }
    }
}
