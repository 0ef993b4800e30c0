use super::*;
use crate::planner::{Unplaced, UnplacedReason};
use plenum_api::conditions::{DISRUPTED, READY, RELAY_READY, ROOM, SCHEDULED, Truth, Verdict};
use plenum_api::room::EndedReason;
use plenum_api::room::{Assignment, Basis, FlowName, Participants, RelayPolicy, RelayPoolRef};
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
    write_with(room, outcome, Facts { load, ..facts() }, second)
}

fn facts() -> Facts<'static> {
    let url = "https://rtc.test/v1/rooms/a/demo".to_owned();
    Facts { load: None, relayed: Relayed::default(), relays: None, life: None, url, has_gateway: true }
}

fn write_with(room: &Room, outcome: &Outcome, facts: Facts<'_>, second: i64) -> RoomStatus {
    Draft::from_parts(room, outcome, facts).into_status(Timestamp::from_second(second).unwrap())
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
    let ended = Ended { at: Timestamp::from_second(20).unwrap(), reason: EndedReason::Closed };
    let over = || Facts { life: Some(Life { ended: Some(ended), ..Life::default() }), ..facts() };
    let closed = write_with(&room(Some(open)), &Outcome::Over(EndedReason::Closed), over(), 20);
    assert_eq!(closed.ended_at, Some(Time(Timestamp::from_second(20).unwrap())));
    assert!(closed.assignments.is_empty() && closed.signaling.is_none());
    let placement = closed.placement.clone().unwrap();
    assert_eq!((placement.epoch, placement.region), (1, None));
    let later = write_with(&room(Some(closed.clone())), &Outcome::Over(EndedReason::Closed), over(), 30);
    assert_eq!(closed, later);
    let anew = Facts { life: Some(Life::default()), ..facts() };
    let opened = write_with(&room(Some(later)), &bound(Service::Granting), anew, 40);
    assert_eq!(opened.ended_at, None);
}

#[test]
fn a_room_that_ended_by_itself_says_which_limit_and_how_to_open_it_again() {
    let ended = Ended { at: Timestamp::from_second(20).unwrap(), reason: EndedReason::MaxDuration };
    let life = Life { ended: Some(ended), ..Life::default() };
    let facts = Facts { life: Some(life), ..facts() };
    let over = write_with(&room(None), &Outcome::Over(EndedReason::MaxDuration), facts, 20);
    assert_eq!(over.ended_reason, Some(EndedReason::MaxDuration));
    assert_eq!((word(&over, READY), word(&over, SCHEDULED)), (pair("False", "Ended"), pair("False", "Ended")));
    let said = &find(&over.conditions, READY).unwrap().message;
    assert!(said.contains("lifecycle.maxDurationSeconds") && said.contains("desiredState to Closed"), "{said}");
    assert_eq!(life_of(&over), life, "a new leader goes on with what was written");
}

#[test]
fn a_spec_that_cannot_be_served_leaves_the_times_alone() {
    let life = Life { started_at: Some(Timestamp::from_second(7).unwrap()), ..Life::default() };
    let before = write_with(&room(None), &bound(Service::Serving), Facts { life: Some(life), ..facts() }, 10);
    let after = write(&room(Some(before)), &Outcome::Awaiting, None, 20);
    assert_eq!(life_of(&after), life);
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
    let status = write_with(&room(None), &bound(Service::Serving), Facts { has_gateway: false, ..facts() }, 0);
    assert_eq!(word(&status, READY), pair("False", "NoGateway"));
}

#[test]
fn a_lost_pod_with_no_other_is_a_disruption() {
    let unplaced = Unplaced { reason: UnplacedReason::PoolNotReady, message: "scale it up".into() };
    let status = write(&room(None), &bound(Service::Lost(Some(unplaced))), None, 10);
    assert_eq!(word(&status, READY), pair("False", "MediaNodeLost"));
    assert_eq!(word(&status, DISRUPTED), pair("True", "MediaNodeLost"));
}

fn relays(policy: RelayPolicy, status: Truth, reason: &'static str) -> RelayPlan {
    let pool = RelayPoolRef { namespace: "t".into(), name: "turn".into(), region: "eu-west".into() };
    RelayPlan { pools: vec![pool], verdict: Verdict::new(status, reason, "…"), policy }
}

fn always() -> Room {
    let mut room = room(None);
    room.spec.relay.policy = RelayPolicy::Always;
    room
}

fn write_relayed(room: &Room, plan: &RelayPlan, load: Option<RoomLoad>, relayed: Relayed) -> RoomStatus {
    let facts = Facts { load, relayed, relays: Some(plan), ..facts() };
    write_with(room, &bound(Service::Serving), facts, 10)
}

#[test]
fn missing_relays_stop_only_a_room_that_needs_them() {
    let missing = |policy| relays(policy, Truth::False, "NoReadyRelay");
    let fallback = write_relayed(&room(None), &missing(RelayPolicy::Fallback), None, Relayed::default());
    assert_eq!(word(&fallback, RELAY_READY), pair("False", "NoReadyRelay"));
    assert_eq!(word(&fallback, READY), pair("True", "Serving"));
    assert_eq!(fallback.relay_pools[0].name, "turn");
    let strict = write_relayed(&always(), &missing(RelayPolicy::Always), None, Relayed::default());
    assert_eq!(word(&strict, READY), pair("False", "NoReadyRelay"));
    let lost = write_with(
        &always(),
        &bound(Service::Lost(None)),
        Facts { relays: Some(&missing(RelayPolicy::Always)), ..facts() },
        10,
    );
    assert_eq!(word(&lost, READY), pair("False", "MediaNodeLost"), "the worse news first");
}

#[test]
fn the_flow_is_named_by_how_the_legs_run() {
    let plan = relays(RelayPolicy::Fallback, Truth::True, "RelaysReady");
    let name = |room: &Room, direct, relayed| {
        let load = RoomLoad { participants: 3, peak: 3, legs: LegCounts { direct, relayed, colocated: 0 } };
        let flow = write_relayed(room, &plan, Some(load), Relayed::default()).flow.unwrap();
        (flow.name, flow.basis, flow.legs.relayed)
    };
    assert_eq!(name(&room(None), 4, 2), (FlowName::MediaServerRelayedOneSide, Basis::Observed, 2));
    assert_eq!(name(&room(None), 0, 2), (FlowName::MediaServerRelayed, Basis::Observed, 2));
    assert_eq!(name(&room(None), 4, 0), (FlowName::MediaServer, Basis::Observed, 0));
    assert_eq!(name(&always(), 0, 0), (FlowName::MediaServerRelayed, Basis::Planned, 0));
}

#[test]
fn ready_says_who_is_relayed_and_why_unless_the_room_asks_for_it() {
    let load = RoomLoad { participants: 3, peak: 3, legs: LegCounts { direct: 4, relayed: 2, colocated: 0 } };
    let relayed = Relayed { tls: 1, ..Relayed::default() };
    let plan = |policy| relays(policy, Truth::True, "RelaysReady");
    let said = |status: &RoomStatus| find(&status.conditions, READY).unwrap().message.clone();
    let fallback = write_relayed(&room(None), &plan(RelayPolicy::Fallback), Some(load), relayed);
    assert_eq!(said(&fallback), "participants can join; 1 of 3 clients is relayed over TLS: its network blocks UDP");
    let wanted = write_relayed(&always(), &plan(RelayPolicy::Always), Some(load), relayed);
    assert_eq!(said(&wanted), "participants can join");
    let taken_over = write(&room(Some(fallback.clone())), &bound(Service::Unasked), None, 20);
    assert_eq!(said(&taken_over), said(&fallback), "a new leader unsays nothing before the pods have answered");
}

fn two(spec: serde_json::Value) -> Room {
    let mut room = room(None);
    room.spec = serde_json::from_value(spec).unwrap();
    room
}

fn write_pair(room: &Room, outcome: &Outcome, load: Option<RoomLoad>) -> RoomStatus {
    write_with(room, outcome, Facts { load, ..facts() }, 10)
}

const PEERS: Outcome = Outcome::Peers { unplaced: None };

#[test]
fn two_peers_are_ready_without_a_pod_and_without_a_placement() {
    let status = write_pair(&two(json!({ "topology": "PeerToPeer" })), &PEERS, None);
    assert_eq!(word(&status, SCHEDULED), pair("True", "NotNeeded"));
    assert_eq!(
        (word(&status, READY), word(&status, DISRUPTED)),
        (pair("True", "Serving"), pair("False", "NotDisrupted"))
    );
    assert_eq!((status.topology, status.media.as_ref()), (Some(Topology::PeerToPeer), None));
    assert!(status.placement.is_none() && status.assignments.is_empty() && status.signaling.is_some());
    let flow = status.flow.unwrap();
    assert_eq!((flow.name, flow.basis), (FlowName::PeerToPeer, Basis::Planned));
}

#[test]
fn the_flow_of_two_peers_is_named_by_their_legs_and_stays_until_a_new_leader_has_heard_of_them() {
    let room = |policy: &str| two(json!({ "topology": "PeerToPeer", "relay": { "policy": policy } }));
    let flow = |room: &Room, direct, relayed| {
        let load = RoomLoad { participants: 2, peak: 2, legs: LegCounts { direct, relayed, colocated: 0 } };
        let flow = write_pair(room, &PEERS, Some(load)).flow.unwrap();
        (flow.name, flow.basis, flow.legs.direct + flow.legs.relayed)
    };
    assert_eq!(flow(&room("Fallback"), 2, 0), (FlowName::PeerToPeer, Basis::Observed, 2));
    assert_eq!(flow(&room("Fallback"), 0, 2), (FlowName::PeerToPeerRelayed, Basis::Observed, 2));
    assert_eq!(flow(&room("Always"), 0, 0), (FlowName::PeerToPeerRelayed, Basis::Planned, 0));
    let load = RoomLoad { participants: 2, peak: 2, legs: LegCounts { direct: 2, ..LegCounts::default() } };
    let mut known = room("Fallback");
    known.status = Some(write_pair(&known, &PEERS, Some(load)));
    assert_eq!(Some(write_pair(&known, &PEERS, None)), known.status);
}

#[test]
fn a_call_that_is_to_have_a_media_server_goes_on_until_there_is_one() {
    let mut room = two(json!({ "topology": "MediaServer" }));
    let load = RoomLoad { participants: 2, peak: 2, legs: LegCounts { direct: 2, ..LegCounts::default() } };
    room.status = Some(write_pair(&room, &PEERS, Some(load)));
    let unplaced = || Unplaced { reason: UnplacedReason::NoPool, message: "apply one".into() };
    let waiting = write_pair(&room, &Outcome::Unplaced { unplaced: unplaced(), lost: false }, Some(load));
    assert_eq!((waiting.topology, word(&waiting, READY)), (Some(Topology::PeerToPeer), pair("False", "NoPool")));
    assert!(waiting.signaling.is_some() && waiting.participants == Some(Participants { current: 2, peak: 2 }));
    let bound = write_with(&room, &bound(Service::Granting), facts(), 20);
    assert_eq!((bound.topology, bound.assignments.len()), (Some(Topology::MediaServer), 1), "in one write");
    let third = write_pair(&room, &Outcome::Peers { unplaced: Some(unplaced()) }, Some(load));
    assert_eq!((word(&third, SCHEDULED), word(&third, READY)), (pair("False", "NoPool"), pair("True", "Serving")));
}
