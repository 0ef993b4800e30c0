//! `make up` on a cluster that somebody else runs: images come from a registry, the page through a port-forward.

use super::{ROOM, ROOM_NAMESPACE, join_token, open_room, port_of_environment};
use crate::console::Console;
use crate::deploy::{self, MADE_BY, NAMESPACE, Release};
use crate::examples;
use crate::images::{PULL_SECRET, REGISTRY, Registry};
use crate::run::{self, Background};
use crate::target::Target;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};

/// Installs Plenum there, and prints how to open the example room.
pub(super) fn command(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let Some(registry) = Registry::from_environment()? else {
        bail!(
            "KUBECONFIG is set, so the cluster pulls images: set {REGISTRY} to a registry that it can pull from, or unset KUBECONFIG to start a cluster here"
        );
    };
    let target = Target::existing(workspace, console)?;
    let pools = examples::manifests(&examples::pools_for(workspace, &target.regions()?)?);
    check_architecture(&target.architectures()?, architecture_here())?;
    let pull_secret = registry.pull_secret().map(|name| copy_of_pull_secret(&target, name)).transpose()?;
    let images = registry.push(workspace, console)?;
    let port = port_of_environment()?.unwrap_or(super::FIRST_PORT);
    let public_url = std::env::var("PLENUM_PUBLIC_URL").ok().filter(|url| !url.is_empty());
    deploy::make_namespace(&target)?;
    if let Some(secret) = pull_secret {
        target.apply("copying the pull secret", NAMESPACE, &secret.to_string())?;
    }
    let url = public_url.clone().unwrap_or_else(|| format!("http://localhost:{port}"));
    // The cluster has other uses: no port of its nodes is taken but those of the media.
    let values = vec!["gateway.service.type=ClusterIP".to_owned(), "gateway.service.nodePort=null".to_owned()];
    let release = Release { images: &images, public_url: url.clone(), values };
    deploy::install(workspace, console, &target, &release)?;
    open_room(workspace, console, &target, &pools)?;
    let token = token_through_forward(console, &target)?;
    match public_url {
        Some(_) => println!("\nPlenum runs. Open this in two tabs, and leave with `make down`:\n"),
        None => {
            println!("\nPlenum runs. Keep this running, open the page in two tabs, and leave with `make down`:\n");
            let kubectl = target.kubectl_words().join(" ");
            println!("  {kubectl} port-forward --namespace {NAMESPACE} service/plenum-gateway {port}:80");
        }
    }
    println!("  {url}/rooms/{ROOM_NAMESPACE}/{ROOM}#token={token}\n");
    Ok(())
}

/// Images are built for the architecture of this machine, by the name that Kubernetes has for it.
fn architecture_here() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn check_architecture(nodes: &[String], here: &str) -> anyhow::Result<()> {
    if nodes.iter().all(|node| node != here) {
        bail!("images are built for {here}, as this machine is, and the nodes are {}", nodes.join(", "));
    }
    Ok(())
}

/// The Secret with which nodes pull, for the namespace of operator and gateways. Media pods have the one of their
/// namespace's service account, so that must name it.
fn copy_of_pull_secret(target: &Target, name: &str) -> anyhow::Result<Value> {
    let here = ["--namespace", ROOM_NAMESPACE];
    let secret = target.find("looking for the pull secret", &[&["secret", name], &here[..]].concat())?;
    let account = target.get("reading the service account", &[&["serviceaccount", "default"], &here[..]].concat())?;
    pull_secret_for_programs(name, secret.as_ref(), &account)
}

fn pull_secret_for_programs(name: &str, secret: Option<&Value>, account: &Value) -> anyhow::Result<Value> {
    let named = account.get("imagePullSecrets").and_then(Value::as_array).into_iter().flatten();
    let is_named = named.filter_map(|one| one.get("name")?.as_str()).any(|one| one == name);
    let (Some(secret), true) = (secret, is_named) else {
        bail!(
            "{PULL_SECRET}={name}: make it in the namespace {ROOM_NAMESPACE}, where the media pods are, and let its pods use it; then run this again:\n  \
             kubectl create secret docker-registry {name} --namespace {ROOM_NAMESPACE} --docker-server=... --docker-username=... --docker-password=...\n  \
             kubectl patch serviceaccount default --namespace {ROOM_NAMESPACE} -p '{{\"imagePullSecrets\":[{{\"name\":\"{name}\"}}]}}'"
        );
    };
    let (label, value) = MADE_BY;
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": secret.get("type"),
        "metadata": {"name": name, "labels": {label: value}},
        "data": secret.get("data"),
    }))
}

/// A token, minted on the way that the person takes next.
fn token_through_forward(console: &Console, target: &Target) -> anyhow::Result<String> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let port = free.context("finding a free port")?.port();
    let forward = forward(target, port)?;
    let token = join_token(console, target, port);
    forward.stop()?;
    token
}

/// Carries connections from a port of localhost to the gateways.
fn forward(target: &Target, port: u16) -> anyhow::Result<Background> {
    let ports = format!("{port}:80");
    let arguments = ["port-forward", "--namespace", NAMESPACE, "service/plenum-gateway", &ports];
    run::background("forwarding a port", target.kubectl_command(&arguments)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_run_none_of_the_images_are_an_error() {
        assert!(check_architecture(&["arm64".to_owned(), "amd64".to_owned()], "amd64").is_ok());
        let error = check_architecture(&["arm64".to_owned()], "amd64").unwrap_err().to_string();
        assert!(error.contains("the nodes are arm64"), "{error}");
    }

    #[test]
    fn a_pull_secret_is_copied_when_media_pods_use_it_and_else_it_is_said_how() {
        let secret = json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="},
            "metadata": {"name": "pull", "resourceVersion": "7", "namespace": "default"}});
        let account = json!({"imagePullSecrets": [{"name": "other"}, {"name": "pull"}]});
        let copy = pull_secret_for_programs("pull", Some(&secret), &account).unwrap();
        assert_eq!((&copy["type"], &copy["data"]), (&secret["type"], &secret["data"]));
        assert_eq!(copy["metadata"], json!({"name": "pull", "labels": {MADE_BY.0: MADE_BY.1}}));
        for (secret, account) in [(None, account), (Some(&secret), json!({}))] {
            let error = pull_secret_for_programs("pull", secret, &account).unwrap_err().to_string();
            assert!(error.contains("kubectl patch serviceaccount default --namespace default"), "{error}");
        }
    }
}
