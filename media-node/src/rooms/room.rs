//! One room under one grant: who is in it, what they send, what the others are told of it.
//!
//! Tells sockets through their mailboxes and collects in `gone` the sessions that ended; never speaks to an engine.

use super::Connected;
use super::grants::REJOIN_WITHIN_MILLIS;
use super::participant::{Participant, ParticipantSeq, Presence};
use super::session::{Phase, Purpose, Session};
use plenum_media_core::{Path, RoomKey, RoomLimits, SessionKey};
use plenum_protocol::control::{Grant, MAX_RELAYED, RoomState};
use plenum_protocol::flow::LegCounts;
use plenum_protocol::ids::{Epoch, ParticipantKey, PublicationId, RoomName, RoomUid, SessionId};
use plenum_protocol::room::{Publication, RejoinReason, RosterEntry, ServerMessage};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Engine sessions per participant that the room may have at once.
const SESSIONS_PER_PARTICIPANT: u32 = super::participant::MAX_SESSIONS as u32;

/// A session that is in no room any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) key: SessionKey,
    pub(crate) id: SessionId,
    /// The engine still has it.
    pub(crate) in_engine: bool,
}

/// Connected sessions by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Legs {
    pub(crate) direct: usize,
    pub(crate) relayed: usize,
}

impl Legs {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { direct: self.direct + other.direct, relayed: self.relayed + other.relayed }
    }
}

/// What the leader is told of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Occupancy {
    pub(crate) participants: usize,
    pub(crate) legs: Legs,
}

/// A room.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) key: RoomKey,
    pub(crate) uid: RoomUid,
    pub(crate) name: RoomName,
    pub(crate) epoch: Epoch,
    pub(crate) max_participants: u32,
    pub(crate) max_bitrate_kbps: u32,
    pub(crate) relay_only: bool,
    /// The worker whose engine runs it.
    pub(crate) worker: usize,
    /// What the registry last counted, and the version of that.
    pub(crate) counted: Occupancy,
    pub(crate) changed: u64,
    /// A relayed leg came, went or moved since the last booking.
    pub(crate) relays_moved: bool,
    pub(crate) gone: Vec<Gone>,
    participants: BTreeMap<ParticipantSeq, Participant>,
    by_key: HashMap<ParticipantKey, ParticipantSeq>,
    sessions: BTreeMap<SessionKey, Session>,
    slow: Vec<ParticipantSeq>,
}

impl Room {
    pub(crate) fn new(key: RoomKey, grant: &Grant, worker: usize) -> Self {
        Self {
            key,
            uid: grant.uid.clone(),
            name: grant.room.clone(),
            epoch: grant.epoch,
            max_participants: grant.max_participants,
            max_bitrate_kbps: grant.max_bitrate_kbps,
            relay_only: grant.relay_only,
            worker,
            counted: Occupancy::default(),
            changed: 0,
            relays_moved: false,
            gone: Vec::new(),
            participants: BTreeMap::new(),
            by_key: HashMap::new(),
            sessions: BTreeMap::new(),
            slow: Vec::new(),
        }
    }

    /// Bounds for the engine.
    pub(crate) fn engine_limits(&self) -> RoomLimits {
        RoomLimits {
            max_bitrate_kbps: self.max_bitrate_kbps,
            max_sessions: self.max_participants.saturating_mul(SESSIONS_PER_PARTICIPANT),
            relay_only: self.relay_only,
        }
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        let mut legs = Legs::default();
        for session in self.sessions.values().filter(|session| session.phase == Phase::Connected) {
            *if session.relayed_from().is_some() { &mut legs.relayed } else { &mut legs.direct } += 1;
        }
        Occupancy { participants: self.participants.len(), legs }
    }

    /// As the leader sees it.
    pub(crate) fn state(&self) -> RoomState {
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let Occupancy { participants, legs } = self.counted;
        RoomState {
            uid: self.uid.clone(),
            epoch: self.epoch,
            participants: count(participants),
            legs: LegCounts { direct: count(legs.direct), relayed: count(legs.relayed), colocated: 0 },
            relayed: self.relayed(),
        }
    }

    /// Where relayed participants come from: the oldest relayed leg of each.
    fn relayed(&self) -> Vec<SocketAddr> {
        let relayed = self.participants.values().filter_map(|participant| {
            let sessions = participant.sessions.iter().filter_map(|key| self.sessions.get(key));
            sessions.filter_map(Session::relayed_from).next()
        });
        relayed.take(MAX_RELAYED).collect()
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = (SessionKey, &Session)> {
        self.sessions.iter().map(|(key, session)| (*key, session))
    }

    pub(crate) fn session(&self, key: SessionKey) -> Option<&Session> {
        self.sessions.get(&key)
    }

    pub(crate) fn session_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.sessions.get_mut(&key)
    }

    pub(crate) fn participant(&self, seq: ParticipantSeq) -> Option<&Participant> {
        self.participants.get(&seq)
    }

    pub(crate) fn participant_mut(&mut self, seq: ParticipantSeq) -> Option<&mut Participant> {
        self.participants.get_mut(&seq)
    }

    pub(crate) fn by_key(&self, key: &ParticipantKey) -> Option<(ParticipantSeq, &Participant)> {
        let seq = *self.by_key.get(key)?;
        Some((seq, self.participants.get(&seq)?))
    }

    /// Everybody with what they publish, but `except`.
    pub(crate) fn roster(&self, except: ParticipantSeq) -> Vec<RosterEntry> {
        let others = self.participants.iter().filter(|(seq, _)| **seq != except);
        others.map(|(_, participant)| self.entry(participant)).collect()
    }

    fn entry(&self, participant: &Participant) -> RosterEntry {
        let sessions = participant.sessions.iter().filter_map(|key| self.sessions.get(key));
        RosterEntry {
            id: participant.id.clone(),
            identity: participant.identity.clone(),
            name: participant.name.clone(),
            instance: participant.instance.clone(),
            publications: sessions.filter_map(announced).collect(),
        }
    }

    /// Announced publications, oldest first.
    pub(crate) fn publications(&self) -> impl Iterator<Item = (SessionKey, &PublicationId)> {
        self.sessions().filter(|(_, session)| session.is_announced()).map(|(key, session)| (key, session.publication()))
    }

    /// Somebody comes; the others hear of it.
    pub(crate) fn enter(&mut self, seq: ParticipantSeq, participant: Participant) {
        let message = ServerMessage::ParticipantJoined { participant: self.entry(&participant) };
        self.tell_all(message);
        if let Presence::Socket { key, .. } = &participant.presence {
            self.by_key.insert(key.clone(), seq);
        }
        self.participants.insert(seq, participant);
    }

    /// Somebody goes with everything that is theirs; their socket gets `last`, the others hear of it.
    pub(crate) fn leave(&mut self, seq: ParticipantSeq, last: Option<ServerMessage>) {
        let sessions = self.participants.get(&seq).map(|participant| participant.sessions.clone());
        for key in sessions.unwrap_or_default() {
            self.drop_session(key, true);
        }
        let Some(participant) = self.participants.remove(&seq) else { return };
        if let Presence::Socket { key, mailbox } = participant.presence {
            self.by_key.remove(&key);
            if let Some(last) = last {
                mailbox.end(last);
            }
        }
        self.tell_all(ServerMessage::ParticipantLeft { participant: participant.id });
    }

    /// A session of `session.owner`, who must be there.
    pub(crate) fn add_session(&mut self, key: SessionKey, session: Session) {
        if let Some(owner) = self.participants.get_mut(&session.owner) {
            owner.sessions.push(key);
            self.sessions.insert(key, session);
        }
    }

    /// The transport is there: a publication is announced. Returns when the session was opened.
    pub(crate) fn connect_session(&mut self, key: SessionKey, connected: Connected) -> Option<Instant> {
        let Connected { audio, video, path } = connected;
        let session = self.sessions.get_mut(&key)?;
        if session.phase == Phase::Connected {
            return None;
        }
        session.phase = Phase::Connected;
        session.path = Some(path);
        self.relays_moved |= path.relayed;
        let (owner, opened) = (session.owner, session.opened);
        if let Purpose::Publish { tracks, .. } = &mut session.purpose {
            *tracks = (audio, video);
        }
        let publication = announced(session);
        let participant = self.participants.get(&owner).map(|participant| participant.id.clone());
        if let (Some(publication), Some(participant)) = (publication, participant) {
            self.tell_others(owner, ServerMessage::Published { participant, publication });
        }
        Some(opened)
    }

    /// A connected session runs another way now.
    pub(crate) fn move_session(&mut self, key: SessionKey, path: Path) {
        let Some(session) = self.sessions.get_mut(&key).filter(|session| session.path.is_some()) else { return };
        let before = session.relayed_from();
        session.path = Some(path);
        self.relays_moved |= before != session.relayed_from();
    }

    /// The engine ended a direct session because the room is for relays only: its participant joins again. One without
    /// a socket only loses the session.
    pub(crate) fn send_back(&mut self, key: SessionKey) {
        let Some(owner) = self.sessions.get(&key).map(|session| session.owner) else { return };
        self.close_session(key, false);
        let reason = RejoinReason::RelayRequired;
        if self.participants.get(&owner).is_some_and(|it| matches!(it.presence, Presence::Socket { .. })) {
            self.leave(owner, Some(ServerMessage::Rejoin { reason, within_millis: REJOIN_WITHIN_MILLIS }));
        }
    }

    /// A session ends; a participant that was only this session goes with it.
    pub(crate) fn close_session(&mut self, key: SessionKey, in_engine: bool) {
        let owner = self.sessions.get(&key).map(|session| session.owner);
        self.drop_session(key, in_engine);
        if let Some(owner) = owner {
            self.leave_if_over(owner);
        }
    }

    fn leave_if_over(&mut self, seq: ParticipantSeq) {
        let over = self.participants.get(&seq).is_some_and(|participant| {
            matches!(participant.presence, Presence::Session) && participant.sessions.is_empty()
        });
        if over {
            self.leave(seq, None);
        }
    }

    /// Takes out one session, and those that received from it: their engine ends them by itself.
    fn drop_session(&mut self, key: SessionKey, in_engine: bool) {
        let Some(session) = self.sessions.remove(&key) else { return };
        self.relays_moved |= session.relayed_from().is_some();
        let mut owner_id = None;
        if let Some(owner) = self.participants.get_mut(&session.owner) {
            owner.sessions.retain(|other| *other != key);
            owner_id = Some(owner.id.clone());
        }
        if session.is_announced()
            && let Some(participant) = owner_id
        {
            let publication = session.publication().clone();
            self.tell_others(session.owner, ServerMessage::Unpublished { participant, publication });
        }
        self.gone.push(Gone { key, id: session.id, in_engine });
        let receivers: Vec<_> =
            self.sessions().filter(|(_, other)| other.receives_from(key)).map(|(other, s)| (other, s.owner)).collect();
        for (receiver, owner) in receivers {
            self.drop_session(receiver, false);
            self.leave_if_over(owner);
        }
    }

    fn tell_all(&mut self, message: ServerMessage) {
        self.tell(None, message);
    }

    fn tell_others(&mut self, except: ParticipantSeq, message: ServerMessage) {
        self.tell(Some(except), message);
    }

    fn tell(&mut self, except: Option<ParticipantSeq>, message: ServerMessage) {
        let message = Arc::new(message);
        for (seq, participant) in &self.participants {
            let Presence::Socket { mailbox, .. } = &participant.presence else { continue };
            if Some(*seq) != except && mailbox.post(&message).is_err() {
                self.slow.push(*seq);
            }
        }
    }

    /// Lets go of those who do not read. Their leaving is told too, so others may turn out slow meanwhile.
    pub(crate) fn settle(&mut self) -> usize {
        let mut count = 0;
        while let Some(seq) = self.slow.pop() {
            if self.participants.contains_key(&seq) {
                self.leave(
                    seq,
                    Some(ServerMessage::Rejoin { reason: RejoinReason::TooSlow, within_millis: REJOIN_WITHIN_MILLIS }),
                );
                count += 1;
            }
        }
        count
    }

    /// The grant is over: every socket gets `last`. Returns the ids of all sessions.
    pub(crate) fn end(self, last: &ServerMessage) -> Vec<(SessionKey, SessionId)> {
        for participant in self.participants.into_values() {
            if let Presence::Socket { mailbox, .. } = participant.presence {
                mailbox.end(last.clone());
            }
        }
        self.sessions.into_iter().map(|(key, session)| (key, session.id)).collect()
    }
}

/// What others are told of a session.
fn announced(session: &Session) -> Option<Publication> {
    match &session.purpose {
        Purpose::Publish { publication, tracks: (audio, video) } if session.is_announced() => {
            Some(Publication { id: publication.clone(), audio: *audio, video: *video })
        }
        _ => None,
    }
}
