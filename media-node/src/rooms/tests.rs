//! The registry as a state machine: grants, people, sessions, and what everybody is told.

mod grants;
mod people;
mod reports;
mod sessions;

use super::sessions::Opening;
use super::*;
use plenum_media_core::{CloseReason, Path};
use plenum_protocol::control::{Grant, NodeJoin, OpenSession, Revocation, RevokeReason, SessionKind, SessionOwner};
use plenum_protocol::flow::{ClientView, LegCounts};
use plenum_protocol::ids::{ParticipantId, ParticipantKey, PublicationId, RoomName};
use plenum_protocol::room::{RejoinReason, RosterEntry, ServerMessage};
use plenum_signaling::node_side::{Letters, Mailbox};
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
    inbox: Letters,
}

fn uid(name: &str) -> RoomUid {
    name.parse().unwrap()
}

fn grant(name: &str, epoch: i64) -> Grant {
    let room = RoomName { namespace: "demo".into(), name: name.into() };
    Grant { uid: uid(name), room, epoch: Epoch(epoch), max_participants: 3, max_bitrate_kbps: 2_000, relay_only: false }
}

fn revocation(name: &str, epoch: i64, reason: RevokeReason) -> Revocation {
    Revocation { uid: uid(name), epoch: Epoch(epoch), reason, detail: None }
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
            instance: None,
            gateway: "gateway-0".into(),
        };
        let (mailbox, inbox) = Mailbox::new();
        let fresh = self.fresh();
        let joined = self.rooms.join(&uid(room), &join, fresh, mailbox)?;
        let mut welcome = joined.welcome.into_iter();
        let Some(ServerMessage::Joined { participant, participant_key, roster, .. }) = welcome.next() else {
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
