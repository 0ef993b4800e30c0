//! People: who may come, and what they are told of each other.

use super::*;

#[test]
fn a_participant_that_leaves_takes_its_sessions_and_their_receivers_along() {
    let mut world = World::new();
    let mut ann = world.join("ann");
    let bob = world.join("bob");
    let (sending, _, publication) = world.publish(&bob, "bob");
    world.connect(sending);
    let receiving = world.begin(&World::request(subscribe(Some(&publication)), Some(&ann.key), "ann")).unwrap().session;
    world.connect(receiving);
    world.rooms.take_effects();
    told(&mut ann);
    world.rooms.leave(bob.ticket);
    assert_eq!(told(&mut ann), ["unpublished", "left"]);
    // The engine ends the receivers of a publisher by itself.
    let actions: Vec<_> = world.rooms.take_effects().into_iter().map(|effect| effect.action).collect();
    assert_eq!(actions, [Action::CloseSession(sending)]);
    assert_eq!(world.state("a").unwrap().legs, LegCounts::default());
    world.rooms.session_closed(receiving, CloseReason::ConsentExpired);
    assert_eq!(world.rooms.participants(), 1);
}

#[test]
fn keys_and_permissions_are_checked() {
    let mut world = World::new();
    let viewer = world.join("viewer");
    let unknown = ParticipantKey::from_bits("PK_", 7);
    let publish = |key: &ParticipantKey, identity| World::request(SessionKind::Publish, Some(key), identity);
    assert_eq!(world.begin(&publish(&unknown, "ann")).unwrap_err(), Refusal::UnknownParticipant);
    assert_eq!(world.begin(&publish(&viewer.key, "ann")).unwrap_err(), Refusal::OtherIdentity);
    assert_eq!(world.begin(&publish(&viewer.key, "viewer")).unwrap_err(), Refusal::MayNotPublish);
}

#[test]
fn a_full_room_and_a_full_node_say_so() {
    let mut world = World::new();
    let _people: Vec<_> = ["ann", "bob", "cat"].map(|name| world.join(name)).into();
    assert_eq!(world.try_join("a", "dan").unwrap_err(), Refusal::RoomFull(3));
    let publish = World::request(SessionKind::Publish, None, "dan");
    assert_eq!(world.begin(&publish).unwrap_err(), Refusal::RoomFull(3));
    world.rooms.grant(&grant("b", 1));
    world.rooms.set_admission(Admission { accepting: true, max_participants: 3 });
    assert_eq!(world.try_join("b", "dan").unwrap_err(), Refusal::NodeFull(3));
}

#[test]
fn somebody_who_does_not_read_is_let_go() {
    let mut world = World::new();
    let mut ann = world.join("ann");
    let bob = world.join("bob");
    for _ in 0..300 {
        let (session, id, _) = world.publish(&bob, "bob");
        world.connect(session);
        world.rooms.close(&uid("a"), &id).unwrap();
    }
    let last = ann.inbox.last.try_recv().unwrap();
    assert_eq!(last, ServerMessage::Rejoin { reason: RejoinReason::TooSlow, within_millis: 200 });
    assert_eq!((world.rooms.participants(), world.rooms.too_slow()), (1, 1));
}

#[test]
fn a_view_is_taken_once_a_second_and_only_of_own_sessions() {
    let mut world = World::new();
    let (ann, bob) = (world.join("ann"), world.join("bob"));
    let (key, session, _) = world.publish(&ann, "ann");
    let view = |frames| ClientView {
        protocol: Some("udp".into()),
        rtt_micros: Some(900),
        frames: Some(frames),
        ..ClientView::of(session.clone())
    };
    let frames = |world: &World| {
        let (_, _, owners) = world.rooms.leg_owners(&uid("a"), Epoch(1)).unwrap();
        owners[&key].view.as_ref().and_then(|view| view.frames)
    };
    world.rooms.view(world.now, ann.ticket, vec![view(1)]).unwrap();
    world.rooms.view(world.now + Duration::from_millis(900), ann.ticket, vec![view(2)]).unwrap();
    assert_eq!(frames(&world), Some(1));
    world.rooms.view(world.now + Duration::from_secs(1), ann.ticket, vec![view(3)]).unwrap();
    assert_eq!(frames(&world), Some(3));
    assert_eq!(world.rooms.view(world.now, bob.ticket, vec![view(9)]), Err(Refusal::ForeignView));
    let long = ClientView { protocol: Some("x".repeat(17)), ..view(9) };
    assert!(matches!(world.rooms.view(world.now, ann.ticket, vec![long]), Err(Refusal::TooLong(..))));
}

#[test]
fn a_large_roster_comes_in_pieces_that_fit_a_message() {
    let mut world = World::new();
    world.rooms.grant(&Grant { max_participants: 1_000, ..grant("a", 1) });
    let name = "\u{1}".repeat(50);
    let _others: Vec<_> = (0..200).map(|_| world.join(&name)).collect();
    let (mailbox, _inbox) = Mailbox::new();
    let join = NodeJoin {
        epoch: Epoch(1),
        identity: "last".into(),
        name: String::new(),
        can_publish: true,
        can_subscribe: true,
        instance: None,
        gateway: "gateway-0".into(),
    };
    let fresh = world.fresh();
    let welcome = world.rooms.join(&uid("a"), &join, fresh, mailbox).unwrap().welcome;
    let sizes: Vec<usize> = welcome.iter().map(|message| serde_json::to_string(message).unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size <= plenum_protocol::room::MAX_MESSAGE), "{sizes:?}");
    let ServerMessage::Joined { roster, .. } = &welcome[0] else { panic!("joined comes first") };
    assert_eq!(roster.len() + welcome.len() - 1, 200);
}

#[test]
fn texts_that_are_too_long_are_refused() {
    let mut world = World::new();
    assert!(matches!(world.try_join("a", &"x".repeat(300)), Err(Refusal::TooLong("the identity", 256))));
}
