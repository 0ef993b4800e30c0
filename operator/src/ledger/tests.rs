use super::*;
use plenum_api::room::{DesiredState, EndedReason};
use plenum_protocol::flow::LegCounts;
use serde_json::json;

fn room(uid: &str, bound: Option<(&str, i64)>, epoch: i64) -> Room {
    let mut value = json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "Room",
        "metadata": { "name": uid, "namespace": "a", "uid": uid },
        "spec": { "topology": "MediaServer", "placement": { "expected": [{ "region": "eu", "participants": 3 }] } },
        "status": { "placement": { "epoch": epoch, "decidedAt": "2026-01-01T00:00:00Z", "reason": "x" } },
    });
    if let Some((pod, _)) = bound {
        value["status"]["assignments"] = json!([{
            "role": "Media", "namespace": "m", "pool": "p", "pod": pod, "bootId": "b1", "region": "eu",
        }]);
    }
    if epoch == 0 {
        value["status"] = json!({});
    }
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str) -> PodKey {
    PodKey { namespace: "m".into(), name: name.into() }
}

fn uid(text: &str) -> RoomUid {
    text.parse().unwrap()
}

fn bound(name: &str, epoch: i64) -> Bound {
    Bound { pod: pod(name), boot: "b1".parse().unwrap(), epoch: Epoch(epoch) }
}

#[test]
fn a_provisional_binding_survives_an_older_watch_event() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    ledger.observe(&room("r", None, 0), now);
    ledger.reserve(&uid("r"), bound("x", 1), 3);
    ledger.observe(&room("r", None, 0), now);
    assert_eq!(ledger.pod_load(&pod("x")), PodLoad { rooms: 1, used: 3, participants: 0 });
    ledger.settle(&room("r", None, 0), now);
    assert_eq!(ledger.pod_load(&pod("x")), PodLoad::default());
}

#[test]
fn a_rebind_moves_the_load() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    ledger.observe(&room("r", Some(("x", 1)), 1), now);
    let state =
        RoomState { uid: uid("r"), epoch: Epoch(1), participants: 5, legs: LegCounts::default(), relayed: vec![] };
    assert!(ledger.report(&pod("x"), &state).is_some());
    assert_eq!(ledger.pod_load(&pod("x")), PodLoad { rooms: 1, used: 5, participants: 5 });
    ledger.observe(&room("r", Some(("y", 2)), 2), now);
    assert_eq!(ledger.pod_load(&pod("x")), PodLoad::default());
    assert_eq!(ledger.pod_load(&pod("y")), PodLoad { rooms: 1, used: 3, participants: 0 });
    assert!(ledger.report(&pod("x"), &state).is_none(), "the old pod has no say any more");
}

#[test]
fn grants_stand_by_uid_and_epoch() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    ledger.observe(&room("r", Some(("y", 2)), 2), now);
    let stands = |ledger: &Ledger, name: &str, epoch: i64| ledger.standing(&pod(name), &uid("r"), Epoch(epoch));
    assert_eq!(stands(&ledger, "x", 1), Standing::Revoke(RevokeReason::Rebound));
    assert_eq!(stands(&ledger, "y", 1), Standing::Revoke(RevokeReason::Rebound));
    assert_eq!(stands(&ledger, "y", 2), Standing::Fine);
    assert_eq!(stands(&ledger, "x", 3), Standing::Fine, "this process may know less than the node's leader");
    assert_eq!(ledger.standing(&pod("x"), &uid("other"), Epoch(1)), Standing::Unknown);
    ledger.forget(&uid("r"), now);
    assert_eq!(stands(&ledger, "y", 2), Standing::Revoke(RevokeReason::Deleted));
}

#[test]
fn a_room_that_is_over_is_revoked_once_it_is_unbound() {
    let (mut closed, mut ended) = (room("r", None, 4), room("r", None, 4));
    closed.spec.desired_state = DesiredState::Closed;
    ended.status.as_mut().unwrap().ended_reason = Some(EndedReason::MaxDuration);
    for over in [closed, ended] {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.observe(&over, now);
        assert_eq!(ledger.standing(&pod("x"), &uid("r"), Epoch(4)), Standing::Revoke(RevokeReason::Closed));
        assert!(ledger.unbound().is_empty(), "it waits for no pod");
        let said = ledger.last_words(&uid("r"));
        assert_eq!(said.is_some_and(|said| said.contains("maxDuration")), over.status.unwrap().ended_reason.is_some());
    }
}

#[test]
fn a_wish_to_join_is_good_for_its_room_only_and_not_for_ever() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    ledger.observe(&room("r", None, 0), now);
    let name = RoomName { namespace: "a".into(), name: "r".into() };
    let other = RoomName { namespace: "a".into(), name: "s".into() };
    assert!(!ledger.want(&uid("r"), &other, None, now));
    assert!(ledger.want(&uid("r"), &name, Some("eu".into()), now));
    assert_eq!(ledger.seen(&uid("r"), now).wanted, Some(Some("eu".into())));
    assert_eq!(ledger.seen(&uid("r"), now + WISH_TTL).wanted, None);
}

#[test]
fn a_grant_is_sent_again_to_another_start_or_with_other_limits() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    ledger.observe(&room("r", Some(("x", 1)), 1), now);
    let name = RoomName { namespace: "a".into(), name: "r".into() };
    let grant = Grant {
        uid: uid("r"),
        room: name,
        epoch: Epoch(1),
        max_participants: 5,
        max_bitrate_kbps: 100,
        relay_only: false,
    };
    let (one, two): (BootId, BootId) = ("b1".parse().unwrap(), "b2".parse().unwrap());
    assert!(ledger.needs_grant(&grant, &one));
    ledger.granted(grant.clone(), one.clone());
    assert!(!ledger.needs_grant(&grant, &one));
    assert!(ledger.needs_grant(&grant, &two));
    assert!(ledger.needs_grant(&Grant { max_participants: 6, ..grant.clone() }, &one));
    ledger.grant_ended(&pod("x"), &uid("r"));
    assert!(ledger.needs_grant(&grant, &one));
}

#[test]
fn the_pod_that_a_room_leaves_is_named_once() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    assert_eq!(ledger.observe(&room("r", Some(("x", 1)), 1), now), None);
    assert_eq!(ledger.observe(&room("r", Some(("x", 1)), 1), now), None);
    assert_eq!(ledger.observe(&room("r", Some(("y", 2)), 2), now), Some(pod("x")));
    assert_eq!(ledger.observe(&room("r", Some(("y", 2)), 2), now), None);
    assert_eq!(ledger.forget(&uid("r"), now), Some(pod("y")));
}

#[test]
fn only_bindings_of_this_leader_are_timed() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    for name in ["own", "others"] {
        ledger.observe(&room(name, None, 0), now);
    }
    ledger.reserve(&uid("own"), bound("x", 1), 3);
    ledger.settle(&room("own", Some(("x", 1)), 1), now);
    ledger.observe(&room("others", Some(("x", 1)), 1), now);
    let timed = |ledger: &mut Ledger, name: &str| ledger.take_first_seen(&uid(name)).is_some();
    assert!(timed(&mut ledger, "own") && !timed(&mut ledger, "own") && !timed(&mut ledger, "others"));
}
