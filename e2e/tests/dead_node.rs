//! A node dies as if its power were cut: its Rooms move, its gateway's clients go elsewhere, and it comes back.

use crate::recovery::{BOUND_ANEW, of_this_test, pages_came_back, zone_pool};
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use plenum_api::{Room, names};
use plenum_e2e::call::{Call, MEDIA};
use plenum_e2e::scene::Scene;
use plenum_e2e::wait::{Look, until};
use std::time::{Duration, Instant};
use tokio::try_join;

const OPERATOR: &str = "plenum-operator";
/// Pods and nodes are as they were.
const BACK: Duration = Duration::from_secs(60);

pub(crate) async fn a_killed_node_moves_its_rooms_within_five_seconds(scene: &Scene<'_>) -> Result<()> {
    let node = "eu-west-a";
    lead_from(scene, &format!("not {node}"), |leader| leader != node).await?;
    strike(scene, node, 22_200).await
}

pub(crate) async fn a_node_that_dies_with_the_leader_moves_its_rooms_too(scene: &Scene<'_>) -> Result<()> {
    let node = lead_from(scene, "eu-west", |leader| leader.starts_with("eu-west-")).await?;
    strike(scene, &node, 22_600).await
}

/// Hands the lead over until its node fits, and returns the node.
async fn lead_from(scene: &Scene<'_>, what: &str, fits: impl Fn(&str) -> bool) -> Result<String> {
    let (kube, system) = (&scene.suite.kube, scene.suite.env.namespace.as_str());
    for _ in 0..4 {
        kube.pods_ready(system, OPERATOR, 2, BACK).await?;
        let leader = kube.leader(system).await?;
        let pod: Pod = kube.api(system).get(&leader).await.context("reading the leader's pod")?;
        let node = pod.spec.and_then(|spec| spec.node_name).context("the leader has a node")?;
        if fits(&node) {
            return Ok(node);
        }
        kube.delete::<Pod>(system, &leader, BACK).await?;
        until("another operator leads", BACK, async || {
            let now = kube.leader(system).await.unwrap_or_default();
            Ok(Look::when(!now.is_empty() && now != leader, (), || now))
        })
        .await?;
    }
    bail!("no operator leads from {what}")
}

/// Kills `node` under a call whose media pod is on it. Nodes of the embedded cluster are called as their zones.
async fn strike(scene: &Scene<'_>, node: &str, first_port: i32) -> Result<()> {
    let cluster = scene.suite.env.cluster().context("this test needs the embedded cluster")?;
    zone_pool(scene, node, first_port).await?;
    let mut call = Call::prepare(scene, "struck", of_this_test(scene)).await?;
    let before = call.state().await?;
    let found = before.media_assignment().and_then(|a| a.node.clone());
    ensure!(found.as_deref() == Some(node), "the Room is on {found:?}, not on {node}");
    let spare = if node == "eu-west-a" { "eu-west-b" } else { "eu-west-a" };
    // A gateway may be on the node too: pages go by another node's URL.
    let gateways = scene.suite.door_count();
    let door = scene.suite.door_not_on(node).await?;
    let enter = async {
        call.enter_by(&door, "eu-west", 0).await?;
        call.enter_by(&door, "eu-west", 1).await?;
        call.flows(30, MEDIA).await
    };
    try_join!(zone_pool(scene, spare, first_port + 100), enter)?;

    let death = Instant::now();
    cluster.kill_node(node).await?;
    let outcome = struck(&call, &before, death).await;
    cluster.start_node(node).await?;
    outcome?;
    let (kube, system) = (&scene.suite.kube, scene.suite.env.namespace.as_str());
    kube.nodes_ready(BACK).await?;
    scene.suite.find_doors(gateways).await?;
    for app in [OPERATOR, names::APP_GATEWAY] {
        kube.pods_ready(system, app, 2, BACK).await?;
    }
    call.end().await
}

/// The limit is the same whether the leader is on the node or not.
async fn struck(call: &Call<'_>, before: &Room, death: Instant) -> Result<()> {
    let after = call.bound_anew(before.epoch(), BOUND_ANEW).await?;
    eprintln!("bound anew {} ms after the node was killed", death.elapsed().as_millis());
    let pod = before.media_assignment().map(|a| a.pod.clone());
    ensure!(after.media_assignment().map(|a| a.pod.clone()) != pod, "bound to the dead node's pod");
    pages_came_back(call).await
}
