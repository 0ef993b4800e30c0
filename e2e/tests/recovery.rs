//! What is lost comes back: media pods, nodes, operators, Rooms.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use plenum_api::{Room, names};
use plenum_e2e::call::{Call, MEDIA, READY};
use plenum_e2e::grants;
use plenum_e2e::kube::Kube;
use plenum_e2e::page::Page;
use plenum_e2e::process::{kill, pid_in_pod};
use plenum_e2e::room_socket::RoomSocket;
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::{pool_spec, room_spec};
use plenum_e2e::wait::{Look, until};
use plenum_protocol::room::{RejoinReason, ServerMessage};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::try_join;

/// Death of a media pod to the new binding.
pub(crate) const BOUND_ANEW: Duration = Duration::from_secs(5);
/// A pool's pods are made and configured.
const POOL_READY: Duration = Duration::from_secs(60);

/// Two pools with one pod each, in the two zones of eu-west: one can die.
async fn two_zones(scene: &Scene<'_>, first_port: i32) -> Result<Value> {
    try_join!(zone_pool(scene, "eu-west-a", first_port), zone_pool(scene, "eu-west-b", first_port + 100))?;
    Ok(of_this_test(scene))
}

/// A pool with one pod in one zone of eu-west, for the Rooms of this test.
pub(crate) async fn zone_pool(scene: &Scene<'_>, zone: &str, first_port: i32) -> Result<()> {
    let kube = &scene.suite.kube;
    let mut spec = pool_spec("eu-west", 1, first_port);
    spec["zones"] = json!([zone]);
    let pool = json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
        "metadata": {"name": zone, "labels": {"only-of": scene.namespace}}, "spec": spec,
    });
    kube.apply(&scene.namespace, pool).await?;
    kube.ready_pool(&scene.namespace, zone, POOL_READY).await.map(drop)
}

/// Spec of a Room that only the pools of this test may serve.
pub(crate) fn of_this_test(scene: &Scene<'_>) -> Value {
    json!({"topology": "MediaServer", "media": {"poolSelector": {"matchLabels": {"only-of": scene.namespace}}}})
}

/// Every page came back by itself, and the pictures move again.
pub(crate) async fn pages_came_back(call: &Call<'_>) -> Result<()> {
    call.flows(30, Duration::from_secs(40)).await?;
    for page in &call.pages {
        let timings = page.timings().await?;
        ensure!(!timings.rejoins.is_empty(), "{} says that nothing was over", page.name());
        eprintln!("{}: {:?}", page.name(), timings.rejoins);
    }
    Ok(())
}

pub(crate) async fn a_deleted_media_pod_is_replaced_and_pages_rejoin(scene: &Scene<'_>) -> Result<()> {
    let spec = two_zones(scene, 22_000).await?;
    let mut call = Call::prepare(scene, "hurt", spec).await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(30, MEDIA).await?;
    let (before, (namespace, pod)) = (call.state().await?, call.media_pod().await?);

    let death = Instant::now();
    scene.suite.kube.delete_pod_at_once(&namespace, &pod).await?;
    let after = call.bound_anew(before.epoch(), BOUND_ANEW).await?;
    eprintln!("bound anew {} ms after the pod was deleted", death.elapsed().as_millis());
    ensure!(after.epoch() == before.epoch() + 1, "epoch {} after {}", after.epoch(), before.epoch());
    ensure!(after.media_assignment().is_some_and(|a| a.pod != pod), "bound to the deleted pod");
    let reason = after
        .status
        .as_ref()
        .and_then(|status| status.placement.as_ref())
        .map(|p| p.reason.clone())
        .unwrap_or_default();
    ensure!(reason.contains("bound anew"), "the reason does not say what happened: {reason:?}");
    pages_came_back(&call).await?;
    call.end().await
}

pub(crate) async fn calls_go_on_while_no_operator_runs(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let mut call = Call::prepare(scene, "alone", room_spec("eu-west")).await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(20, MEDIA).await?;
    let namespace = &scene.suite.env.namespace;
    let kube = &scene.suite.kube;
    let replicas = scale(kube, namespace, 0).await?;
    let outcome = alone(scene, &call).await;
    scale(kube, namespace, replicas).await?;
    outcome?;
    kube.ready_room(&scene.namespace, "meanwhile", Duration::from_secs(40)).await?;
    call.flows(20, MEDIA).await?;
    for page in &call.pages {
        undisturbed(page).await?;
    }
    call.end().await
}

/// Scales the operator and returns how many replicas were wanted before.
async fn scale(kube: &Kube, namespace: &str, replicas: i32) -> Result<i32> {
    let api = kube.api::<Deployment>(namespace);
    let before = api.get("plenum-operator").await.context("reading the operator's Deployment")?;
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    api.patch("plenum-operator", &PatchParams::default(), &patch).await.context("scaling the operator")?;
    Ok(before.spec.and_then(|spec| spec.replicas).unwrap_or(1))
}

async fn alone(scene: &Scene<'_>, call: &Call<'_>) -> Result<()> {
    let kube = &scene.suite.kube;
    let namespace = &scene.suite.env.namespace;
    for pod in kube.pods(namespace, "app.kubernetes.io/name=plenum-operator").await? {
        let name = pod.metadata.name.clone().unwrap_or_default();
        kube.delete_pod_at_once(namespace, &name).await?;
    }
    until("no operator runs", Duration::from_secs(20), async || {
        let left = kube.pods(namespace, "app.kubernetes.io/name=plenum-operator").await?;
        Ok(Look::when(left.is_empty(), (), || format!("{} pods", left.len())))
    })
    .await?;
    kube.apply_room(&scene.namespace, "meanwhile", room_spec("eu-west")).await?;
    call.flows(60, MEDIA).await?;
    let room = kube.room(&scene.namespace, "meanwhile").await?;
    ensure!(room.media_assignment().is_none(), "somebody bound a Room while no operator ran");
    Ok(())
}

async fn undisturbed(page: &Page) -> Result<()> {
    let timings = page.timings().await?;
    ensure!(timings.rejoins.is_empty(), "{} had to rejoin: {:?}", page.name(), timings.rejoins);
    Ok(())
}

pub(crate) async fn a_room_deleted_and_recreated_works_at_once(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let kube = &scene.suite.kube;
    let door = scene.suite.door(0)?;
    kube.apply_room(&scene.namespace, "again", room_spec("eu-west")).await?;
    let first = kube.ready_room(&scene.namespace, "again", READY).await?;
    let token = scene.token("again", "ann").await?;
    let mut ann = RoomSocket::joined(&door, &scene.namespace, "again", &token).await?;

    kube.delete::<Room>(&scene.namespace, "again", READY).await?;
    kube.apply_room(&scene.namespace, "again", room_spec("eu-west")).await?;
    ann.expect("the end of the old Room", READY, |message| matches!(message, ServerMessage::Ended { .. })).await?;
    let second = kube.ready_room(&scene.namespace, "again", READY).await?;
    ensure!(second.metadata.uid != first.metadata.uid && second.epoch() == 1, "not a new Room: {:?}", second.status);
    let _bob = RoomSocket::joined(&door, &scene.namespace, "again", &scene.token("again", "bob").await?).await?;
    // The media node holds one grant per bound Room: the deleted one's is gone.
    grants::settle(kube, READY).await
}

pub(crate) async fn a_restarted_media_process_forgets_and_its_rooms_are_bound_anew(scene: &Scene<'_>) -> Result<()> {
    let spec = two_zones(scene, 22_400).await?;
    let mut call = Call::prepare(scene, "amnesia", spec).await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(20, MEDIA).await?;
    let (before, (namespace, name)) = (call.state().await?, call.media_pod().await?);
    let pod: Pod = scene.suite.kube.api(&namespace).get(&name).await.context("reading the media pod")?;
    kill(pid_in_pod(&pod.uid().unwrap_or_default(), "plenum-media-node")?);

    let death = Instant::now();
    let after = call.bound_anew(before.epoch(), BOUND_ANEW).await?;
    eprintln!("bound anew {} ms after the process was killed", death.elapsed().as_millis());
    let boot = |room: &Room| room.media_assignment().map(|a| a.boot_id.clone());
    ensure!(boot(&after) != boot(&before), "bound to a process that has forgotten the Room");
    pages_came_back(&call).await?;
    call.end().await
}

pub(crate) async fn a_gateway_that_goes_sends_its_clients_to_another(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    scene.suite.find_doors(2).await?;
    let (kube, system) = (&scene.suite.kube, &scene.suite.env.namespace);
    kube.apply_room(&scene.namespace, "handed", room_spec("eu-west")).await?;
    kube.ready_room(&scene.namespace, "handed", READY).await?;
    let (door, other) = (scene.suite.door(0)?, scene.suite.door(1)?);
    let token = scene.token("handed", "ann").await?;
    let leaving = door.flow(&scene.namespace, "handed", &token).await?.gateway;
    let mut ann = RoomSocket::joined(&door, &scene.namespace, "handed", &token).await?;

    kube.api::<Pod>(system).delete(&leaving, &DeleteParams::default()).await.context("deleting a gateway")?;
    let last = ann
        .expect("rejoin", Duration::from_secs(20), |message| matches!(message, ServerMessage::Rejoin { .. }))
        .await?;
    ensure!(
        matches!(last, ServerMessage::Rejoin { reason: RejoinReason::GatewayShutdown, .. }),
        "the reason is {last:?}"
    );
    let _again = RoomSocket::joined(&other, &scene.namespace, "handed", &token).await?;
    kube.pods_ready(system, names::APP_GATEWAY, 2, Duration::from_secs(60)).await
}
