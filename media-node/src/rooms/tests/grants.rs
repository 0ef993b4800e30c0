//! Grants and revocations: which rooms may run, and whom they admit.

use super::*;

#[test]
fn nobody_joins_a_room_that_was_not_granted_under_that_epoch() {
    let mut world = World::new();
    assert_eq!(world.try_join("b", "ann").unwrap_err(), Refusal::NotGranted(1));
    let mut request = World::request(SessionKind::Publish, None, "ann");
    request.epoch = Epoch(2);
    assert_eq!(world.begin(&request).unwrap_err(), Refusal::NotGranted(2));
}

#[test]
fn the_same_grant_again_changes_nothing_and_new_bounds_reach_the_engine() {
    let mut world = World::new();
    let version = world.rooms.report(&boot(), None).version;
    assert_eq!(world.rooms.grant(&grant("a", 1)), Applied::Renewed);
    assert!(world.rooms.take_effects().is_empty());
    let wider = Grant { max_bitrate_kbps: 9_000, ..grant("a", 1) };
    assert_eq!(world.rooms.grant(&wider), Applied::Renewed);
    let effects = world.rooms.take_effects();
    assert!(matches!(
        effects[..],
        [Effect { action: Action::AddRoom(_, RoomLimits { max_bitrate_kbps: 9_000, .. }), .. }]
    ));
    assert_eq!(world.rooms.report(&boot(), None).version, version);
}

#[test]
fn a_grant_of_an_older_or_revoked_epoch_is_stale() {
    let mut world = World::new();
    assert_eq!(world.rooms.grant(&grant("b", 5)), Applied::Added);
    assert_eq!(world.rooms.grant(&grant("b", 4)), Applied::Stale);
    assert!(world.rooms.revoke(&revocation("b", 5, RevokeReason::Rebound)).is_some());
    assert_eq!(world.rooms.grant(&grant("b", 5)), Applied::Stale);
    assert_eq!(world.rooms.grant(&grant("b", 6)), Applied::Added);
}

#[test]
fn a_revocation_of_an_older_epoch_does_not_touch_a_newer_grant() {
    let mut world = World::new();
    world.rooms.grant(&grant("b", 5));
    assert!(world.rooms.revoke(&revocation("b", 4, RevokeReason::Deleted)).is_none());
    assert!(world.rooms.revoke(&revocation("c", 4, RevokeReason::Deleted)).is_none());
    assert!(world.state("b").is_some());
}

#[test]
fn a_new_epoch_on_the_same_node_starts_the_room_anew() {
    let mut world = World::new();
    let mut ann = world.join("ann");
    world.rooms.take_effects();
    assert_eq!(world.rooms.grant(&grant("a", 2)), Applied::Added);
    let actions: Vec<_> = world.rooms.take_effects().into_iter().map(|effect| effect.action).collect();
    assert!(matches!(actions[..], [Action::RemoveRoom(old), Action::AddRoom(new, _)] if old != new));
    let last = ann.inbox.last.try_recv().unwrap();
    assert_eq!(last, ServerMessage::Rejoin { reason: RejoinReason::Rebound, within_millis: 200 });
    assert_eq!(world.rooms.participants(), 0);
    assert_eq!(world.state("a").unwrap().epoch, Epoch(2));
}

#[test]
fn a_closed_room_tells_its_people_not_to_come_back_and_forgets_its_sessions() {
    let mut world = World::new();
    let mut ann = world.join("ann");
    let (key, id, _) = world.publish(&ann, "ann");
    world.rooms.revoke(&revocation("a", 1, RevokeReason::Closed));
    assert!(matches!(ann.inbox.last.try_recv(), Ok(ServerMessage::Ended { .. })));
    assert_eq!(world.rooms.find(&uid("a"), &id), Err(Refusal::NoSession));
    assert_eq!(world.rooms.finish(key), Err(Refusal::RoomLeft));
    world.rooms.leave(ann.ticket);
    world.rooms.session_closed(key, CloseReason::ConsentExpired);
    assert_eq!(world.rooms.participants(), 0);
}

#[test]
fn a_draining_node_takes_no_new_rooms_but_its_calls_stay_open_to_join() {
    let mut world = World::new();
    world.rooms.grant(&grant("b", 1));
    let ann = world.join("ann");
    world.rooms.set_admission(Admission { accepting: false, max_participants: 0 });
    assert_eq!(world.rooms.grant(&grant("c", 1)), Applied::Draining);
    assert_eq!(world.try_join("b", "bob").unwrap_err(), Refusal::Draining);
    world.publish(&ann, "ann");
    world.join("bob");
}

#[test]
fn a_room_that_becomes_one_for_relays_tells_its_engine_and_sends_direct_people_back() {
    let mut world = World::new();
    let (mut ann, mut bob) = (world.join("ann"), world.join("bob"));
    let (anns, _, _) = world.publish(&ann, "ann");
    let (bobs, _, _) = world.publish(&bob, "bob");
    let encoder = world.begin(&World::request(SessionKind::Publish, None, "encoder")).unwrap().session;
    world.connect(anns);
    world.connect_by(bobs, by_relay(61_001));
    world.connect(encoder);
    world.rooms.take_effects();
    assert_eq!(world.rooms.grant(&Grant { relay_only: true, ..grant("a", 1) }), Applied::Renewed);
    let effects = world.rooms.take_effects();
    assert!(matches!(effects[..], [Effect { action: Action::AddRoom(_, RoomLimits { relay_only: true, .. }), .. }]));
    told(&mut bob);
    world.rooms.session_closed(anns, CloseReason::RelayRequired);
    world.rooms.session_closed(encoder, CloseReason::RelayRequired);
    let last = ann.inbox.last.try_recv().unwrap();
    assert_eq!(last, ServerMessage::Rejoin { reason: RejoinReason::RelayRequired, within_millis: 200 });
    assert_eq!(told(&mut bob), ["unpublished", "left", "unpublished", "left"]);
    assert_eq!((world.rooms.participants(), world.state("a").unwrap().legs.relayed), (1, 1));
}

#[test]
fn rooms_go_to_the_worker_with_the_fewest_people() {
    let mut world = World::new();
    let _ann = world.join("ann");
    let worker = |world: &World, room: &str| world.rooms.leg_owners(&uid(room), Epoch(1)).unwrap().0;
    for room in ["b", "c"] {
        world.rooms.grant(&grant(room, 1));
        assert_ne!(worker(&world, room), worker(&world, "a"));
    }
}
