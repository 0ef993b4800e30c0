//! Sessions of a room: opened in two steps around the engine's answer, closed by whoever is first.

use super::participant::{MAX_SESSIONS, Participant, ParticipantSeq, Presence};
use super::people::check_length;
use super::room::Room;
use super::session::{Phase, Purpose, Session};
use super::{Action, Effect, Fresh, Refusal, Rooms};
use plenum_media_core::{CloseReason, Path, RoomKey, SessionKey, SessionKind as EngineKind};
use plenum_protocol::control::{OpenSession, SessionKind, SessionOwner};
use plenum_protocol::flow::{ClientView, LegRole};
use plenum_protocol::ids::{Epoch, ParticipantId, PublicationId, RoomUid, SessionId};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What to ask the engine for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) worker: usize,
    pub(crate) room: RoomKey,
    pub(crate) session: SessionKey,
    pub(crate) kind: EngineKind,
}

/// What the gateway is told of an open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) session: SessionId,
    pub(crate) participant: ParticipantId,
    pub(crate) publication: PublicationId,
}

/// What the registry knows of a leg.
#[derive(Debug, Clone)]
pub(crate) struct LegOwner {
    pub(crate) session: SessionId,
    pub(crate) participant: ParticipantId,
    pub(crate) participant_name: String,
    pub(crate) role: LegRole,
    pub(crate) publication: PublicationId,
    pub(crate) gateway: String,
    pub(crate) view: Option<ClientView>,
}

/// What the engine says of a session that connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connected {
    pub(crate) audio: bool,
    pub(crate) video: bool,
    pub(crate) path: Path,
}

/// Who opens a session.
enum Opener {
    Present(ParticipantSeq),
    New,
}

impl Rooms {
    /// First step: checks everything and holds the place. Ends with [`Rooms::finish`] or [`Rooms::abandon`].
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        uid: &RoomUid,
        request: &OpenSession,
        session: SessionId,
        fresh: Fresh,
    ) -> Result<Opening, Refusal> {
        check_length("the identity", &request.owner.identity)?;
        check_length("the display name", &request.owner.name)?;
        check_length("the gateway's name", &request.gateway)?;
        let room = self.granted(uid, request.epoch)?;
        let publishes = matches!(request.session, SessionKind::Publish);
        let opener = opener(room, &request.owner, publishes)?;
        if matches!(opener, Opener::New) {
            self.admits(room)?;
        }
        let (purpose, kind) = purpose(room, &request.session, fresh)?;
        let (seq, key) = (ParticipantSeq(self.next()), SessionKey(self.next()));
        let room = self.granted_mut(uid, request.epoch)?;
        let owner = match opener {
            Opener::Present(present) => present,
            Opener::New => {
                room.enter(seq, newcomer(&request.owner, publishes, fresh));
                seq
            }
        };
        let gateway = request.gateway.clone();
        let (id, phase) = (session.clone(), Phase::Opening);
        let record = Session { id, owner, purpose, phase, path: None, gateway, opened: now, view: None };
        room.add_session(key, record);
        let opening = Opening { worker: room.worker, room: room.key, session: key, kind };
        self.sessions.insert(session, (opening.room, key));
        self.session_rooms.insert(key, opening.room);
        self.book(opening.room);
        Ok(opening)
    }

    /// Second step: the engine has answered.
    pub(crate) fn finish(&mut self, key: SessionKey) -> Result<Opened, Refusal> {
        let room = self.session_rooms.get(&key).and_then(|room| self.rooms.get_mut(room)).ok_or(Refusal::RoomLeft)?;
        let session = room.session_mut(key).ok_or(Refusal::RoomLeft)?;
        if session.phase == Phase::Opening {
            session.phase = Phase::Connecting;
        }
        let (id, owner, publication) = (session.id.clone(), session.owner, session.publication().clone());
        let participant = room.participant(owner).ok_or(Refusal::RoomLeft)?.id.clone();
        Ok(Opened { session: id, participant, publication })
    }

    /// Second step: the engine refused, or did not answer in time.
    pub(crate) fn abandon(&mut self, key: SessionKey) {
        self.end_session(key, true);
    }

    /// The client or its gateway ends a session.
    pub(crate) fn close(&mut self, uid: &RoomUid, id: &SessionId) -> Result<(), Refusal> {
        let (_, key) = self.find(uid, id)?;
        self.end_session(key, true);
        Ok(())
    }

    /// Where to find a session of a room.
    pub(crate) fn find(&self, uid: &RoomUid, id: &SessionId) -> Result<(usize, SessionKey), Refusal> {
        let (room, key) = self.sessions.get(id).ok_or(Refusal::NoSession)?;
        let room = self.rooms.get(room).filter(|room| room.uid == *uid).ok_or(Refusal::NoSession)?;
        Ok((room.worker, *key))
    }

    /// The engine says that media can flow. How long that took, when it is news.
    pub(crate) fn session_connected(
        &mut self,
        now: Instant,
        key: SessionKey,
        connected: Connected,
    ) -> Option<Duration> {
        let room = *self.session_rooms.get(&key)?;
        let opened = self.rooms.get_mut(&room)?.connect_session(key, connected)?;
        self.book(room);
        Some(now.saturating_duration_since(opened))
    }

    /// The engine says that a connected session runs another way.
    pub(crate) fn path_changed(&mut self, key: SessionKey, path: Path) {
        let Some(room_key) = self.session_rooms.get(&key).copied() else { return };
        let Some(room) = self.rooms.get_mut(&room_key) else { return };
        room.move_session(key, path);
        self.book(room_key);
    }

    /// The engine ended a session. Who ran directly in a room that is for relays only now has to join again: its other
    /// sessions would need other ICE servers too.
    pub(crate) fn session_closed(&mut self, key: SessionKey, reason: CloseReason) {
        if reason == CloseReason::RelayRequired
            && let Some(room_key) = self.session_rooms.get(&key).copied()
            && let Some(room) = self.rooms.get_mut(&room_key)
        {
            room.send_back(key);
            self.book(room_key);
            return;
        }
        self.end_session(key, false);
    }

    fn end_session(&mut self, key: SessionKey, in_engine: bool) {
        let Some(room_key) = self.session_rooms.get(&key).copied() else { return };
        let Some(room) = self.rooms.get_mut(&room_key) else { return };
        room.close_session(key, in_engine);
        self.book(room_key);
    }

    /// The engine's room, and what is known of each of its sessions.
    pub(crate) fn leg_owners(
        &self,
        uid: &RoomUid,
        epoch: Epoch,
    ) -> Result<(usize, RoomKey, HashMap<SessionKey, LegOwner>), Refusal> {
        let room = self.granted(uid, epoch)?;
        let owners = room.sessions().filter_map(|(key, session)| Some((key, leg_owner(room, session)?))).collect();
        Ok((room.worker, room.key, owners))
    }

    /// Ends every room without a word to its sockets: the process exits.
    pub(crate) fn remove_all(&mut self) {
        for room in self.rooms.values() {
            self.effects.push(Effect { worker: room.worker, action: Action::RemoveRoom(room.key) });
        }
    }
}

fn leg_owner(room: &Room, session: &Session) -> Option<LegOwner> {
    let participant = room.participant(session.owner)?;
    Some(LegOwner {
        session: session.id.clone(),
        participant: participant.id.clone(),
        participant_name: participant.name.clone(),
        role: session.role(),
        publication: session.publication().clone(),
        gateway: session.gateway.clone(),
        view: session.view.clone(),
    })
}

fn opener(room: &Room, owner: &SessionOwner, publishes: bool) -> Result<Opener, Refusal> {
    let Some(key) = &owner.participant_key else { return Ok(Opener::New) };
    let (seq, participant) = room.by_key(key).ok_or(Refusal::UnknownParticipant)?;
    if participant.identity != owner.identity {
        return Err(Refusal::OtherIdentity);
    }
    if publishes && !participant.can_publish {
        return Err(Refusal::MayNotPublish);
    }
    if !publishes && !participant.can_subscribe {
        return Err(Refusal::MayNotSubscribe);
    }
    if participant.sessions.len() >= MAX_SESSIONS {
        return Err(Refusal::TooManySessions(MAX_SESSIONS));
    }
    Ok(Opener::Present(seq))
}

fn newcomer(owner: &SessionOwner, publishes: bool, fresh: Fresh) -> Participant {
    Participant {
        id: ParticipantId::from_bits("PA_", fresh.participant),
        identity: owner.identity.clone(),
        name: owner.name.clone(),
        can_publish: publishes,
        can_subscribe: !publishes,
        instance: None,
        presence: Presence::Session,
        sessions: Vec::new(),
        viewed: None,
    }
}

fn purpose(room: &Room, kind: &SessionKind, fresh: Fresh) -> Result<(Purpose, EngineKind), Refusal> {
    let SessionKind::Subscribe { publication: wanted } = kind else {
        let publication = PublicationId::from_bits("PU_", fresh.publication);
        return Ok((Purpose::Publish { publication, tracks: (false, false) }, EngineKind::Publish));
    };
    let found = match wanted {
        Some(wanted) => room.publications().find(|(_, id)| *id == wanted),
        None => room.publications().next(),
    };
    let (publisher, publication) = found.ok_or(Refusal::NoPublication(match wanted {
        Some(_) => "no such publication in this room",
        None => "nobody publishes in this room yet",
    }))?;
    let purpose = Purpose::Subscribe { publication: publication.clone(), publisher };
    Ok((purpose, EngineKind::Subscribe { publication: publisher }))
}
