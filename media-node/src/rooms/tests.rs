//! The registry as a state machine: grants, people, sessions, and what everybody is told.

use super::sessions::Opening;
use super::*;
use plenum_media_core::{CloseReason, Path};
use plenum_protocol::control::{Grant, NodeJoin, OpenSession, Revocation, RevokeReason, SessionKind, SessionOwner};
use plenum_protocol::flow::{ClientView, LegCounts};
use plenum_protocol::ids::{ParticipantId, ParticipantKey, PublicationId, RoomName};
use plenum_protocol::room::{RejoinReason, RosterEntry, ServerMessage};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

struct World {
    rooms: Rooms,
    now: Instant,
    next: u128,
}

/// One person with a room socket.
#[derive(Debug)]
struct Person {
    ticket: JoinTicket,
    id: ParticipantId,
    key: ParticipantKey,
    roster: Vec<RosterEntry>,
    inbox: MailboxReceiver,
}

fn uid(name: &str) -> RoomUid {
    name.parse().unwrap()
}

fn grant(name: &str, epoch: i64) -> Grant {
    let room = RoomName { namespace: "demo".into(), name: name.into() };
    Grant { uid: uid(name), room, epoch: Epoch(epoch), max_participants: 3, max_bitrate_kbps: 2_000, relay_only: false }
}

fn revocation(name: &str, epoch: i64, reason: RevokeReason) -> Revocation {
    Revocation { uid: uid(name), epoch: Epoch(epoch), reason }
}

fn boot() -> BootId {
    BootId::from_bits("", 1)
}

impl World {
    /// Two workers, accepting, with room `a` under epoch 1.
    fn new() -> Self {
        let mut rooms = Rooms::new(2);
        rooms.set_admission(Admission { accepting: true, max_participants: 0 });
        assert_eq!(rooms.grant(&grant("a", 1)), Applied::Added);
        rooms.take_effects();
        Self { rooms, now: Instant::now(), next: 100 }
    }

    fn fresh(&mut self) -> Fresh {
        self.next += 1;
        Fresh { participant: self.next, secret: self.next + 1_000, publication: self.next }
    }

    fn try_join(&mut self, room: &str, identity: &str) -> Result<Person, Refusal> {
        let join = NodeJoin {
            epoch: Epoch(1),
            identity: identity.into(),
            name: identity.to_uppercase(),
            can_publish: identity != "viewer",
            can_subscribe: true,
            gateway: "gateway-0".into(),
        };
        let (mailbox, inbox) = Mailbox::new();
        let fresh = self.fresh();
        let joined = self.rooms.join(&uid(room), &join, fresh, mailbox)?;
        let mut welcome = joined.welcome.into_iter();
        let Some(ServerMessage::Joined { participant, participant_key, roster }) = welcome.next() else {
            panic!("joined comes first")
        };
        Ok(Person { ticket: joined.ticket, id: participant, key: participant_key, roster, inbox })
    }

    fn join(&mut self, identity: &str) -> Person {
        self.try_join("a", identity).unwrap()
    }

    fn request(kind: SessionKind, key: Option<&ParticipantKey>, identity: &str) -> OpenSession {
        let owner =
            SessionOwner { participant_key: key.cloned(), identity: identity.into(), name: identity.to_uppercase() };
        OpenSession { epoch: Epoch(1), session: kind, owner, gateway: "gateway-0".into(), offer: String::new() }
    }

    fn begin(&mut self, request: &OpenSession) -> Result<Opening, Refusal> {
        let fresh = self.fresh();
        let id = SessionId::from_bits("", self.next);
        self.rooms.begin(self.now, &uid("a"), request, id, fresh)
    }

    /// A publisher session of `person`, not connected yet.
    fn publish(&mut self, person: &Person, identity: &str) -> (SessionKey, SessionId, PublicationId) {
        let opening = self.begin(&Self::request(SessionKind::Publish, Some(&person.key), identity)).unwrap();
        let opened = self.rooms.finish(opening.session).unwrap();
        (opening.session, opened.session, opened.publication)
    }

    fn connect(&mut self, session: SessionKey) {
        self.connect_by(session, direct());
    }

    fn connect_by(&mut self, session: SessionKey, path: Path) {
        self.rooms.session_connected(self.now, session, Connected { audio: true, video: true, path });
    }

    fn state(&self, room: &str) -> Option<RoomState> {
        self.rooms.report(&boot(), None).rooms.into_iter().find(|state| state.uid == uid(room))
    }
}

fn direct() -> Path {
    Path { remote: "198.51.100.7:40000".parse().unwrap(), relayed: false }
}

fn by_relay(port: u16) -> Path {
    Path { remote: SocketAddr::from(([10, 0, 0, 8], port)), relayed: true }
}

fn subscribe(publication: Option<&PublicationId>) -> SessionKind {
    SessionKind::Subscribe { publication: publication.cloned() }
}

/// Everything that waits in the inbox, by name of the message.
fn told(person: &mut Person) -> Vec<&'static str> {
    let mut names = Vec::new();
    while let Ok(message) = person.inbox.queue.try_recv() {
        names.push(match &*message {
            ServerMessage::ParticipantJoined { .. } => "joined",
            ServerMessage::ParticipantLeft { .. } => "left",
            ServerMessage::Published { .. } => "published",
            ServerMessage::Unpublished { .. } => "unpublished",
            _ => "other",
        });
    }
    names
}

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
fn one_participant_has_at_most_64_sessions() {
    let mut world = World::new();
    let ann = world.join("ann");
    for _ in 0..64 {
        world.publish(&ann, "ann");
    }
    let more = World::request(SessionKind::Publish, Some(&ann.key), "ann");
    assert_eq!(world.begin(&more).unwrap_err(), Refusal::TooManySessions(64));
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
        session: session.clone(),
        local_type: None,
        remote_type: None,
        protocol: Some("udp".into()),
        relay_protocol: None,
        rtt_micros: Some(900),
        frames: Some(frames),
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
