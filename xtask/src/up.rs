//! `make up`: from a clone to the URL of a page on which two tabs can talk.

use crate::cluster::Cluster;
use crate::console::Console;
use crate::deploy::{self, MADE_BY, NAMESPACE, NODE_PORT, Release};
use crate::images::{self, Images};
use crate::run;
use crate::target::{self, Target};
use crate::token::{self, Wanted};
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// The cluster that a person plays with.
pub(crate) const CLUSTER: &str = "plenum";
/// Where the example room is.
pub(crate) const ROOM_NAMESPACE: &str = "default";
/// Its name.
pub(crate) const ROOM: &str = "demo";
/// How many pools `examples/pools.yaml` has.
pub(crate) const EXAMPLE_POOLS: usize = 2;
const FIRST_PORT: u16 = 8080;
const PORTS_TRIED: u16 = 20;

/// `xtask up`.
pub(crate) fn command(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    if target::kubeconfig().is_some() {
        return on_existing(workspace, console);
    }
    let programs = tools::cluster(workspace, console)?;
    let images = images::pack(workspace, console, &programs)?;
    let cluster = Cluster::new(programs, CLUSTER);
    cluster.up(console)?;
    cluster.load_images(console, &images.archives)?;
    let port = local_port(&cluster)?;
    let target = Target::embedded(cluster.clone());
    let public_url = format!("http://localhost:{port}");
    let release = Release { images: &images, public_url: public_url.clone(), values: Vec::new() };
    deploy::install(workspace, console, &target, &release)?;
    let pools =
        std::fs::read_to_string(workspace.path("examples/pools.yaml")).context("reading examples/pools.yaml")?;
    open_room(workspace, console, &target, &pools)?;
    let status = cluster.status()?;
    let node = status.nodes.iter().find(|node| node.alive).context("no node of the cluster is alive")?;
    cluster.forward(console, &format!("127.0.0.1:{port}"), &format!("{}:{NODE_PORT}", node.address))?;
    let token = join_token(console, &target, port)?;
    println!("\nPlenum runs. Open this in two tabs, and leave with `make down`:\n");
    println!("  {public_url}/rooms/{ROOM_NAMESPACE}/{ROOM}#token={token}\n");
    say_more(&target, &images);
    Ok(())
}

/// The same on a cluster that somebody else runs: images come from a registry, the page through a port-forward.
fn on_existing(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let Some(registry) = images::registry() else {
        bail!(
            "KUBECONFIG is set, so the cluster pulls images: set IMAGE_REGISTRY to a registry that it can pull from, or unset KUBECONFIG to start a cluster here"
        );
    };
    let target = Target::existing(workspace, console)?;
    let pools = pools_for(workspace, &target.regions()?)?;
    let images = images::push(workspace, console, &registry)?;
    let port = FIRST_PORT;
    let public_url = std::env::var("PLENUM_PUBLIC_URL").unwrap_or_else(|_| format!("http://localhost:{port}"));
    let release = Release { images: &images, public_url: public_url.clone(), values: Vec::new() };
    let is_new = target.kubectl("looking for the namespace", &["get", "namespace", NAMESPACE]).is_err();
    deploy::install(workspace, console, &target, &release)?;
    if is_new {
        let (label, value) = MADE_BY;
        let label = format!("{label}={value}");
        target.kubectl("labelling the namespace", &["label", "--overwrite", "namespace", NAMESPACE, &label])?;
    }
    open_room(workspace, console, &target, &pools)?;
    let key = deploy::api_key(console, &target, ROOM_NAMESPACE)?;
    println!("\nPlenum runs. Let it reach this machine, and mint a token:\n");
    println!("  kubectl port-forward --namespace {NAMESPACE} service/plenum-gateway {port}:80 &");
    println!(
        "  curl -s --user {}:$(kubectl get secret plenum-api-keys --namespace {ROOM_NAMESPACE} -o jsonpath='{{.data.{}}}' | base64 -d) \\",
        key.id, key.id
    );
    println!(
        "    --json '{{\"namespace\":\"{ROOM_NAMESPACE}\",\"identity\":\"me\",\"video\":{{\"room\":\"{ROOM}\",\"roomJoin\":true}}}}' {public_url}/v1/tokens\n"
    );
    println!("  {public_url}/rooms/{ROOM_NAMESPACE}/{ROOM}#token=TOKEN\n");
    Ok(())
}

/// The example pools, for the regions that this cluster's nodes are in.
fn pools_for(workspace: &Workspace, regions: &[String]) -> anyhow::Result<String> {
    if regions.is_empty() {
        bail!(
            "no node says which region it is in; label them, then run this again:\n  kubectl label nodes --all topology.kubernetes.io/region=home"
        );
    }
    let text = std::fs::read_to_string(workspace.path("examples/pools.yaml")).context("reading examples/pools.yaml")?;
    let documents: Vec<Value> =
        serde_yaml::Deserializer::from_str(&text).map(Value::deserialize).collect::<Result<_, _>>()?;
    let mut manifests = Vec::new();
    for (mut pool, region) in documents.into_iter().zip(regions) {
        for pointer in ["/metadata/name", "/spec/region"] {
            *pool.pointer_mut(pointer).with_context(|| format!("examples/pools.yaml lacks {pointer}"))? =
                Value::from(region.as_str());
        }
        manifests.push(pool.to_string());
    }
    Ok(manifests.join("\n---\n"))
}

/// Applies pools and the example room, and waits until the room is Ready.
fn open_room(workspace: &Workspace, console: &Console, target: &Target, pools: &str) -> anyhow::Result<()> {
    console.step("applying pools and examples/room.yaml");
    run::wait_until(console, "the default service account", Duration::from_secs(60), || {
        let arguments = ["get", "serviceaccount", "default", "--namespace", ROOM_NAMESPACE];
        Ok(target.kubectl("looking for the default service account", &arguments).is_ok())
    })?;
    target.apply("applying the pools", ROOM_NAMESPACE, pools)?;
    let room = std::fs::read_to_string(workspace.path("examples/room.yaml")).context("reading examples/room.yaml")?;
    target.apply("applying examples/room.yaml", ROOM_NAMESPACE, &room)?;
    target.wait(console, ROOM_NAMESPACE, "Ready", &[&format!("room/{ROOM}")])
}

/// A token, once the gateways know the API key.
fn join_token(console: &Console, target: &Target, port: u16) -> anyhow::Result<String> {
    let key = deploy::api_key(console, target, ROOM_NAMESPACE)?;
    console.step("minting a join token");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let wanted = Wanted { namespace: ROOM_NAMESPACE, room: ROOM, identity: "guest" };
    let mut outcome = Err(anyhow::anyhow!("it was not tried"));
    let waited = run::wait_until(console, "a join token", Duration::from_secs(30), || {
        outcome = token::mint(address, &key, &wanted);
        Ok(outcome.is_ok())
    });
    match (waited, outcome) {
        (Ok(()), token) => token,
        (Err(error), last) => Err(last.err().map_or(error, |last| last.context("minting a join token"))),
    }
}

/// A port of localhost: the one that already leads into this cluster, PLENUM_PORT, or the first that is free.
fn local_port(cluster: &Cluster) -> anyhow::Result<u16> {
    let port_of = |listen: &str| listen.parse::<SocketAddr>().ok().map(|address| address.port());
    let forwards = cluster.status()?.forwards;
    if let Some(port) = forwards.iter().filter(|forward| forward.alive).find_map(|forward| port_of(&forward.listen)) {
        return Ok(port);
    }
    if let Ok(port) = std::env::var("PLENUM_PORT") {
        return port.parse().context("PLENUM_PORT is not a port");
    }
    (FIRST_PORT..FIRST_PORT + PORTS_TRIED)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .with_context(|| format!("the ports {FIRST_PORT} and following are taken: set PLENUM_PORT to a free one"))
}

fn say_more(target: &Target, images: &Images) {
    let kubectl = target.kubectl_words().join(" ");
    println!("  kubectl:    {kubectl} get rooms,relaypools");
    if let Some(status) = target.cluster().and_then(|cluster| cluster.status().ok()) {
        println!("  or:         export KUBECONFIG={}", status.kubeconfig.display());
    }
    if let Some(plenumctl) = images.binaries.get("plenumctl") {
        println!("  plenumctl:  {} flow {ROOM}", plenumctl.display());
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_pools_follow_the_regions_of_the_cluster() {
        let workspace = Workspace::locate().unwrap();
        let pools = pools_for(&workspace, &["mars".to_owned()]).unwrap();
        let pool: Value = serde_json::from_str(&pools).unwrap();
        assert_eq!(pool["spec"]["region"], "mars");
        let regions = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(pools_for(&workspace, &regions).unwrap().split("\n---\n").count(), EXAMPLE_POOLS);
        assert!(pools_for(&workspace, &[]).unwrap_err().to_string().contains("topology.kubernetes.io/region"));
    }
}
