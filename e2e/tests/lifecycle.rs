//! Rooms end when they say so, tell everybody why, and are deleted when they say so; a new leader goes on with their time.

use anyhow::{Context, Result, ensure};
use plenum_api::room::{EndedReason, Topology};
use plenum_api::{Room, conditions};
use plenum_e2e::kube::has_condition;
use plenum_e2e::room_socket::RoomSocket;
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::room_spec;
use plenum_e2e::wait::{Look, throughout, until};
use plenum_protocol::room::{ClientMessage, ServerMessage};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Apply to Ready, on a busy machine with two cores.
const READY: Duration = Duration::from_secs(10);
/// How much later than its limit a room may end: whole seconds, a poll of its pod or of all gateways, a busy machine.
const LATE: Duration = Duration::from_secs(10);
/// A deleted operator is there again.
const BACK: Duration = Duration::from_secs(40);

fn spec(lifecycle: Value) -> Value {
    let mut spec = room_spec("eu-west");
    spec["placement"] = json!({});
    spec["lifecycle"] = lifecycle;
    spec
}

async fn apply(scene: &Scene<'_>, name: &str, lifecycle: Value) -> Result<()> {
    scene.suite.shared_pools().await?;
    scene.suite.kube.apply_room(&scene.namespace, name, spec(lifecycle)).await
}

fn ended_by(room: &Room, reason: EndedReason) -> bool {
    room.over() == Some(reason) && has_condition(room, conditions::READY, "False", "Ended")
}

/// Waits until the room has ended for that reason, `limit` after `since` and not before.
async fn ends(scene: &Scene<'_>, name: &str, reason: EndedReason, since: Instant, limit: u64) -> Result<Room> {
    let limit = Duration::from_secs(limit);
    let within = (limit + LATE).saturating_sub(since.elapsed());
    let what = format!("ended by {reason:?}");
    let kube = &scene.suite.kube;
    let room = kube.wait(&scene.namespace, name, &what, within, |room: &Room| ended_by(room, reason)).await?;
    ensure!(since.elapsed() >= limit, "{name} ended after {:?}, its limit is {limit:?}", since.elapsed());
    let status = room.status.as_ref().context("an ended room has a status")?;
    ensure!(status.ended_at.is_some() && status.assignments.is_empty() && status.signaling.is_none(), "{status:?}");
    kube.event(&scene.namespace, name, "RoomEnded", READY).await?;
    Ok(room)
}

/// A room that is over takes nobody, at once, and says why.
async fn takes_nobody(scene: &Scene<'_>, name: &str) -> Result<()> {
    let token = scene.token(name, "late").await?;
    let (_, answer) = RoomSocket::join(&scene.suite.door(0)?, &scene.namespace, name, &token).await?;
    let over = |detail: &str| detail.contains("the room is over") && detail.contains("lifecycle.");
    ensure!(
        matches!(&answer, ServerMessage::Ended { detail } if over(detail)),
        "a room that is over answered {answer:?}"
    );
    Ok(())
}

pub(crate) async fn a_room_that_nobody_enters_ends_and_opens_again_when_it_was_closed(scene: &Scene<'_>) -> Result<()> {
    let kube = &scene.suite.kube;
    let lifecycle = json!({"emptyTimeoutSeconds": 4});
    apply(scene, "idle", lifecycle.clone()).await?;
    let since = Instant::now();
    let room = kube.ready_room(&scene.namespace, "idle", READY).await?;
    let status = room.status.as_ref().context("a ready room has a status")?;
    ensure!(status.empty_since.is_some() && status.started_at.is_none(), "{status:?}");
    // The API server wrote down the whole second before.
    ends(scene, "idle", EndedReason::EmptyTimeout, since, 3).await?;
    takes_nobody(scene, "idle").await?;

    // A change of the spec is no reason to open it.
    kube.apply_room(&scene.namespace, "idle", spec(json!({"emptyTimeoutSeconds": 600}))).await?;
    kube.wait(&scene.namespace, "idle", "ended still", READY, |room: &Room| {
        ended_by(room, EndedReason::EmptyTimeout)
            && room.status.as_ref().is_some_and(|status| status.observed_generation == room.metadata.generation)
    })
    .await?;
    let mut closed = spec(json!({"emptyTimeoutSeconds": 600}));
    closed["desiredState"] = json!("Closed");
    kube.apply_room(&scene.namespace, "idle", closed).await?;
    kube.wait(&scene.namespace, "idle", "closed", READY, |room: &Room| {
        has_condition(room, conditions::READY, "False", "Closed")
    })
    .await?;
    kube.apply_room(&scene.namespace, "idle", spec(json!({"emptyTimeoutSeconds": 600}))).await?;
    let room = kube.ready_room(&scene.namespace, "idle", READY).await?;
    ensure!(room.epoch() == 2, "opened again under epoch {}", room.epoch());
    let status = room.status.as_ref().context("a ready room has a status")?;
    ensure!(status.ended_at.is_none() && status.ended_reason.is_none(), "{status:?}");
    let token = scene.token("idle", "first").await?;
    RoomSocket::joined(&scene.suite.door(0)?, &scene.namespace, "idle", &token).await.map(drop)
}

pub(crate) async fn a_room_ends_when_everybody_has_gone_and_not_before(scene: &Scene<'_>) -> Result<()> {
    let (kube, door) = (&scene.suite.kube, scene.suite.door(0)?);
    // Nobody has to come soon; who has gone may come back for three seconds.
    apply(scene, "talk", json!({"departureTimeoutSeconds": 3})).await?;
    kube.ready_room(&scene.namespace, "talk", READY).await?;
    let token = scene.token("talk", "ann").await?;
    let mut ann = RoomSocket::joined(&door, &scene.namespace, "talk", &token).await?;
    kube.wait(&scene.namespace, "talk", "started", READY, |room: &Room| {
        room.status.as_ref().is_some_and(|status| status.started_at.is_some() && status.empty_since.is_none())
    })
    .await?;
    goes_on(scene, "talk", Duration::from_secs(5)).await?;
    ann.send(&ClientMessage::Leave).await?;
    kube.wait(&scene.namespace, "talk", "empty", READY, |room: &Room| {
        room.status.as_ref().is_some_and(|status| status.empty_since.is_some())
    })
    .await?;
    let mut ann = RoomSocket::joined(&door, &scene.namespace, "talk", &token).await?;
    goes_on(scene, "talk", Duration::from_secs(5)).await?;
    let since = Instant::now();
    ann.send(&ClientMessage::Leave).await?;
    let room = ends(scene, "talk", EndedReason::DepartureTimeout, since, 3).await?;
    let status = room.status.as_ref().context("an ended room has a status")?;
    ensure!(status.started_at.is_some() && status.participants.is_some_and(|p| p.current == 0 && p.peak == 1));
    takes_nobody(scene, "talk").await
}

async fn goes_on(scene: &Scene<'_>, name: &str, during: Duration) -> Result<()> {
    throughout(&format!("{name} goes on"), during, async || {
        let room = scene.suite.kube.room(&scene.namespace, name).await?;
        Ok(Look::when(room.over().is_none(), (), || format!("{:?}", room.status)))
    })
    .await
}

pub(crate) async fn two_peers_are_ready_without_a_pod_and_their_room_ends_when_both_have_gone(
    scene: &Scene<'_>,
) -> Result<()> {
    let (kube, door) = (&scene.suite.kube, scene.suite.door(0)?);
    let spec = json!({"topology": "PeerToPeer", "lifecycle": {"departureTimeoutSeconds": 2}});
    kube.apply_room(&scene.namespace, "pair", spec).await?;
    let room = kube.ready_room(&scene.namespace, "pair", READY).await?;
    ensure!(has_condition(&room, conditions::SCHEDULED, "True", "NotNeeded"), "{:?}", room.status);
    ensure!(room.media_assignment().is_none() && room.topology() == Topology::PeerToPeer, "{:?}", room.status);
    let token = scene.token("pair", "ann").await?;
    let mut ann = RoomSocket::joined(&door, &scene.namespace, "pair", &token).await?;
    kube.wait(&scene.namespace, "pair", "started", READY, |room: &Room| {
        room.status.as_ref().is_some_and(|status| {
            status.started_at.is_some() && status.participants.is_some_and(|people| people.current == 1)
        })
    })
    .await?;
    goes_on(scene, "pair", Duration::from_secs(8)).await?;
    let since = Instant::now();
    ann.send(&ClientMessage::Leave).await?;
    // A room that no gateway names is looked for before it counts as empty.
    ends(scene, "pair", EndedReason::DepartureTimeout, since, 2).await?;
    takes_nobody(scene, "pair").await
}

pub(crate) async fn a_room_ends_after_its_longest_duration_with_people_in_it(scene: &Scene<'_>) -> Result<()> {
    let (kube, door) = (&scene.suite.kube, scene.suite.door(0)?);
    apply(scene, "brief", json!({"maxDurationSeconds": 4})).await?;
    kube.ready_room(&scene.namespace, "brief", READY).await?;
    let token = scene.token("brief", "ann").await?;
    let since = Instant::now();
    let mut ann = RoomSocket::joined(&door, &scene.namespace, "brief", &token).await?;
    ends(scene, "brief", EndedReason::MaxDuration, since, 4).await?;
    let last =
        |message: &ServerMessage| matches!(message, ServerMessage::Ended { detail } if detail.contains("maxDuration"));
    ann.expect("the end of the room, and why", READY, last).await?;
    takes_nobody(scene, "brief").await
}

pub(crate) async fn a_room_that_is_over_is_deleted_after_its_time(scene: &Scene<'_>) -> Result<()> {
    let kube = &scene.suite.kube;
    apply(scene, "gone", json!({"emptyTimeoutSeconds": 1, "ttlSecondsAfterEnded": 2})).await?;
    let mut closed = spec(json!({"ttlSecondsAfterEnded": 2}));
    closed["desiredState"] = json!("Closed");
    kube.apply_room(&scene.namespace, "closed", closed).await?;
    for name in ["gone", "closed"] {
        until(&format!("{name} is deleted"), Duration::from_secs(5) + LATE, async || {
            let room = kube.api::<Room>(&scene.namespace).get_opt(name).await?;
            Ok(Look::when(room.is_none(), (), || format!("{:?}", room.and_then(|room| room.status))))
        })
        .await?;
        let note = kube.event(&scene.namespace, name, "RoomExpired", READY).await?;
        ensure!(note.contains("ttlSecondsAfterEnded"), "{note:?}");
    }
    // Applied again it is a new room, with all its time before it.
    apply(scene, "gone", json!({"emptyTimeoutSeconds": 600, "ttlSecondsAfterEnded": 2})).await?;
    let room = kube.ready_room(&scene.namespace, "gone", READY).await?;
    ensure!(room.epoch() == 1 && room.over().is_none(), "{:?}", room.status);
    Ok(())
}

pub(crate) async fn a_new_leader_goes_on_with_the_time_of_rooms(scene: &Scene<'_>) -> Result<()> {
    let (kube, door, system) = (&scene.suite.kube, scene.suite.door(0)?, scene.suite.env.namespace.as_str());
    kube.pods_ready(system, "plenum-operator", 2, BACK).await?;
    apply(scene, "used", json!({"departureTimeoutSeconds": 2})).await?;
    apply(scene, "idle", json!({"emptyTimeoutSeconds": 12})).await?;
    let since = Instant::now();
    kube.ready_room(&scene.namespace, "used", READY).await?;
    let token = scene.token("used", "ann").await?;
    let mut ann = RoomSocket::joined(&door, &scene.namespace, "used", &token).await?;
    kube.wait(&scene.namespace, "used", "started", READY, |room: &Room| {
        room.status.as_ref().is_some_and(|status| status.started_at.is_some())
    })
    .await?;
    let old = kube.leader(system).await?;
    kube.delete_pod_at_once(system, &old).await?;
    until("another operator leads", BACK, async || {
        // In between nobody does.
        Ok(match kube.leader(system).await {
            Ok(now) => Look::when(now != old, (), || now),
            Err(error) => Look::NotYet(format!("{error:#}")),
        })
    })
    .await?;
    goes_on(scene, "used", Duration::from_secs(5)).await?;
    ends(scene, "idle", EndedReason::EmptyTimeout, since, 11).await?;
    let since = Instant::now();
    ann.send(&ClientMessage::Leave).await?;
    ends(scene, "used", EndedReason::DepartureTimeout, since, 2).await?;
    kube.pods_ready(system, "plenum-operator", 2, BACK).await
}
