//! Whole reconciles, by a clock that is moved.

use super::RoomError;
use crate::ledger::RoomLoad;
use crate::peers::{Round, Said};
use crate::testing::World;
use kube::runtime::controller::Action;
use plenum_api::conditions::{READY, SCHEDULED, find};
use plenum_api::room::{DesiredState, EndedReason, Topology};
use serde_json::json;

#[tokio::test]
async fn a_room_that_nobody_enters_ends_is_deleted_and_costs_no_writes_meanwhile() {
    let lifecycle = json!({ "emptyTimeoutSeconds": 600, "ttlSecondsAfterEnded": 60 });
    let mut world = World::new(json!({ "topology": "MediaServer", "lifecycle": lifecycle }));
    let (first, writes) = world.after(0).await;
    assert_eq!((writes, first.started_at.is_none(), first.empty_since.is_some()), (1, true, true));
    assert_eq!(world.after(590).await.1, 0, "at rest");
    let (ended, writes) = world.after(12).await;
    assert_eq!((writes, ended.ended_reason), (1, Some(EndedReason::EmptyTimeout)));
    let ready = find(&ended.conditions, READY).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Ended"));
    assert_eq!(world.after(50).await.1, 0, "it stays ended");
    world.clock.advance(std::time::Duration::from_secs(12));
    assert_eq!(world.look().await.unwrap(), Action::await_change());
    assert!(world.server.held().room.is_none());
    let reasons = world.events.reasons();
    assert!(
        reasons.iter().any(|reason| reason == "RoomEnded") && reasons.last().unwrap() == "RoomExpired",
        "{reasons:?}"
    );
}

#[tokio::test]
async fn a_room_that_was_opened_meanwhile_is_not_deleted() {
    let mut world = World::new(json!({
        "topology": "MediaServer", "desiredState": "Closed", "lifecycle": { "ttlSecondsAfterEnded": 60 },
    }));
    assert_eq!(world.after(0).await.0.ended_reason, Some(EndedReason::Closed));
    let stale = world.server.held().room.clone().unwrap();
    world.server.edit(|room| room.spec.desired_state = DesiredState::Open);
    world.clock.advance(std::time::Duration::from_secs(62));
    assert!(matches!(world.look_at(stale).await, Err(RoomError::Delete { .. })));
    let events = world.events.reasons();
    assert!(!events.iter().any(|reason| reason == "RoomExpired"), "{events:?}");
    let (open, _) = world.after(0).await;
    assert_eq!((open.ended_at, open.ended_reason), (None, None));
    assert_eq!(find(&open.conditions, SCHEDULED).unwrap().reason, "NoPool", "it looks for a pod again");
}

#[tokio::test]
async fn a_room_that_ended_by_itself_opens_when_it_was_closed_in_between() {
    let world = World::new(json!({ "topology": "MediaServer", "lifecycle": { "emptyTimeoutSeconds": 10 } }));
    world.after(0).await;
    let (ended, _) = world.after(12).await;
    let desire = |state| world.server.edit(move |room| room.spec.desired_state = state);
    desire(DesiredState::Closed);
    let (closed, _) = world.after(5).await;
    assert_eq!((closed.ended_at, closed.ended_reason), (ended.ended_at, Some(EndedReason::Closed)));
    desire(DesiredState::Open);
    let (open, _) = world.after(5).await;
    assert!(open.ended_at.is_none() && open.empty_since > ended.empty_since, "it has all its time before it");
    assert_eq!(world.after(12).await.0.ended_reason, Some(EndedReason::EmptyTimeout));
}

/// All gateways speak of one room, which has so many people in it.
fn say(world: &World, participants: i32) {
    let said = Said { load: RoomLoad { participants, ..RoomLoad::default() }, home: "g".into() };
    let rooms = if participants > 0 { [(world.uid(), said)].into() } else { [].into() };
    let round = Round { rooms, complete: true, gateways: ["g".to_owned()].into() };
    world.context.ledger().report_peers(&round, world.clock.instant());
}

/// Nobody is in it for so long that no home can be on its way.
fn fall_silent(world: &World) {
    for _ in 0..6 {
        say(world, 0);
        world.clock.advance(std::time::Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_pair_lives_as_long_as_somebody_is_in_it_and_a_new_leader_asks_first() {
    let lifecycle = json!({ "departureTimeoutSeconds": 60 });
    let world = World::new(json!({ "topology": "PeerToPeer", "lifecycle": lifecycle }));
    let (fresh, _) = world.after(0).await;
    assert_eq!((fresh.topology, fresh.assignments.len()), (Some(Topology::PeerToPeer), 0));
    assert_eq!(find(&fresh.conditions, SCHEDULED).unwrap().reason, "NotNeeded");
    say(&world, 1);
    let (started, _) = world.after(0).await;
    assert!(started.started_at.is_some() && started.empty_since.is_none());
    assert_eq!(world.after(3_600).await.1, 0, "somebody is there");
    fall_silent(&world);
    let (empty, _) = world.after(0).await;
    assert!(empty.empty_since.is_some(), "{empty:?}");
    let world = world.succeeded();
    assert_eq!(world.after(3_600).await.0.ended_reason, None, "nobody has told the new leader who is there");
    say(&world, 0);
    assert_eq!(world.after(0).await.0.ended_reason, None, "they may be on their way to another home");
    fall_silent(&world);
    assert_eq!(world.after(0).await.0.ended_reason, Some(EndedReason::DepartureTimeout));
}

#[tokio::test]
async fn a_third_person_without_a_pod_is_told_of_in_status_until_the_wish_is_over() {
    let world = World::new(json!({ "topology": "PeerToPeer", "capacity": { "upgrade": "MediaServer" } }));
    world.after(0).await;
    let name = plenum_protocol::ids::RoomName { namespace: "a".into(), name: "r".into() };
    assert!(world.context.ledger().want(&world.uid(), &name, None, world.clock.instant()));
    let (wanting, _) = world.after(0).await;
    let scheduled = find(&wanting.conditions, SCHEDULED).unwrap();
    assert_eq!((scheduled.status.as_str(), scheduled.reason.as_str()), ("False", "NoPool"));
    assert_eq!((wanting.topology, wanting.signaling.is_some()), (Some(Topology::PeerToPeer), true));
    let (alone, _) = world.after(31).await;
    assert_eq!(find(&alone.conditions, SCHEDULED).unwrap().reason, "NotNeeded");
}
