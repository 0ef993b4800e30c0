//! What the leader hears.

use super::*;

#[test]
fn the_version_moves_only_with_people_and_legs() {
    let mut world = World::new();
    let version = |world: &World| world.rooms.report(&boot(), None).version;
    let ann = world.join("ann");
    let joined = version(&world);
    let (session, id, _) = world.publish(&ann, "ann");
    assert_eq!(version(&world), joined, "a session that connects is no leg yet");
    world.connect(session);
    assert_eq!(version(&world), joined + 1);
    world.connect(session);
    assert_eq!(version(&world), joined + 1);
    world.rooms.close(&uid("a"), &id).unwrap();
    assert_eq!(version(&world), joined + 2);
}

#[test]
fn the_leader_hears_of_one_relayed_leg_of_each_relayed_participant() {
    let mut world = World::new();
    let (ann, bob, cat) = (world.join("ann"), world.join("bob"), world.join("cat"));
    let (first, _, publication) = world.publish(&ann, "ann");
    let (second, second_id, _) = world.publish(&ann, "ann");
    let (third, _, _) = world.publish(&bob, "bob");
    world.connect_by(first, by_relay(61_001));
    world.connect_by(second, by_relay(61_002));
    world.connect(third);
    // A session that is not connected is no leg.
    world.begin(&World::request(subscribe(Some(&publication)), Some(&cat.key), "cat")).unwrap();
    let state = world.state("a").unwrap();
    assert_eq!(state.legs, LegCounts { direct: 1, relayed: 2, colocated: 0 });
    assert_eq!(state.relayed, [by_relay(61_001).remote]);
    assert_eq!(world.rooms.totals().legs, Legs { direct: 1, relayed: 2 });

    let version = |world: &World| world.rooms.report(&boot(), None).version;
    let before = version(&world);
    world.rooms.path_changed(first, by_relay(61_001));
    assert_eq!(version(&world), before, "nothing moved");
    world.rooms.path_changed(third, Path { remote: "198.51.100.8:1".parse().unwrap(), relayed: false });
    assert_eq!(version(&world), before, "direct clients may roam");
    world.rooms.path_changed(first, by_relay(61_005));
    assert_eq!(version(&world), before + 1, "another relay");
    world.rooms.path_changed(third, by_relay(61_003));
    assert_eq!(version(&world), before + 2);
    let state = world.state("a").unwrap();
    assert_eq!(state.legs, LegCounts { direct: 0, relayed: 3, colocated: 0 });
    assert_eq!(state.relayed, [by_relay(61_005).remote, by_relay(61_003).remote]);
    world.rooms.close(&uid("a"), &second_id).unwrap();
    world.rooms.session_closed(first, CloseReason::ConsentExpired);
    assert_eq!(world.state("a").unwrap().relayed, [by_relay(61_003).remote]);
    world.rooms.path_changed(first, by_relay(61_009));
    assert_eq!(world.state("a").unwrap().relayed.len(), 1, "a session that is over has no path");
}

#[test]
fn not_more_relayed_participants_are_named_than_a_report_may_hold() {
    let mut world = World::new();
    world.rooms.grant(&Grant { max_participants: 1_000, ..grant("a", 1) });
    for number in 0..300u16 {
        let opening = world.begin(&World::request(SessionKind::Publish, None, "encoder")).unwrap();
        world.connect_by(opening.session, by_relay(61_000 + number));
    }
    let state = world.state("a").unwrap();
    assert_eq!((state.legs.relayed, state.relayed.len()), (300, 256));
}

#[test]
fn a_report_holds_what_changed_since_the_leader_looked() {
    let mut world = World::new();
    world.rooms.grant(&grant("b", 1));
    let whole = world.rooms.report(&boot(), None);
    assert!(whole.whole && whole.rooms.len() == 2);
    let known = |version| Known { boot_id: boot(), state_version: version };
    assert!(world.rooms.report(&boot(), Some(&known(whole.version))).rooms.is_empty());
    let _ann = world.join("ann");
    world.rooms.revoke(&revocation("b", 1, RevokeReason::Deleted));
    let difference = world.rooms.report(&boot(), Some(&known(whole.version)));
    assert!(!difference.whole);
    assert_eq!(difference.rooms, [world.state("a").unwrap()]);
    assert_eq!(difference.ended, [uid("b")]);
    world.rooms.grant(&grant("b", 2));
    let again = world.rooms.report(&boot(), Some(&known(whole.version)));
    assert!(again.ended.is_empty() && again.rooms.len() == 2);
    assert!(world.rooms.report(&boot(), Some(&known(9_999))).whole);
}
