//! Sessions and publications.

use super::*;

#[test]
fn a_publication_is_announced_when_its_transport_is_there() {
    let mut world = World::new();
    let mut ann = world.join("ann");
    let bob = world.join("bob");
    assert_eq!(told(&mut ann), ["joined"]);
    let (session, _, publication) = world.publish(&bob, "bob");
    assert!(told(&mut ann).is_empty());
    world.connect(session);
    assert_eq!(told(&mut ann), ["published"]);
    let cat = world.join("cat");
    let bobs = cat.roster.iter().find(|entry| entry.id == bob.id).unwrap();
    assert_eq!(bobs.publications[0].id, publication);
    assert!(bobs.publications[0].audio && bobs.publications[0].video);
}

#[test]
fn a_session_without_a_key_is_a_participant_until_it_ends() {
    let mut world = World::new();
    let mut ann = world.join("ann");
    let opening = world.begin(&World::request(SessionKind::Publish, None, "encoder")).unwrap();
    assert_eq!(told(&mut ann), ["joined"]);
    world.connect(opening.session);
    assert_eq!(world.state("a").unwrap().participants, 2);
    world.rooms.session_closed(opening.session, CloseReason::ConsentExpired);
    assert_eq!(told(&mut ann), ["published", "unpublished", "left"]);
    assert_eq!(world.rooms.participants(), 1);
}

#[test]
fn a_viewer_without_a_key_leaves_with_the_publication_that_it_watched() {
    let mut world = World::new();
    let ann = world.join("ann");
    let (sending, id, _) = world.publish(&ann, "ann");
    world.connect(sending);
    world.begin(&World::request(subscribe(None), None, "plain")).unwrap();
    assert_eq!(world.rooms.participants(), 2);
    world.rooms.close(&uid("a"), &id).unwrap();
    assert_eq!(world.rooms.participants(), 1);
    assert_eq!(world.rooms.totals().sessions, [[0, 0], [0, 0]]);
}

#[test]
fn an_engine_that_refuses_leaves_no_trace() {
    let mut world = World::new();
    let opening = world.begin(&World::request(SessionKind::Publish, None, "encoder")).unwrap();
    world.rooms.abandon(opening.session);
    assert_eq!(world.rooms.participants(), 0);
    assert_eq!(world.rooms.finish(opening.session), Err(Refusal::RoomLeft));
}

#[test]
fn without_a_choice_the_oldest_publication_is_received() {
    let mut world = World::new();
    let (ann, bob) = (world.join("ann"), world.join("bob"));
    let any = World::request(subscribe(None), None, "plain");
    assert_eq!(world.begin(&any).unwrap_err().code(), plenum_protocol::problem::Code::NotFound);
    let (first, _, publication) = world.publish(&ann, "ann");
    let (second, _, _) = world.publish(&bob, "bob");
    world.connect(second);
    world.connect(first);
    let opening = world.begin(&any).unwrap();
    assert_eq!(world.rooms.finish(opening.session).unwrap().publication, publication);
}

#[test]
fn one_participant_has_at_most_64_sessions() {
    let mut world = World::new();
    let ann = world.join("ann");
    for _ in 0..64 {
        world.publish(&ann, "ann");
    }
    let more = World::request(SessionKind::Publish, Some(&ann.key), "ann");
    assert_eq!(world.begin(&more).unwrap_err(), Refusal::TooManySessions(64));
}
