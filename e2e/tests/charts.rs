//! What the chart and the operator really run: ready, measured, and with no more rights than needed.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::ListParams;
use plenum_e2e::grants;
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::SHARED_NAMESPACE;
use serde_json::json;
use std::time::Duration;

const METRICS_PORT: u16 = 9090;
const GATEWAY_PORT: u16 = 8080;

pub(crate) async fn programs_are_ready_measured_and_hardened(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let (kube, system) = (&scene.suite.kube, scene.suite.env.namespace.as_str());
    for (namespace, app, metric, at_least) in [
        (system, "plenum-operator", "plenum_operator_", 2),
        (system, "plenum-gateway", "plenum_gateway_", 2),
        (SHARED_NAMESPACE, "plenum-media-node", "plenum_media_", 2),
    ] {
        let pods = kube.pods(namespace, &format!("app.kubernetes.io/name={app}")).await?;
        ensure!(pods.len() >= at_least, "{} pods of {app}", pods.len());
        for pod in &pods {
            let name = pod.name_any();
            ensure!(grants::is_ready(pod), "{name} is not ready");
            let text = kube.pod_get(namespace, &name, METRICS_PORT, "metrics").await?;
            ensure!(text.contains(metric), "{name} exports nothing that begins with {metric}");
            for probe in ["livez", "readyz"] {
                kube.pod_get(namespace, &name, METRICS_PORT, probe)
                    .await
                    .with_context(|| format!("{name} /{probe}"))?;
            }
            hardened(pod).with_context(|| name.clone())?;
        }
    }
    let media = kube.pods(SHARED_NAMESPACE, "app.kubernetes.io/name=plenum-media-node").await?;
    for pod in &media {
        let token = pod.spec.as_ref().and_then(|spec| spec.automount_service_account_token);
        ensure!(token == Some(false), "media pod {} has a service account token", pod.name_any());
    }
    let budgets =
        kube.api::<PodDisruptionBudget>(system).list(&ListParams::default()).await.context("listing budgets")?;
    ensure!(budgets.items.len() >= 2, "{} PodDisruptionBudgets", budgets.items.len());
    Ok(())
}

/// Name of the pod and its Secret; both go with the test.
const TLS_GATEWAY: &str = "plenum-e2e-tls";

pub(crate) async fn a_gateway_with_a_certificate_speaks_tls(scene: &Scene<'_>) -> Result<()> {
    let (kube, system) = (&scene.suite.kube, scene.suite.env.namespace.as_str());
    let outcome = tls_gateway(scene).await;
    kube.delete_pod_at_once(system, TLS_GATEWAY).await?;
    kube.delete::<Secret>(system, TLS_GATEWAY, Duration::from_secs(10)).await?;
    outcome
}

/// One more gateway as the chart makes them, with a certificate, behind no Service.
async fn tls_gateway(scene: &Scene<'_>) -> Result<()> {
    let (kube, system) = (&scene.suite.kube, scene.suite.env.namespace.as_str());
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).context("making a certificate")?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": TLS_GATEWAY},
        "stringData": {"tls.crt": issued.cert.pem(), "tls.key": issued.signing_key.serialize_pem()},
    });
    kube.apply(system, secret).await?;
    let deployment: Deployment =
        kube.api(system).get("plenum-gateway").await.context("reading the gateways' Deployment")?;
    let template = deployment.spec.and_then(|spec| spec.template.spec).context("a Deployment has a template")?;
    let mut spec = serde_json::to_value(template).context("reading the template")?;
    spec["topologySpreadConstraints"] = json!([]);
    spec["terminationGracePeriodSeconds"] = json!(1);
    spec["volumes"] = json!([{"name": "tls", "secret": {"secretName": TLS_GATEWAY, "defaultMode": 0o444}}]);
    let container = spec.pointer_mut("/containers/0").context("the template has a container")?;
    container["volumeMounts"] = json!([{"name": "tls", "mountPath": "/etc/plenum/tls", "readOnly": true}]);
    let variables = container["env"].as_array_mut().context("the container has variables")?;
    variables.push(json!({"name": "PLENUM_TLS_DIR", "value": "/etc/plenum/tls"}));
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": TLS_GATEWAY}, "spec": spec});
    kube.apply(system, pod).await?;
    kube.wait(system, TLS_GATEWAY, "Ready", Duration::from_secs(60), grants::is_ready).await?;
    // The API server speaks TLS to it, without looking at who signed.
    let page = kube.pod_get(system, &format!("https:{TLS_GATEWAY}"), GATEWAY_PORT, "").await?;
    ensure!(page.contains("Plenum"), "the page over TLS is {page}");
    let raw = format!("/api/v1/namespaces/{system}/pods/{TLS_GATEWAY}:{GATEWAY_PORT}/proxy/");
    let plain = scene.suite.env.kubectl(&["get", "--raw", &raw]).await;
    ensure!(plain.is_err(), "it speaks plain HTTP too: {plain:?}");
    Ok(())
}

fn hardened(pod: &Pod) -> Result<()> {
    let spec = pod.spec.as_ref().context("a pod has a spec")?;
    let of_pod = spec.security_context.clone().unwrap_or_default();
    for container in &spec.containers {
        let own = container.security_context.clone().unwrap_or_default();
        ensure!(own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true), "may run as root");
        ensure!(own.read_only_root_filesystem == Some(true), "may write to its root");
        ensure!(own.allow_privilege_escalation == Some(false), "may gain privileges");
        let dropped = own.capabilities.as_ref().and_then(|caps| caps.drop.clone()).unwrap_or_default();
        ensure!(dropped == ["ALL"] && added(container).is_empty(), "drops {dropped:?}, adds {:?}", added(container));
        let profile =
            own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref()).map(|profile| profile.type_.as_str());
        ensure!(profile == Some("RuntimeDefault"), "seccomp profile {profile:?}");
    }
    Ok(())
}

fn added(container: &Container) -> Vec<String> {
    let capabilities = container.security_context.as_ref().and_then(|context| context.capabilities.as_ref());
    capabilities.and_then(|capabilities| capabilities.add.clone()).unwrap_or_default()
}
