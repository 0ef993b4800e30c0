//! Participants of the room socket: join, leave, what their clients say of their legs.

use super::participant::{Participant, ParticipantSeq, Presence};
use super::{Fresh, MAX_TEXT, Refusal, Rooms};
use plenum_media_core::RoomKey;
use plenum_protocol::control::NodeJoin;
use plenum_protocol::flow::ClientView;
use plenum_protocol::ids::{ParticipantId, ParticipantKey, RoomUid};
use plenum_protocol::room::{MAX_MESSAGE, RoomMode, RosterEntry, ServerMessage};
use plenum_signaling::node_side::Mailbox;
use std::time::Instant;

/// Bytes of roster in the first message; the rest follows as if they came one by one.
const ROSTER_BYTES: usize = MAX_MESSAGE / 2;
/// Longest protocol name in a view.
const MAX_PROTOCOL: usize = 16;

/// Names a participant of the room socket for as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JoinTicket {
    room: RoomKey,
    seq: ParticipantSeq,
}

/// A join that went well.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) ticket: JoinTicket,
    /// What the client is told first, in order.
    pub(crate) welcome: Vec<ServerMessage>,
}

impl Rooms {
    /// Somebody joins by the room socket.
    pub(crate) fn join(
        &mut self,
        uid: &RoomUid,
        join: &NodeJoin,
        fresh: Fresh,
        mailbox: Mailbox,
    ) -> Result<Joined, Refusal> {
        check_length("the identity", &join.identity)?;
        check_length("the display name", &join.name)?;
        self.admits(self.granted(uid, join.epoch)?)?;
        let seq = ParticipantSeq(self.next());
        let room = self.granted_mut(uid, join.epoch)?;
        let id = ParticipantId::from_bits("PA_", fresh.participant);
        let key = ParticipantKey::from_bits("PK_", fresh.secret);
        room.enter(
            seq,
            Participant {
                id: id.clone(),
                identity: join.identity.clone(),
                name: join.name.clone(),
                can_publish: join.can_publish,
                can_subscribe: join.can_subscribe,
                instance: join.instance.clone(),
                presence: Presence::Socket { key: key.clone(), mailbox },
                sessions: Vec::new(),
                viewed: None,
            },
        );
        let (ticket, roster) = (JoinTicket { room: room.key, seq }, room.roster(seq));
        self.book(ticket.room);
        Ok(Joined { ticket, welcome: welcome(id, key, roster) })
    }

    /// The socket is gone or its client said so.
    pub(crate) fn leave(&mut self, ticket: JoinTicket) {
        if let Some(room) = self.rooms.get_mut(&ticket.room) {
            room.leave(ticket.seq, None);
            self.book(ticket.room);
        }
    }

    /// What a client says of its own legs; more than one a second is not taken. All views or none are kept.
    pub(crate) fn view(&mut self, now: Instant, ticket: JoinTicket, views: Vec<ClientView>) -> Result<(), Refusal> {
        let Some(room) = self.rooms.get_mut(&ticket.room) else { return Ok(()) };
        let mut own = Vec::with_capacity(views.len());
        for view in views {
            check_protocol(view.protocol.as_deref())?;
            check_protocol(view.relay_protocol.as_deref())?;
            check_length("a relay's name", view.local_relay.as_deref().unwrap_or_default())?;
            match self.sessions.get(&view.session) {
                Some((_, key)) if room.session(*key).is_some_and(|session| session.owner == ticket.seq) => {
                    own.push((*key, view));
                }
                Some(_) => return Err(Refusal::ForeignView),
                // It ended while the view was on its way.
                None => {}
            }
        }
        if !room.participant_mut(ticket.seq).is_some_and(|participant| participant.take_view(now)) {
            return Ok(());
        }
        for (key, view) in own {
            if let Some(session) = room.session_mut(key) {
                session.view = Some(view);
            }
        }
        Ok(())
    }
}

pub(super) fn check_length(what: &'static str, text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_TEXT { Err(Refusal::TooLong(what, MAX_TEXT)) } else { Ok(()) }
}

fn check_protocol(name: Option<&str>) -> Result<(), Refusal> {
    let too_long = name.is_some_and(|name| name.len() > MAX_PROTOCOL);
    if too_long { Err(Refusal::TooLong("a protocol name", MAX_PROTOCOL)) } else { Ok(()) }
}

/// `joined` with as much of the roster as a message may hold, then the others one by one.
fn welcome(
    participant: ParticipantId,
    participant_key: ParticipantKey,
    roster: Vec<RosterEntry>,
) -> Vec<ServerMessage> {
    let mut bytes = 0;
    let mut fits = |entry: &RosterEntry| {
        // Escaped text can be six times as long; ids and punctuation of an entry stay below 256 bytes, of a publication
        // below 128.
        bytes += 256 + 6 * (entry.identity.len() + entry.name.len()) + 128 * entry.publications.len();
        bytes <= ROSTER_BYTES
    };
    let split = roster.iter().position(|entry| !fits(entry)).unwrap_or(roster.len());
    let mut first = roster;
    let rest = first.split_off(split);
    let mode = RoomMode::MediaServer;
    let mut messages =
        vec![ServerMessage::Joined { participant, participant_key, roster: first, mode, max_bitrate_kbps: None }];
    messages.extend(rest.into_iter().map(|participant| ServerMessage::ParticipantJoined { participant }));
    messages
}
