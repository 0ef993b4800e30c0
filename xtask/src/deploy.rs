//! Plenum on a target by its charts: install or upgrade, test, uninstall; and the API key of a namespace.

use crate::console::Console;
use crate::images::Images;
use crate::target::Target;
use crate::workspace::Workspace;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::io::Read;

/// The namespace of operator and gateways.
pub(crate) const NAMESPACE: &str = "plenum-system";
/// The NodePort under which gateways answer on every node.
pub(crate) const NODE_PORT: u16 = 30080;
/// Marks what `make up` made outside of the charts, so that `make down` finds it.
pub(crate) const MADE_BY: (&str, &str) = ("rtc.plenum.dev/made-by", "make-up");

const API_KEYS: &str = "plenum-api-keys";
const KEY_ID: &str = "demo";
const KEY_BYTES: usize = 32;

/// What an installation is told.
pub(crate) struct Release<'a> {
    /// Which images.
    pub(crate) images: &'a Images,
    /// What clients type.
    pub(crate) public_url: String,
    /// Further `--set` values.
    pub(crate) values: Vec<String>,
}

/// Installs or upgrades both charts and waits until everything is ready.
pub(crate) fn install(
    workspace: &Workspace,
    console: &Console,
    target: &Target,
    release: &Release,
) -> anyhow::Result<()> {
    make_namespace(target)?;
    console.step("installing the charts plenum-crds and plenum");
    let crds = workspace.path("charts/plenum-crds").display().to_string();
    helm_install(target, "plenum-crds", &crds, &[])?;
    for resource in ["rooms.rtc.plenum.dev", "relaypools.rtc.plenum.dev"] {
        target.wait(console, NAMESPACE, "Established", &["crd", resource])?;
    }
    let chart = workspace.path("charts/plenum").display().to_string();
    let mut values = vec![
        format!("image.registry={}", release.images.registry),
        format!("image.tag={}", release.images.tag),
        format!("gateway.publicURL={}", release.public_url),
        "gateway.service.type=NodePort".to_owned(),
        format!("gateway.service.nodePort={NODE_PORT}"),
        "networkPolicies.mediaNamespaces={default}".to_owned(),
    ];
    values.extend(release.images.pull_secret.iter().map(|name| format!("image.pullSecrets={{{name}}}")));
    values.extend(release.values.iter().cloned());
    helm_install(target, "plenum", &chart, &values)?;
    for deployment in ["deployment/plenum-operator", "deployment/plenum-gateway"] {
        target.roll_out(console, NAMESPACE, deployment)?;
    }
    Ok(())
}

/// The namespace of operator and gateways, marked as ours when it is new.
pub(crate) fn make_namespace(target: &Target) -> anyhow::Result<()> {
    if target.find("looking for the namespace", &["namespace", NAMESPACE])?.is_some() {
        return Ok(());
    }
    let (label, value) = MADE_BY;
    let manifest =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {label: value}}});
    target.apply("making the namespace", NAMESPACE, &manifest.to_string())
}

fn helm_install(target: &Target, name: &str, chart: &str, values: &[String]) -> anyhow::Result<()> {
    let mut arguments = vec!["upgrade", "--install", name, chart, "--namespace", NAMESPACE];
    for value in values {
        arguments.extend(["--set", value]);
    }
    target.helm(&format!("installing the chart {name}"), &arguments).map(|_| ())
}

/// Uninstalls `plenum`; the CRDs stay.
pub(crate) fn uninstall(console: &Console, target: &Target, name: &str) -> anyhow::Result<()> {
    console.step(format!("uninstalling the chart {name}"));
    let what = format!("uninstalling the chart {name}");
    let arguments = ["uninstall", name, "--namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout", "120s"];
    target.helm(&what, &arguments).map(|_| ())
}

/// An API key: id and secret.
pub(crate) struct ApiKey {
    /// What the secret is called.
    pub(crate) id: String,
    /// The secret.
    pub(crate) secret: String,
}

/// The API key of a namespace, made when the namespace has none.
pub(crate) fn api_key(console: &Console, target: &Target, namespace: &str) -> anyhow::Result<ApiKey> {
    let keys = target.find("looking for an API key", &["secret", API_KEYS, "--namespace", namespace])?;
    if let Some(keys) = keys {
        return existing_key(&keys);
    }
    console.step(format!("making an API key in the namespace {namespace}"));
    let secret = random_text()?;
    let (label, value) = MADE_BY;
    let manifest = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": API_KEYS, "labels": {label: value}},
        "stringData": {KEY_ID: secret},
    });
    target.apply("making an API key", namespace, &manifest.to_string())?;
    Ok(ApiKey { id: KEY_ID.to_owned(), secret })
}

fn existing_key(secret: &Value) -> anyhow::Result<ApiKey> {
    let data = secret.get("data").and_then(Value::as_object).context("the Secret plenum-api-keys has no keys")?;
    let (id, value) = data.iter().next().context("the Secret plenum-api-keys has no keys")?;
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).context("decoding the API key")?;
    Ok(ApiKey { id: id.clone(), secret: String::from_utf8(bytes).context("the API key is not text")? })
}

fn random_text() -> anyhow::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    let mut source = std::fs::File::open("/dev/urandom").context("opening /dev/urandom")?;
    source.read_exact(&mut bytes).context("reading /dev/urandom")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_key_is_used_again() {
        let secret = json!({"data": {"team": STANDARD.encode("hush")}});
        let key = existing_key(&secret).unwrap();
        assert_eq!((key.id.as_str(), key.secret.as_str()), ("team", "hush"));
        assert!(existing_key(&json!({"data": {}})).is_err());
    }

    #[test]
    fn two_random_texts_differ() {
        assert_ne!(random_text().unwrap(), random_text().unwrap());
    }
}
