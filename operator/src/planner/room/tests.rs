use super::*;
use crate::planner::place::UnplacedReason;
use crate::planner::place::tests::{pod, pool, room};
use proptest::prelude::*;

fn fleet(states: &[(&str, PodState)]) -> FleetView {
    let west = pool("west", "eu-west");
    let pods =
        states.iter().map(|(name, state)| crate::planner::PodView { state: *state, ..pod(name, &west, 0) }).collect();
    FleetView { pools: vec![west], pods }.sorted()
}

fn planned(room: &ValidRoom, seen: &RoomSeen, fleet: &FleetView) -> RoomPlan {
    let pod = seen.bound.as_ref().and_then(|bound| fleet.pod(&bound.pod));
    plan_room(room, seen, pod, || fleet.clone())
}

fn bound(name: &str) -> Bound {
    let pod = PodKey { namespace: "media".into(), name: name.into() };
    Bound { pod, boot: "b".parse().unwrap(), epoch: Epoch(3) }
}

fn seen(name: &str, participants: Option<i32>) -> RoomSeen {
    RoomSeen { bound: Some(bound(name)), last_epoch: Epoch(3), participants, ..RoomSeen::default() }
}

#[test]
fn a_bound_room_stays_where_it_is_while_its_pod_stays() {
    for state in [PodState::Ready, PodState::NotReady] {
        let fleet = fleet(&[("a", state), ("b", PodState::Ready)]);
        assert_eq!(planned(&room(), &seen("a", Some(2)), &fleet), RoomPlan::Keep);
    }
}

#[test]
fn a_room_that_stays_is_planned_without_a_look_at_the_fleet() {
    let pod = pod("a", &pool("west", "eu-west"), 0);
    let nobody = || panic!("the fleet is not asked");
    assert_eq!(plan_room(&room(), &seen("a", Some(2)), Some(&pod), nobody), RoomPlan::Keep);
}

#[test]
fn a_first_binding_waits_for_a_nearer_pod_that_starts_unless_somebody_stands_at_the_door() {
    let (west, east) = (pool("west", "eu-west"), pool("east", "us-east"));
    let starting = crate::planner::PodView { state: PodState::NotReady, starting: true, ..pod("w", &west, 0) };
    let leaving = crate::planner::PodView { state: PodState::Terminating, ..starting.clone() };
    let with = |first| FleetView { pods: vec![first, pod("e", &east, 0)], pools: vec![west.clone(), east.clone()] };
    let (fleet, hopeless) = (with(starting).sorted(), with(leaving).sorted());
    let expecting = |region: &str| ValidRoom { expected: [(region.to_owned(), 2)].into(), ..room() };
    let fresh = RoomSeen::default();
    let waits = planned(&expecting("eu-west"), &fresh, &fleet);
    assert!(matches!(waits, RoomPlan::Unplaced(Unplaced { reason: UnplacedReason::PodStarting, .. })), "{waits:?}");
    let binds = [
        planned(&expecting("us-east"), &fresh, &fleet),
        planned(&room(), &fresh, &fleet),
        planned(&expecting("eu-west"), &fresh, &hopeless),
        planned(&expecting("eu-west"), &RoomSeen { wanted: Some(None), ..fresh.clone() }, &fleet),
        planned(&expecting("eu-west"), &RoomSeen { last_epoch: Epoch(1), ..fresh }, &fleet),
    ];
    for plan in binds {
        assert!(matches!(plan, RoomPlan::Bind { .. }), "{plan:?}");
    }
}

#[test]
fn a_call_between_two_that_is_to_have_a_media_server_does_not_wait_for_a_first_participant() {
    let fleet = fleet(&[("a", PodState::Ready)]);
    let patched = ValidRoom { binding: Binding::WaitForFirstParticipant, ..room() };
    let pair = |participants| RoomSeen { topology: Some(Topology::PeerToPeer), participants, ..RoomSeen::default() };
    for participants in [Some(2), Some(1), None] {
        let plan = planned(&patched, &pair(participants), &fleet);
        assert!(matches!(plan, RoomPlan::Bind { .. }), "{participants:?}: {plan:?}");
    }
    assert_eq!(planned(&patched, &pair(Some(0)), &fleet), RoomPlan::Await);
    let other = RoomSeen { topology: Some(Topology::MediaServer), ..pair(None) };
    assert_eq!(planned(&patched, &other, &fleet), RoomPlan::Await);
}

#[test]
fn a_room_whose_pod_goes_is_bound_anew_under_the_next_epoch() {
    let table = [
        (PodState::Lost, Some(2), Cause::PodLost),
        (PodState::Terminating, Some(2), Cause::PodTerminating),
        (PodState::DrainExpired, Some(2), Cause::DrainExpired),
        (PodState::Draining, Some(0), Cause::DrainedEmpty),
    ];
    for (state, participants, expected) in table {
        let fleet = fleet(&[("a", state), ("b", PodState::Ready)]);
        match planned(&room(), &seen("a", participants), &fleet) {
            RoomPlan::Bind { choice, epoch, cause } => {
                assert_eq!((choice.pod.name.as_str(), epoch, cause), ("b", Epoch(4), expected));
                assert!(choice.reason.starts_with("bound anew since"), "{}", choice.reason);
            }
            other => panic!("{state:?}: {other:?}"),
        }
    }
}

#[test]
fn people_on_a_draining_pod_are_left_alone_until_the_timeout() {
    let fleet = fleet(&[("a", PodState::Draining), ("b", PodState::Ready)]);
    for participants in [Some(1), None] {
        let plan = planned(&room(), &seen("a", participants), &fleet);
        assert_eq!(plan, RoomPlan::Endure { lost: false, unplaced: None });
    }
}

#[test]
fn a_room_with_nowhere_to_go_keeps_its_binding() {
    let plan = planned(&room(), &seen("a", Some(2)), &fleet(&[("a", PodState::Lost)]));
    assert!(matches!(plan, RoomPlan::Endure { lost: true, unplaced: Some(_) }), "{plan:?}");
    let plan = planned(&room(), &seen("a", Some(2)), &fleet(&[("a", PodState::Terminating)]));
    assert!(matches!(plan, RoomPlan::Endure { lost: false, unplaced: Some(_) }), "{plan:?}");
    let plan = planned(&room(), &seen("gone", Some(2)), &fleet(&[]));
    assert!(matches!(plan, RoomPlan::Unplaced(_)), "the pod is no more: {plan:?}");
}

#[test]
fn a_pod_that_started_again_has_forgotten_the_room() {
    let mut fleet = fleet(&[("a", PodState::Ready)]);
    fleet.pods[0].boot = Some("b2".parse().unwrap());
    match planned(&room(), &seen("a", None), &fleet) {
        RoomPlan::Bind { choice, epoch, cause } => {
            assert_eq!((choice.pod.name.as_str(), cause, epoch), ("a", Cause::PodRestarted, Epoch(4)));
            assert_eq!(choice.boot, "b2".parse().unwrap());
        }
        other => panic!("{other:?}"),
    }
    fleet.pods[0].boot = None;
    assert_eq!(planned(&room(), &seen("a", None), &fleet), RoomPlan::Keep, "a new leader has not asked it yet");
}

#[test]
fn a_room_leaves_a_region_that_is_not_allowed_any_more() {
    let fleet = fleet(&[("a", PodState::Ready)]);
    let bound_elsewhere = ValidRoom { allowed_regions: vec!["us-east".into()], ..room() };
    let plan = planned(&bound_elsewhere, &seen("a", Some(1)), &fleet);
    assert!(matches!(plan, RoomPlan::Unplaced(Unplaced { reason: UnplacedReason::RegionUnavailable, .. })), "{plan:?}");
}

#[test]
fn a_pod_that_declines_a_room_loses_it() {
    let declined = RoomSeen { declined: true, ..seen("a", None) };
    match planned(&room(), &declined, &fleet(&[("a", PodState::Ready)])) {
        RoomPlan::Bind { cause, epoch, .. } => assert_eq!((cause, epoch), (Cause::PodDeclined, Epoch(4))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_room_that_waits_for_its_first_participant_is_bound_when_one_wants_in() {
    let waiting = ValidRoom { binding: Binding::WaitForFirstParticipant, ..room() };
    let fleet = fleet(&[("a", PodState::Ready)]);
    assert_eq!(planned(&waiting, &RoomSeen::default(), &fleet), RoomPlan::Await);
    let wanted = RoomSeen { wanted: Some(Some("eu-west".into())), ..RoomSeen::default() };
    assert!(matches!(planned(&waiting, &wanted, &fleet), RoomPlan::Bind { epoch: Epoch(1), .. }));
    let none = planned(&waiting, &RoomSeen::default(), &FleetView::default());
    assert!(matches!(none, RoomPlan::Unplaced(Unplaced { reason: UnplacedReason::NoPool, .. })), "{none:?}");
}

#[test]
fn a_room_that_is_over_ends_and_an_opened_one_gets_the_next_epoch() {
    let fleet = fleet(&[("a", PodState::Ready)]);
    let over = RoomSeen { over: true, ..seen("a", Some(2)) };
    assert_eq!(planned(&room(), &over, &fleet), RoomPlan::Close);
    let again = RoomSeen { last_epoch: Epoch(7), ..RoomSeen::default() };
    assert!(matches!(planned(&room(), &again, &fleet), RoomPlan::Bind { epoch: Epoch(8), .. }));
}

#[test]
fn two_peers_need_no_pod_and_a_third_person_gets_one_where_the_room_says_so() {
    let pair = ValidRoom { topology: Topology::PeerToPeer, ..room() };
    let growing = ValidRoom { upgrade: true, ..pair.clone() };
    let alone = RoomPlan::Peers { unplaced: None };
    let third = RoomSeen { wanted: Some(Some("eu-west".into())), ..RoomSeen::default() };
    let fleet = fleet(&[("a", PodState::Ready)]);
    for (room, seen) in [(&pair, &RoomSeen::default()), (&pair, &third), (&growing, &RoomSeen::default())] {
        assert_eq!(planned(room, seen, &fleet), alone);
        assert_eq!(planned(room, seen, &FleetView::default()), alone);
    }
    assert!(matches!(planned(&growing, &third, &fleet), RoomPlan::Bind { epoch: Epoch(1), .. }));
    let nowhere = planned(&growing, &third, &FleetView::default());
    assert!(matches!(nowhere, RoomPlan::Peers { unplaced: Some(_) }), "{nowhere:?}");
}

#[test]
fn an_upgraded_room_is_placed_as_one_with_a_media_server_until_it_is_over() {
    let growing = ValidRoom { topology: Topology::PeerToPeer, upgrade: true, ..room() };
    let upgraded = |name| RoomSeen { topology: Some(Topology::MediaServer), ..seen(name, Some(0)) };
    let fleet = fleet(&[("a", PodState::Ready)]);
    assert_eq!(planned(&growing, &upgraded("a"), &fleet), RoomPlan::Keep);
    assert!(matches!(planned(&growing, &upgraded("gone"), &fleet), RoomPlan::Bind { cause: Cause::PodLost, .. }));
    let homeless = RoomSeen { bound: None, ..upgraded("a") };
    assert!(matches!(planned(&growing, &homeless, &FleetView::default()), RoomPlan::Unplaced(_)));
    let again = RoomSeen { topology: None, ..homeless };
    assert_eq!(planned(&growing, &again, &fleet), RoomPlan::Peers { unplaced: None }, "opened anew");
    let patched = ValidRoom { topology: Topology::MediaServer, ..growing };
    let pair = RoomSeen { topology: Some(Topology::PeerToPeer), ..RoomSeen::default() };
    assert!(matches!(planned(&patched, &pair, &fleet), RoomPlan::Bind { .. }));
}

proptest! {
    #[test]
    fn every_binding_has_an_epoch_of_its_own(states in proptest::collection::vec(0usize..6, 1..30)) {
        let all = [PodState::Ready, PodState::NotReady, PodState::Draining, PodState::DrainExpired, PodState::Terminating, PodState::Lost];
        let mut now = RoomSeen { participants: Some(0), ..RoomSeen::default() };
        let mut epochs = Vec::new();
        for state in states {
            let fleet = fleet(&[("a", all[state]), ("b", all[(state + 3) % 6]), ("c", PodState::Ready)]);
            if let RoomPlan::Bind { choice, epoch, .. } = planned(&room(), &now, &fleet) {
                epochs.push(epoch);
                now.bound = Some(Bound { pod: choice.pod, boot: choice.boot, epoch });
                now.last_epoch = epoch;
            }
        }
        prop_assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(epochs.first(), Some(&Epoch(1)));
    }
}
