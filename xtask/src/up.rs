//! `make up`: from a clone to the URL of a page on which two tabs can talk.

mod existing;

use crate::build::Profile;
use crate::cluster::Cluster;
use crate::console::Console;
use crate::deploy::{self, NODE_PORT, Release};
use crate::images::{self, Images};
use crate::run;
use crate::target::{self, Target};
use crate::token::{self, Wanted};
use crate::tools;
use crate::workspace::Workspace;
use anyhow::Context;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// The cluster that a person plays with.
pub(crate) const CLUSTER: &str = "plenum";
/// Where the example room is.
pub(crate) const ROOM_NAMESPACE: &str = "default";
/// Its name.
pub(crate) const ROOM: &str = "demo";
const FIRST_PORT: u16 = 8080;
const PORTS_TRIED: u16 = 20;

/// `xtask up`.
pub(crate) fn command(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    if target::kubeconfig().is_some() {
        return existing::command(workspace, console);
    }
    let programs = tools::cluster(workspace, console)?;
    let images = images::pack(workspace, console, &programs, Profile::Dev)?;
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
    target.wait(console, ROOM_NAMESPACE, "Ready", &[&format!("room/{ROOM}")])?;
    target.wait(console, ROOM_NAMESPACE, "Ready", &["relaypools", "--all"])
}

/// A token, once the gateways know the API key.
fn join_token(console: &Console, target: &Target, port: u16) -> anyhow::Result<String> {
    let key = deploy::api_key(console, target, ROOM_NAMESPACE)?;
    console.step("minting a join token");
    let wanted = Wanted { namespace: ROOM_NAMESPACE, room: ROOM, identity: "guest" };
    let mut outcome = Err(anyhow::anyhow!("it was not tried"));
    let waited = run::wait_until(console, "a join token", Duration::from_secs(30), || {
        outcome = token::mint(port, &key, &wanted);
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
    if let Some(port) = port_of_environment()? {
        return Ok(port);
    }
    (FIRST_PORT..FIRST_PORT + PORTS_TRIED)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .with_context(|| format!("the ports {FIRST_PORT} and following are taken: set PLENUM_PORT to a free one"))
}

/// PLENUM_PORT, when it is set.
fn port_of_environment() -> anyhow::Result<Option<u16>> {
    let value = std::env::var("PLENUM_PORT").ok().filter(|value| !value.is_empty());
    value.map(|port| port.parse().context("PLENUM_PORT is not a port")).transpose()
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
