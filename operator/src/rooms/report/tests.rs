use super::*;
use crate::planner::{Unplaced, UnplacedReason};
use plenum_api::conditions::{DISRUPTED, READY, ROOM, SCHEDULED};
use plenum_api::room::Assignment;
use plenum_protocol::flow::LegCounts;
use serde_json::json;

fn room(status: Option<RoomStatus>) -> Room {
    let mut room: Room = serde_json::from_value(json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "Room",
        "metadata": { "name": "demo", "namespace": "a", "generation": 1 },
        "spec": { "topology": "MediaServer" },
    }))
    .unwrap();
    room.status = status;
    room
}

fn bound(service: Service) -> Outcome {
    let assignment: Assignment = serde_json::from_value(json!({
        "role": "Media", "namespace": "m", "pool": "p", "pod": "p-0-x", "bootId": "b", "region": "eu-west",
    }))
    .unwrap();
    let placement = RoomPlacement {
        epoch: 1,
        region: Some("eu-west".into()),
        decided_at: Time(Timestamp::UNIX_EPOCH),
        reason: "near".into(),
    };
    Outcome::Bound { placement, assignment: Box::new(assignment), service }
}

fn write(room: &Room, outcome: &Outcome, load: Option<RoomLoad>, second: i64) -> RoomStatus {
    let draft = Draft::from_parts(room, outcome, load, "https://rtc.test/v1/rooms/a/demo".into(), true);
    draft.into_status(Timestamp::from_second(second).unwrap())
}

fn word(status: &RoomStatus, kind: &str) -> (String, String) {
    let condition = find(&status.conditions, kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn two_writes_make_a_room_ready_and_none_keeps_it_there() {
    let first = write(&room(None), &bound(Service::Granting), None, 10);
    assert_eq!(word(&first, READY), pair("Unknown", "Pending"));
    assert_eq!(word(&first, SCHEDULED), pair("True", "Bound"));
    assert!(ROOM.iter().all(|kind| find(&first.conditions, kind).is_some()), "every condition is there from the first");
    let second = write(&room(Some(first)), &bound(Service::Serving), None, 11);
    assert_eq!(word(&second, READY), pair("True", "Serving"));
    assert_eq!(second.media.as_deref(), Some("p-0-x"));
    assert_eq!(second.signaling.as_ref().unwrap().url, "https://rtc.test/v1/rooms/a/demo");
    let third = write(&room(Some(second.clone())), &bound(Service::Serving), None, 99);
    assert_eq!(second, third);
}

#[test]
fn a_new_leader_leaves_a_ready_room_alone_until_its_pod_has_answered() {
    let first =
        write(&room(None), &bound(Service::Serving), Some(RoomLoad { participants: 3, peak: 4, legs: legs(3) }), 10);
    let again = write(&room(Some(first.clone())), &bound(Service::Unasked), None, 20);
    assert_eq!(first, again);
}

fn legs(direct: i32) -> LegCounts {
    LegCounts { direct, ..LegCounts::default() }
}

#[test]
fn the_flow_is_planned_until_a_leg_is_connected() {
    let planned = write(&room(None), &bound(Service::Serving), None, 10);
    assert_eq!(planned.flow.as_ref().unwrap().basis, Basis::Planned);
    let load = RoomLoad { participants: 2, peak: 2, legs: legs(4) };
    let observed = write(&room(Some(planned)), &bound(Service::Serving), Some(load), 11);
    let flow = observed.flow.unwrap();
    assert_eq!((flow.basis, flow.legs.direct), (Basis::Observed, 4));
    assert_eq!(observed.participants, Some(Participants { current: 2, peak: 2 }));
}

#[test]
fn a_closed_room_says_since_when_and_keeps_its_epoch() {
    let open = write(&room(None), &bound(Service::Serving), None, 10);
    let closed = write(&room(Some(open)), &Outcome::Closed, None, 20);
    assert_eq!(closed.ended_at, Some(Time(Timestamp::from_second(20).unwrap())));
    assert!(closed.assignments.is_empty() && closed.signaling.is_none());
    let placement = closed.placement.clone().unwrap();
    assert_eq!((placement.epoch, placement.region), (1, None));
    let later = write(&room(Some(closed.clone())), &Outcome::Closed, None, 30);
    assert_eq!(closed, later);
    let opened = write(&room(Some(later)), &bound(Service::Granting), None, 40);
    assert_eq!(opened.ended_at, None);
}

#[test]
fn a_room_without_a_pod_says_why_and_gives_no_url() {
    let unplaced = Unplaced { reason: UnplacedReason::NoPool, message: "apply one".into() };
    let status = write(&room(None), &Outcome::Unplaced { unplaced, lost: false }, None, 10);
    assert_eq!(word(&status, SCHEDULED), pair("False", "NoPool"));
    assert_eq!(word(&status, READY), pair("False", "NoPool"));
    assert_eq!(word(&status, DISRUPTED), pair("False", "NotDisrupted"));
    assert!(status.signaling.is_none() && status.placement.is_none());
}

#[test]
fn a_room_that_waits_is_ready_but_not_scheduled() {
    let status = write(&room(None), &Outcome::Awaiting, None, 10);
    assert_eq!(word(&status, SCHEDULED), pair("Unknown", verdicts::AWAITING));
    assert_eq!(word(&status, READY), pair("True", verdicts::AWAITING));
    assert!(status.signaling.is_some());
}

#[test]
fn without_a_gateway_nobody_can_join() {
    let draft = Draft::from_parts(&room(None), &bound(Service::Serving), None, "http://x".into(), false);
    let status = draft.into_status(Timestamp::UNIX_EPOCH);
    assert_eq!(word(&status, READY), pair("False", "NoGateway"));
}

#[test]
fn a_lost_pod_with_no_other_is_a_disruption() {
    let unplaced = Unplaced { reason: UnplacedReason::PoolNotReady, message: "scale it up".into() };
    let status = write(&room(None), &bound(Service::Lost(Some(unplaced))), None, 10);
    assert_eq!(word(&status, READY), pair("False", "MediaNodeLost"));
    assert_eq!(word(&status, DISRUPTED), pair("True", "MediaNodeLost"));
}
