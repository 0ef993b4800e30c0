//! Two operators: one frozen leader, which writes nothing that it decided before, and a busy one, which stays the leader.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ContainerStateRunning, Pod};
use kube::ResourceExt;
use plenum_api::{Room, names};
use plenum_e2e::process::{Frozen, pid_in_pod};
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::{pool_spec, room_spec};
use plenum_e2e::wait::{Look, until};
use serde_json::json;
use std::time::Duration;

const POOL_READY: Duration = Duration::from_secs(60);
/// The other replica finds the leader silent and its Lease not renewed, and takes it.
const TAKEOVER: Duration = Duration::from_secs(5);
/// A process that ended itself runs again.
const BACK: Duration = Duration::from_secs(40);
const READY: Duration = Duration::from_secs(10);
const CROWD_READY: Duration = Duration::from_secs(30);

/// Rooms that are made in each round, all at once.
const CROWD: usize = 25;
const ROUNDS: usize = 4;

pub(crate) async fn a_busy_leader_keeps_its_lease(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let (kube, system) = (&scene.suite.kube, scene.suite.env.namespace.as_str());
    kube.pods_ready(system, "plenum-operator", 2, BACK).await?;
    let before = leadership(scene).await?;
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..CROWD).map(|number| format!("crowd-{round}-{number}")).collect();
        try_join_all(names.iter().map(|name| kube.apply_room(&scene.namespace, name, room_spec("eu-west")))).await?;
        try_join_all(names.iter().map(|name| kube.ready_room(&scene.namespace, name, CROWD_READY))).await?;
        try_join_all(names.iter().map(|name| kube.delete::<Room>(&scene.namespace, name, CROWD_READY))).await?;
        let now = leadership(scene).await?;
        ensure!(now == before, "{now:?} leads after {before:?}, which was busy and nothing else");
    }
    Ok(())
}

/// Holder and term.
async fn leadership(scene: &Scene<'_>) -> Result<(Option<String>, Option<i32>)> {
    let lease: Lease = scene.suite.kube.api(&scene.suite.env.namespace).get(names::LEASE).await?;
    let spec = lease.spec.context("the Lease has a spec")?;
    Ok((spec.holder_identity, spec.lease_transitions))
}

pub(crate) async fn a_frozen_leader_overwrites_nothing_when_it_thaws(scene: &Scene<'_>) -> Result<()> {
    let (kube, system) = (&scene.suite.kube, scene.suite.env.namespace.as_str());
    for (name, port) in [("left", 24_000), ("right", 24_100)] {
        let pool = json!({
            "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
            "metadata": {"name": name, "labels": {"only-of": scene.namespace}}, "spec": pool_spec("eu-west", 1, port),
        });
        kube.apply(&scene.namespace, pool).await?;
    }
    for name in ["left", "right"] {
        kube.ready_pool(&scene.namespace, name, POOL_READY).await?;
    }
    let spec =
        json!({"topology": "MediaServer", "media": {"poolSelector": {"matchLabels": {"only-of": scene.namespace}}}});
    kube.apply_room(&scene.namespace, "held", spec.clone()).await?;
    let before = kube.ready_room(&scene.namespace, "held", READY).await?;
    let old_pod = before.media_assignment().context("a ready room has a media pod")?.pod.clone();

    let old_leader = kube.leader(system).await?;
    let pod: Pod = kube.api(system).get(&old_leader).await.context("the Lease names a pod")?;
    let frozen = Frozen::freeze(pid_in_pod(&pod.uid().unwrap_or_default(), "plenum-operator")?);
    until("another operator leads", TAKEOVER, async || {
        let now = kube.leader(system).await?;
        Ok(Look::when(now != old_leader, (), || now))
    })
    .await?;
    // The new leader decides what the old one knows nothing of: a Room moves, another one comes.
    kube.delete_pod_at_once(&scene.namespace, &old_pod).await?;
    let moved = kube
        .wait(&scene.namespace, "held", "bound by the new leader", READY, |room: &Room| {
            room.epoch() == 2 && room.media_assignment().is_some_and(|a| a.pod != old_pod)
        })
        .await?;
    kube.apply_room(&scene.namespace, "new", spec).await?;
    let new = kube.ready_room(&scene.namespace, "new", READY).await?;

    frozen.thaw();
    // It notices and ends itself. Until then it could write what it decided before.
    let thawed = running(&pod);
    until("the thawed leader ends itself", BACK, async || {
        let now = running(&kube.api(system).get(&old_leader).await.context("reading the former leader's pod")?);
        for wanted in [&moved, &new] {
            let room = kube.room(&scene.namespace, &wanted.name_any()).await?;
            let same = room.epoch() == wanted.epoch() && room.media_assignment() == wanted.media_assignment();
            ensure!(same, "a binding is overwritten: {:?} became {:?}", wanted.status, room.status);
        }
        Ok(Look::when(now != thawed, (), || format!("{now:?}")))
    })
    .await?;
    let now = kube.leader(system).await?;
    ensure!(now != old_leader, "the thawed leader took the Lease back");
    // It starts anew as a follower.
    kube.pods_ready(system, "plenum-operator", 2, BACK).await
}

/// Since when the pod's only container runs.
fn running(pod: &Pod) -> Option<ContainerStateRunning> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.running.clone()
}
