use super::*;
use plenum_protocol::flow::CandidateType;
use plenum_protocol::peer::{HOME_EPOCH, SdpType};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn room() -> PeerRoom {
    PeerRoom::new(RoomName { namespace: "team-a".into(), name: "demo".into() })
}

fn arrival(identity: &str, instance: &str) -> NodeJoin {
    NodeJoin {
        epoch: HOME_EPOCH,
        identity: identity.into(),
        name: identity.to_uppercase(),
        can_publish: true,
        can_subscribe: true,
        instance: Some(instance.parse().unwrap()),
        gateway: format!("gateway-of-{identity}"),
    }
}

fn fresh(seat: u64) -> Fresh {
    Fresh { participant: u128::from(seat), key: u128::from(seat) + 1_000, max_kbps: 2_500 }
}

fn id(seat: u64) -> ParticipantId {
    ParticipantId::from_bits("PA_", u128::from(seat))
}

fn enter(room: &mut PeerRoom, seat: u64, identity: &str, instance: &str) -> Result<Vec<Out>, Refused> {
    room.join(Seat(seat), arrival(identity, instance), fresh(seat))
}

/// Ann on seat 1 and Bob on seat 2.
fn call() -> PeerRoom {
    let mut room = room();
    enter(&mut room, 1, "ann", "ann-00000001").unwrap();
    enter(&mut room, 2, "bob", "bob-00000002").unwrap();
    room
}

fn signal(to: u64, sdp: &str) -> ClientMessage {
    let signal = Signal::Description { sdp_type: SdpType::Offer, sdp: sdp.into() };
    ClientMessage::Signal { to: id(to), signal }
}

fn pair() -> SessionId {
    pair_id(&"ann-00000001".parse().unwrap(), &"bob-00000002".parse().unwrap())
}

fn view(local: CandidateType, remote: CandidateType) -> ClientView {
    ClientView { local_type: Some(local), remote_type: Some(remote), ..ClientView::of(pair()) }
}

#[test]
fn the_first_two_learn_of_each_other() {
    let mut room = room();
    let first = enter(&mut room, 1, "ann", "ann-00000001").unwrap();
    let [Out::Say(Seat(1), ServerMessage::Joined { participant, roster, mode, max_bitrate_kbps, .. })] =
        first.as_slice()
    else {
        panic!("{first:?}")
    };
    assert_eq!((participant, roster.len(), *mode), (&id(1), 0, RoomMode::PeerToPeer));
    assert_eq!(*max_bitrate_kbps, Some(2_500));
    let second = enter(&mut room, 2, "bob", "bob-00000002").unwrap();
    let [
        Out::Say(Seat(2), ServerMessage::Joined { roster, .. }),
        Out::Say(Seat(1), ServerMessage::ParticipantJoined { participant: came }),
    ] = second.as_slice()
    else {
        panic!("{second:?}")
    };
    assert_eq!((roster[0].id.clone(), roster[0].identity.as_str(), roster[0].name.as_str()), (id(1), "ann", "ANN"));
    assert_eq!((came.id.clone(), came.instance.as_ref().map(Instance::as_str)), (id(2), Some("bob-00000002")));
}

#[test]
fn the_third_is_told_how_the_room_gets_larger() {
    let refused = enter(&mut call(), 3, "cem", "cem-00000003").unwrap_err();
    assert_eq!(refused.code(), Code::Full);
    let words = refused.to_string();
    let command =
        "kubectl --namespace team-a patch room demo --type=merge -p '{\"spec\":{\"topology\":\"MediaServer\"}}'";
    assert!(words.contains("peer to peer") && words.contains(command) && words.contains("capacity.upgrade"), "{words}");
}

#[test]
fn who_cannot_be_told_apart_is_refused() {
    let mut room = call();
    let nameless = NodeJoin { instance: None, ..arrival("cem", "cem-00000003") };
    assert_eq!(room.join(Seat(3), nameless, fresh(3)), Err(Refused::NoInstance));
    assert_eq!(enter(&mut room, 3, "cem", "ann-00000001"), Err(Refused::InstanceTaken));
    let long = NodeJoin { name: "x".repeat(129), ..arrival("cem", "cem-00000003") };
    assert_eq!(room.join(Seat(3), long, fresh(3)), Err(Refused::TooLong));
    assert_eq!(room.len(), 2);
}

#[test]
fn a_page_that_joins_again_takes_the_place_of_its_ghost() {
    let mut room = call();
    let out = enter(&mut room, 3, "ann", "ann-00000001").unwrap();
    let [
        Out::Last(Seat(1), ServerMessage::Ended { .. }),
        Out::Say(Seat(2), ServerMessage::ParticipantLeft { participant: gone }),
        Out::Say(Seat(3), ServerMessage::Joined { roster, .. }),
        Out::Say(Seat(2), ServerMessage::ParticipantJoined { participant: came }),
    ] = out.as_slice()
    else {
        panic!("{out:?}")
    };
    assert_eq!((gone, roster[0].id.clone(), came.id.clone()), (&id(1), id(2), id(3)));
    assert_eq!(came.instance.as_ref().map(Instance::as_str), Some("ann-00000001"));
    // The ghost's socket ends some time later: nobody goes with it, and it is not heard.
    assert!(room.leave(Seat(1)).is_empty() && room.handle(Seat(1), signal(2, "ghost")).is_empty());
    assert_eq!(room.len(), 2);
}

#[test]
fn a_page_that_was_loaded_anew_takes_the_place_of_its_ghost_where_there_is_no_other() {
    let mut room = call();
    let out = enter(&mut room, 3, "ann", "ann-00000009").unwrap();
    assert!(matches!(&out[0], Out::Last(Seat(1), ServerMessage::Ended { .. })), "{out:?}");
    assert!(
        matches!(&out[1], Out::Say(Seat(2), ServerMessage::ParticipantLeft { participant }) if *participant == id(1))
    );
    assert_eq!((room.len(), room.leave(Seat(1)).len()), (2, 0));
    // With a free place nobody has to go.
    room.leave(Seat(2));
    let out = enter(&mut room, 4, "ann", "ann-00000010").unwrap();
    assert!(out.iter().all(|out| matches!(out, Out::Say(..))) && room.len() == 2, "{out:?}");
    // Of two with one identity the older goes.
    let out = enter(&mut room, 5, "ann", "ann-00000011").unwrap();
    assert!(matches!(&out[0], Out::Last(Seat(3), _)), "{out:?}");
}

#[test]
fn who_may_not_do_both_is_refused_and_takes_nobodys_place() {
    for (can_publish, can_subscribe) in [(false, true), (true, false), (false, false)] {
        let viewer = |name: &str, instance: &str| NodeJoin { can_publish, can_subscribe, ..arrival(name, instance) };
        let mut room = room();
        let refused = room.join(Seat(1), viewer("eve", "eve-00000001"), fresh(1)).unwrap_err();
        let words = refused.to_string();
        assert!(refused.code() == Code::Forbidden && words.contains("canPublish and canSubscribe"), "{words}");
        let mut room = call();
        let refused = room.join(Seat(3), viewer("ann", "ann-00000001"), fresh(3)).unwrap_err();
        assert_eq!((refused.code(), room.len()), (Code::Forbidden, 2));
        // As the third they may have a media server.
        let third = room.join(Seat(3), viewer("eve", "eve-00000001"), fresh(3)).unwrap_err();
        assert_eq!(third.code(), Code::Full);
    }
}

#[test]
fn legs_count_when_both_agree_on_them() {
    use CandidateType::{Host, Relay, Srflx};
    let mut room = call();
    let say = |room: &mut PeerRoom, seat, local, remote| {
        room.handle(Seat(seat), ClientMessage::View { legs: vec![view(local, remote)] });
        (room.counts().direct, room.counts().relayed)
    };
    assert_eq!(say(&mut room, 1, Relay, Host), (0, 0), "one says so");
    assert_eq!(say(&mut room, 2, Host, Host), (0, 0), "the other one says otherwise");
    assert_eq!(say(&mut room, 2, Srflx, Relay), (0, 2));
    assert_eq!(say(&mut room, 1, Host, Host), (0, 0));
    assert_eq!(say(&mut room, 2, Host, Host), (2, 0));
}

#[test]
fn signals_reach_the_other_one_only() {
    let mut room = call();
    let out = room.handle(Seat(1), signal(2, "hello"));
    let signal_of = |sdp: &str| Signal::Description { sdp_type: SdpType::Offer, sdp: sdp.into() };
    assert_eq!(out, [Out::Say(Seat(2), ServerMessage::Signal { from: id(1), signal: signal_of("hello") })]);
    // To oneself, to somebody who has left, from somebody who has.
    for (from, to) in [(1, 1), (1, 7), (7, 1), (7, 7)] {
        assert!(room.handle(Seat(from), signal(to, "x")).is_empty(), "{from} to {to}");
    }
    room.leave(Seat(2));
    assert!(room.handle(Seat(1), signal(2, "x")).is_empty());
    let out = room.handle(Seat(1), ClientMessage::Join { token: "t".into(), name: None, instance: None });
    assert!(matches!(out.as_slice(), [Out::Say(Seat(1), ServerMessage::Error { code: Code::BadRequest, .. })]));
}

#[test]
fn everybody_goes_when_the_room_does() {
    let mut room = call();
    let last = ServerMessage::Ended { detail: "over".into() };
    assert_eq!(room.dismiss(&last), [Out::Last(Seat(1), last.clone()), Out::Last(Seat(2), last.clone())]);
    assert_eq!((room.len(), room.legs().len()), (0, 0));
}

#[test]
fn legs_are_what_both_say_of_their_pair() {
    use CandidateType::{Host, Prflx, Relay, Srflx};
    let mut room = call();
    let states = |room: &PeerRoom| -> Vec<_> { room.legs().iter().map(|leg| (leg.state, leg.basis)).collect() };
    assert_eq!(states(&room), [(LegState::Connecting, LegBasis::Claimed); 2]);
    assert!(room.handle(Seat(1), ClientMessage::View { legs: vec![view(Host, Srflx)] }).is_empty());
    assert_eq!(states(&room), [(LegState::Connected, LegBasis::Claimed), (LegState::Connecting, LegBasis::Claimed)]);
    room.handle(Seat(2), ClientMessage::View { legs: vec![view(Prflx, Host)] });
    assert_eq!(states(&room), [(LegState::Connected, LegBasis::Confirmed); 2]);
    let legs = room.legs();
    assert_eq!((legs[0].participant.clone(), legs[0].peer.clone()), (id(1), Some(id(2))));
    assert_eq!((legs[0].session.clone(), legs[0].gateway.as_str()), (pair(), "gateway-of-ann"));
    assert_eq!((legs[0].client.candidate_type, legs[0].node.candidate_type), (Some(Host), Some(Srflx)));
    room.handle(Seat(2), ClientMessage::View { legs: vec![view(Relay, Host)] });
    assert_eq!(states(&room), [(LegState::Connected, LegBasis::Claimed); 2]);
    // The peer connection is closed.
    room.handle(Seat(2), ClientMessage::View { legs: Vec::new() });
    assert_eq!(states(&room)[1], (LegState::Connecting, LegBasis::Claimed));
}

#[test]
fn views_of_others_and_of_old_pairs_do_not_count() {
    use CandidateType::Host;
    let mut room = call();
    let foreign = ClientView { session: "P_other".parse().unwrap(), ..view(Host, Host) };
    room.handle(Seat(1), ClientMessage::View { legs: vec![foreign] });
    assert!(room.legs().iter().all(|leg| leg.client_view.is_none()));
    room.handle(Seat(1), ClientMessage::View { legs: vec![view(Host, Host)] });
    // Bob's page rejoins: the same pair. Another page: another pair.
    room.leave(Seat(2));
    room.handle(Seat(1), ClientMessage::View { legs: Vec::new() });
    enter(&mut room, 3, "bob", "bob-00000002").unwrap();
    assert_eq!(room.legs()[0].state, LegState::Connected);
    room.leave(Seat(3));
    enter(&mut room, 4, "bob", "bob-00000009").unwrap();
    assert_eq!(room.legs()[0].state, LegState::Connecting);
}

#[test]
fn a_view_with_long_names_is_refused() {
    use CandidateType::{Host, Relay};
    let mut room = call();
    for bad in [
        ClientView { protocol: Some("x".repeat(17)), ..view(Host, Host) },
        ClientView { relay_protocol: Some("x".repeat(17)), ..view(Relay, Host) },
        ClientView { local_relay: Some("x".repeat(254)), ..view(Relay, Host) },
    ] {
        let out = room.handle(Seat(1), ClientMessage::View { legs: vec![bad] });
        assert!(matches!(out.as_slice(), [Out::Say(Seat(1), ServerMessage::Error { .. })]), "{out:?}");
    }
    assert!(room.legs()[0].client_view.is_none());
}

/// What sockets may do, in any order.
#[derive(Debug, Clone)]
enum Act {
    /// Identity and instance, of few, so that they meet.
    Join(u8, u8),
    Leave(u8),
    Signal(u8, u8),
    View(u8, bool),
    JoinAgain(u8),
    Dismiss,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..3_u8, 0..4_u8).prop_map(|(who, page)| Act::Join(who, page)),
        3 => (0..12_u8).prop_map(Act::Leave),
        6 => (0..12_u8, 0..12_u8).prop_map(|(from, to)| Act::Signal(from, to)),
        3 => (0..12_u8, any::<bool>()).prop_map(|(from, own)| Act::View(from, own)),
        1 => (0..12_u8).prop_map(Act::JoinAgain),
        1 => Just(Act::Dismiss),
    ];
    proptest::collection::vec(act, 0..60)
}

/// What somebody who listens believes.
#[derive(Debug)]
struct Listener {
    own: ParticipantId,
    others: BTreeMap<ParticipantId, Instance>,
}

/// The room with everybody who listens, as they would see it.
struct Model {
    room: PeerRoom,
    next: u64,
    listeners: BTreeMap<Seat, Listener>,
    /// Seats that had their last message, or left.
    gone: BTreeSet<Seat>,
}

impl Model {
    fn new() -> Self {
        Self { room: room(), next: 0, listeners: BTreeMap::new(), gone: BTreeSet::new() }
    }

    fn act(&mut self, act: &Act) {
        let seat = |number: u8| Seat(u64::from(number));
        match *act {
            Act::Join(who, page) => {
                let (seat, before) = (Seat(self.next), self.room.len());
                self.next += 1;
                let (identity, instance) = (format!("person-{who}"), format!("instance-{page}"));
                match enter(&mut self.room, seat.0, &identity, &instance) {
                    Ok(out) => self.hear(out),
                    Err(_) => {
                        self.gone.insert(seat);
                        assert_eq!(self.room.len(), before, "a refused join changed the room");
                    }
                }
            }
            Act::Leave(number) => {
                let out = self.room.leave(seat(number));
                self.listeners.remove(&seat(number));
                if u64::from(number) < self.next {
                    self.gone.insert(seat(number));
                }
                self.hear(out);
            }
            Act::Signal(from, to) => {
                let (sender, to) = (seat(from), self.listeners.get(&seat(to)).map_or(id(99), |to| to.own.clone()));
                let signal = Signal::Description { sdp_type: SdpType::Answer, sdp: format!("{from}") };
                let out = self.room.handle(sender, ClientMessage::Signal { to: to.clone(), signal });
                assert!(out.len() <= 1);
                if let [Out::Say(seat, _)] = out.as_slice() {
                    assert_ne!(*seat, sender, "a signal came back");
                    assert_eq!(self.listeners[seat].own, to, "a signal reached somebody else");
                }
                self.hear(out);
            }
            Act::View(from, own) => {
                let session = self.room.pair().filter(|_| own).unwrap_or_else(|| "P_x".parse().unwrap());
                let out = self.room.handle(seat(from), ClientMessage::View { legs: vec![ClientView::of(session)] });
                self.hear(out);
            }
            Act::JoinAgain(from) => {
                let join = ClientMessage::Join { token: "t".into(), name: None, instance: None };
                let out = self.room.handle(seat(from), join);
                self.hear(out);
            }
            Act::Dismiss => {
                let out = self.room.dismiss(&ServerMessage::Ended { detail: "over".into() });
                self.hear(out);
            }
        }
    }

    fn hear(&mut self, out: Vec<Out>) {
        for out in out {
            match out {
                Out::Last(seat, _) => {
                    assert!(self.listeners.remove(&seat).is_some(), "a last message for nobody");
                    self.gone.insert(seat);
                }
                Out::Say(seat, message) => {
                    assert!(!self.gone.contains(&seat), "a message after the last one");
                    self.say(seat, message);
                }
            }
        }
    }

    fn say(&mut self, seat: Seat, message: ServerMessage) {
        let instance_of = |entry: &RosterEntry| entry.instance.clone().unwrap();
        if let ServerMessage::Joined { participant, roster, .. } = message {
            let others = roster.iter().map(|entry| (entry.id.clone(), instance_of(entry))).collect();
            let listener = Listener { own: participant, others };
            assert!(self.listeners.insert(seat, listener).is_none(), "joined twice");
            return;
        }
        let listener = self.listeners.get_mut(&seat).expect("joined comes first");
        match message {
            ServerMessage::ParticipantJoined { participant } => {
                let instance = instance_of(&participant);
                assert!(listener.others.insert(participant.id, instance).is_none(), "came twice");
            }
            ServerMessage::ParticipantLeft { participant } => {
                assert!(listener.others.remove(&participant).is_some(), "somebody left who was not there");
            }
            ServerMessage::Signal { from, .. } => assert!(listener.others.contains_key(&from), "a signal of nobody"),
            ServerMessage::Error { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    /// Everybody believes what is so.
    fn check(&self) {
        assert!(self.room.len() <= PEERS);
        let there: BTreeMap<Seat, &Member> = self.room.members.iter().map(|member| (member.seat, member)).collect();
        assert_eq!(there.keys().collect::<Vec<_>>(), self.listeners.keys().collect::<Vec<_>>());
        let instances: BTreeSet<&Instance> = self.room.members.iter().map(|member| &member.instance).collect();
        assert_eq!(instances.len(), there.len(), "two with one instance");
        for (seat, listener) in &self.listeners {
            let others = there.iter().filter(|(other, _)| *other != seat);
            let others: BTreeMap<_, _> = others.map(|(_, other)| (other.id.clone(), other.instance.clone())).collect();
            assert_eq!(listener.others, others);
        }
        let legs = self.room.legs();
        assert_eq!(legs.len(), if there.len() == PEERS { 2 } else { 0 });
        assert!(legs.iter().all(|leg| leg.peer.is_some() && leg.role == LegRole::Peer));
    }
}

proptest! {
    #[test]
    fn everybody_sees_the_room_as_it_is_whatever_happens(acts in acts()) {
        let mut model = Model::new();
        for act in &acts {
            model.act(act);
            model.check();
        }
    }
}
