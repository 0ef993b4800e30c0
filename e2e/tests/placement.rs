//! A Room goes where it should, says why, and says what is missing when it cannot.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::Patch;
use kube::{Api, ResourceExt};
use plenum_api::{Room, conditions, names};
use plenum_e2e::door::Door;
use plenum_e2e::kube::has_condition;
use plenum_e2e::room_socket::RoomSocket;
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::{pool_spec, room_spec};
use plenum_e2e::wait::{Look, throughout};
use plenum_protocol::problem::Code;
use plenum_protocol::room::ServerMessage;
use serde_json::json;
use std::time::Duration;

/// Apply to Ready, on a busy machine with two cores.
const READY: Duration = Duration::from_secs(10);
/// A pool's pods are made and configured.
const POOL_READY: Duration = Duration::from_secs(60);

async fn region_of_node(scene: &Scene<'_>, name: &str) -> Result<String> {
    let api: Api<Node> = Api::all(scene.suite.kube.client());
    let node = api.get(name).await.context("reading a node")?;
    node.labels().get(names::TOPOLOGY_REGION).cloned().context("the node has no region")
}

pub(crate) async fn a_room_lands_in_the_region_of_its_people(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let kube = &scene.suite.kube;
    for region in ["eu-west", "us-east"] {
        kube.apply_room(&scene.namespace, region, room_spec(region)).await?;
    }
    for region in ["eu-west", "us-east"] {
        let room = kube.ready_room(&scene.namespace, region, READY).await?;
        let assignment = room.media_assignment().context("a ready room has a media pod")?;
        let node = assignment.node.clone().context("a ready room's pod has a node")?;
        ensure!(assignment.region == region, "the room for {region} is in {}", assignment.region);
        ensure!(region_of_node(scene, &node).await? == region, "the room for {region} is on {node}");
        let status = room.status.as_ref().context("a ready room has a status")?;
        let placement = status.placement.as_ref().context("a ready room has a placement")?;
        ensure!(placement.epoch == 1, "the first epoch is {}", placement.epoch);
        ensure!(placement.reason.contains(region), "the reason does not name {region}: {:?}", placement.reason);
        let url = status.signaling.as_ref().map(|signaling| signaling.url.as_str());
        let wanted =
            format!("{}/v1/rooms/{}/{region}", scene.suite.env.public_url.trim_end_matches('/'), scene.namespace);
        ensure!(url == Some(wanted.as_str()), "status.signaling.url is {url:?}, not {wanted}");
        kube.event(&scene.namespace, region, "Bound", READY).await?;
    }
    Ok(())
}

pub(crate) async fn allowed_regions_are_obeyed(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let kube = &scene.suite.kube;
    let mut spec = room_spec("us-east");
    spec["placement"]["allowedRegions"] = json!(["eu-west"]);
    kube.apply_room(&scene.namespace, "eu-only", spec.clone()).await?;
    let room = kube.ready_room(&scene.namespace, "eu-only", READY).await?;
    ensure!(
        room.media_assignment().is_some_and(|a| a.region == "eu-west"),
        "the room left its allowed regions: {room:?}"
    );

    spec["placement"]["allowedRegions"] = json!(["ap-south"]);
    kube.apply_room(&scene.namespace, "nowhere", spec).await?;
    let room = kube
        .wait(&scene.namespace, "nowhere", "RegionUnavailable", READY, |room: &Room| {
            has_condition(room, conditions::SCHEDULED, "False", "RegionUnavailable")
        })
        .await?;
    let message = room.condition(conditions::SCHEDULED).map(|c| c.message.clone()).unwrap_or_default();
    ensure!(message.contains("ap-south"), "the message does not name the region: {message:?}");
    Ok(())
}

pub(crate) async fn a_room_without_a_fitting_pool_says_so_and_heals(scene: &Scene<'_>) -> Result<()> {
    let kube = &scene.suite.kube;
    let spec =
        json!({"topology": "MediaServer", "media": {"poolSelector": {"matchLabels": {"only-of": scene.namespace}}}});
    kube.apply_room(&scene.namespace, "early", spec).await?;
    let room = kube
        .wait(&scene.namespace, "early", "NoPool", READY, |room: &Room| {
            has_condition(room, conditions::SCHEDULED, "False", "NoPool")
        })
        .await?;
    let ready = room.condition(conditions::READY).context("Ready is there")?;
    ensure!(ready.status == "False", "an unscheduled room says Ready={}", ready.status);
    let message = kube.event(&scene.namespace, "early", "NotScheduled", READY).await?;
    ensure!(
        message.contains("NoPool") && message.contains("RelayPool"),
        "the event does not say what is missing: {message:?}"
    );
    let (fine, why) = scene.suite.env.plenumctl(&["why", "early", "--namespace", &scene.namespace]).await?;
    ensure!(!fine && why.contains("RelayPool"), "plenumctl why does not say what is missing: {why}");

    let pool = json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
        "metadata": {"name": "late", "labels": {"only-of": scene.namespace}}, "spec": pool_spec("eu-west", 1, 21_100),
    });
    kube.apply(&scene.namespace, pool).await?;
    kube.ready_pool(&scene.namespace, "late", POOL_READY).await?;
    kube.ready_room(&scene.namespace, "early", READY).await.map(drop)
}

pub(crate) async fn a_pool_that_does_not_admit_the_namespace_is_refused(scene: &Scene<'_>) -> Result<()> {
    let kube = &scene.suite.kube;
    let other = format!("{}-other", scene.namespace.chars().take(50).collect::<String>());
    kube.create_namespace(&other, json!({"plenum-e2e": "test"})).await?;
    let pool = json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
        "metadata": {"name": "own", "labels": {"only-of": scene.namespace}}, "spec": pool_spec("eu-west", 1, 21_200),
    });
    kube.apply(&other, pool.clone()).await?;
    let spec =
        json!({"topology": "MediaServer", "media": {"poolSelector": {"matchLabels": {"only-of": scene.namespace}}}});
    kube.apply_room(&scene.namespace, "stranger", spec).await?;
    kube.wait(&scene.namespace, "stranger", "PoolNotPermitted", READY, |room: &Room| {
        has_condition(room, conditions::SCHEDULED, "False", "PoolNotPermitted")
    })
    .await?;
    // It heals when the pool admits the namespace.
    let mut open = pool;
    open["spec"]["allowedRooms"] =
        json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"plenum-e2e": "test"}}}});
    kube.apply(&other, open).await?;
    let outcome = kube.ready_room(&scene.namespace, "stranger", POOL_READY).await;
    // The room goes first: its pod's namespace goes next.
    kube.delete::<Room>(&scene.namespace, "stranger", READY).await?;
    kube.delete_namespace(&other).await?;
    outcome.map(drop)
}

pub(crate) async fn a_waiting_room_is_bound_by_its_first_participant(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let kube = &scene.suite.kube;
    let mut spec = room_spec("eu-west");
    spec["placement"]["binding"] = json!("WaitForFirstParticipant");
    kube.apply_room(&scene.namespace, "waiting", spec).await?;
    let room = kube.ready_room(&scene.namespace, "waiting", READY).await?;
    ensure!(
        has_condition(&room, conditions::READY, "True", "AwaitingFirstParticipant"),
        "{:?}",
        room.condition(conditions::READY)
    );
    ensure!(
        room.condition(conditions::SCHEDULED).is_some_and(|c| c.status == "Unknown"),
        "{:?}",
        room.condition(conditions::SCHEDULED)
    );
    ensure!(room.media_assignment().is_none(), "a waiting room has a media pod");

    let token = scene.token("waiting", "first").await?;
    let _first = RoomSocket::joined(&scene.suite.door(0)?, &scene.namespace, "waiting", &token).await?;
    let room = kube.room(&scene.namespace, "waiting").await?;
    ensure!(room.media_assignment().is_some(), "somebody is in the room, but it has no media pod");
    Ok(())
}

pub(crate) async fn a_full_room_and_a_closed_room_take_nobody(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let (kube, door) = (&scene.suite.kube, scene.suite.door(0)?);
    let mut spec = room_spec("eu-west");
    spec["placement"] = json!({});
    spec["capacity"] = json!({"maxParticipants": 1});
    kube.apply_room(&scene.namespace, "small", spec.clone()).await?;
    kube.ready_room(&scene.namespace, "small", READY).await?;
    let token = scene.token("small", "first").await?;
    let mut first = RoomSocket::joined(&door, &scene.namespace, "small", &token).await?;
    refused(scene, &door, "small", Code::Full).await?;

    spec["desiredState"] = json!("Closed");
    kube.apply_room(&scene.namespace, "small", spec.clone()).await?;
    first.expect("the end of the room", READY, |message| matches!(message, ServerMessage::Ended { .. })).await?;
    kube.wait(&scene.namespace, "small", "closed", READY, |room: &Room| {
        room.media_assignment().is_none() && room.condition(conditions::READY).is_some_and(|c| c.status == "False")
    })
    .await?;
    let token = scene.token("small", "late").await?;
    let (_, answer) = RoomSocket::join(&door, &scene.namespace, "small", &token).await?;
    ensure!(!matches!(answer, ServerMessage::Joined { .. }), "a closed room took somebody");

    spec["desiredState"] = json!("Open");
    kube.apply_room(&scene.namespace, "small", spec).await?;
    let room = kube.ready_room(&scene.namespace, "small", READY).await?;
    ensure!(room.epoch() == 2, "opened again under epoch {}", room.epoch());
    RoomSocket::joined(&door, &scene.namespace, "small", &token).await.map(drop)
}

async fn refused(scene: &Scene<'_>, door: &Door, room: &str, code: Code) -> Result<()> {
    let token = scene.token(room, "second").await?;
    let (_, answer) = RoomSocket::join(door, &scene.namespace, room, &token).await?;
    ensure!(
        matches!(&answer, ServerMessage::Error { code: got, .. } if *got == code),
        "wanted {code:?}, got {answer:?}"
    );
    Ok(())
}

pub(crate) async fn a_room_at_rest_is_not_written(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let kube = &scene.suite.kube;
    for room in ["quiet", "touched"] {
        kube.apply_room(&scene.namespace, room, room_spec("eu-west")).await?;
    }
    let quiet = kube.ready_room(&scene.namespace, "quiet", READY).await?;
    kube.ready_room(&scene.namespace, "touched", READY).await?;
    // A change that changes nothing costs no write of ours either.
    let api: Api<Room> = kube.api(&scene.namespace);
    let label = json!({"metadata": {"labels": {"touched": "yes"}}});
    let touched =
        api.patch("touched", &Default::default(), &Patch::Merge(&label)).await.context("touching the room")?;
    throughout("neither room is written", Duration::from_secs(3), async || {
        for before in [&quiet, &touched] {
            let now = kube.room(&scene.namespace, &before.name_any()).await?;
            if now.resource_version() != before.resource_version() {
                return Ok(Look::NotYet(format!("{}: {:?}", now.name_any(), now.status)));
            }
        }
        Ok(Look::Done(()))
    })
    .await
}
