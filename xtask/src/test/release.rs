//! What a platform team does with the charts, on the real thing: test, upgrade, uninstall.

use crate::console::Console;
use crate::deploy::{self, NAMESPACE, Release};
use crate::images::Images;
use crate::run;
use crate::target::Target;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use serde_json::Value;
use std::time::Duration;

/// `helm test`: the gateway answers under its Service.
pub(super) fn helm_test(console: &Console, target: &Target) -> anyhow::Result<()> {
    console.step("helm test");
    let output = target.helm("helm test", &["test", "plenum", "--namespace", NAMESPACE, "--timeout", "90s"])?;
    if !output.contains("Succeeded") {
        bail!("helm test ran nothing: {output}");
    }
    Ok(())
}

/// An upgrade with other values reaches the pods, one replica at a time, and keeps every Room.
pub(super) fn upgrade(
    workspace: &Workspace,
    console: &Console,
    target: &Target,
    images: &Images,
) -> anyhow::Result<()> {
    console.step("helm upgrade with other values");
    let rooms = room_uid(target)?;
    let url = "http://upgraded.example".to_owned();
    let values = vec!["logLevel=debug".to_owned(), "operator.replicas=1".to_owned()];
    deploy::install(workspace, console, target, &Release { images, public_url: url.clone(), values })?;
    let operator = target.get("reading the operator", &["deployment/plenum-operator", "--namespace", NAMESPACE])?;
    let text = operator.to_string();
    if operator.pointer("/status/readyReplicas").and_then(Value::as_u64) != Some(1) || !text.contains(&url) {
        bail!("the upgrade did not reach the operator: {text}");
    }
    if room_uid(target)? != rooms {
        bail!("the upgrade replaced the Room resource");
    }
    Ok(())
}

/// After an uninstall nothing of the chart is left, and the CRDs (with every Room) are.
pub(super) fn uninstall(console: &Console, target: &Target) -> anyhow::Result<()> {
    let before = room_uid(target)?;
    deploy::uninstall(console, target, "plenum")?;
    deploy::uninstall(console, target, "plenum-crds")?;
    if room_uid(target)? != before {
        bail!("the uninstall deleted the CRDs, and with them every Room");
    }
    let kinds = "deployments,services,serviceaccounts,poddisruptionbudgets,networkpolicies,roles,rolebindings";
    let selector = "app.kubernetes.io/part-of=plenum,app.kubernetes.io/managed-by=Helm";
    run::wait_until(console, "an empty namespace", Duration::from_secs(60), || {
        let left = target.list("listing what is left", &[kinds, "--namespace", NAMESPACE, "--selector", selector])?;
        Ok(left.is_empty())
    })?;
    let roles = target.list("listing cluster roles", &["clusterroles,clusterrolebindings", "--selector", selector])?;
    if !roles.is_empty() {
        bail!("the uninstall left cluster roles");
    }
    Ok(())
}

/// Identity of the CRD: a new one means that all Rooms were deleted.
fn room_uid(target: &Target) -> anyhow::Result<String> {
    let crd = target.get("reading the CRD of Room", &["crd", "rooms.rtc.plenum.dev"])?;
    Ok(crd.pointer("/metadata/uid").and_then(Value::as_str).context("the CRD of Room has no UID")?.to_owned())
}
