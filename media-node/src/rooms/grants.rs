//! Grants and revocations: how rooms come and go.

use super::room::Room;
use super::{Action, Effect, MAX_ROOMS, Rooms, WorkerLoad};
use plenum_media_core::RoomKey;
use plenum_protocol::control::{Grant, Revocation, RevokeReason};
use plenum_protocol::ids::RoomName;
use plenum_protocol::room::{RejoinReason, ServerMessage};

/// Spread of the herd that a moved room sends back to the gateways, in milliseconds.
pub(super) const REJOIN_WITHIN_MILLIS: u32 = 200;

/// What became of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The room is new here, or new under this epoch.
    Added,
    /// Known already; its bounds are those of the grant.
    Renewed,
    /// A newer epoch runs here, or this one was revoked before.
    Stale,
    /// The node drains.
    Draining,
    /// The node has [`MAX_ROOMS`].
    Full,
}

impl Rooms {
    /// Takes a grant. The same one again changes nothing.
    pub(crate) fn grant(&mut self, grant: &Grant) -> Applied {
        let present = self.uids.get(&grant.uid).and_then(|key| self.rooms.get(key)).map(|room| (room.key, room.epoch));
        match present {
            Some((_, epoch)) if epoch > grant.epoch => Applied::Stale,
            Some((key, epoch)) if epoch == grant.epoch => self.renew(key, grant),
            Some((key, _)) => {
                self.end_room(key, &last_message(RevokeReason::Rebound, None));
                self.add_room(grant)
            }
            None if self.changes.ended(&grant.uid).is_some_and(|ended| *ended >= grant.epoch) => Applied::Stale,
            None if !self.admission.accepting => Applied::Draining,
            None if self.rooms.len() >= MAX_ROOMS => Applied::Full,
            None => self.add_room(grant),
        }
    }

    fn renew(&mut self, key: RoomKey, grant: &Grant) -> Applied {
        if let Some(room) = self.rooms.get_mut(&key) {
            let before = room.engine_limits();
            room.max_participants = grant.max_participants;
            room.max_bitrate_kbps = grant.max_bitrate_kbps;
            room.relay_only = grant.relay_only;
            let limits = room.engine_limits();
            if limits != before {
                self.effects.push(Effect { worker: room.worker, action: Action::AddRoom(key, limits) });
            }
        }
        Applied::Renewed
    }

    /// The worker with the fewest people gets the room, then the one with the fewest rooms.
    fn add_room(&mut self, grant: &Grant) -> Applied {
        let worker = self.workers.iter().enumerate().min_by_key(|(_, load)| **load).map_or(0, |(worker, _)| worker);
        let key = RoomKey(self.next());
        let mut room = Room::new(key, grant, worker);
        room.changed = self.changes.bump();
        self.effects.push(Effect { worker, action: Action::AddRoom(key, room.engine_limits()) });
        self.uids.insert(grant.uid.clone(), key);
        self.rooms.insert(key, room);
        if let Some(load) = self.workers.get_mut(worker) {
            load.rooms += 1;
        }
        Applied::Added
    }

    /// Ends the grant that is named, or an older one of that room. The room that ended, if one did.
    pub(crate) fn revoke(&mut self, revocation: &Revocation) -> Option<RoomName> {
        let key = *self.uids.get(&revocation.uid)?;
        let name = self.rooms.get(&key).filter(|room| room.epoch <= revocation.epoch)?.name.clone();
        self.end_room(key, &last_message(revocation.reason, revocation.detail.as_deref()));
        Some(name)
    }

    fn end_room(&mut self, key: RoomKey, last: &ServerMessage) {
        let Some(room) = self.rooms.remove(&key) else { return };
        let (worker, people) = (room.worker, room.counted.participants);
        self.uids.remove(&room.uid);
        self.changes.end(room.uid.clone(), room.epoch);
        for (session, id) in room.end(last) {
            self.sessions.remove(&id);
            self.session_rooms.remove(&session);
        }
        self.effects.push(Effect { worker, action: Action::RemoveRoom(key) });
        self.count(worker, people, 0);
        if let Some(WorkerLoad { rooms, .. }) = self.workers.get_mut(worker) {
            *rooms = rooms.saturating_sub(1);
        }
    }
}

fn last_message(reason: RevokeReason, detail: Option<&str>) -> ServerMessage {
    match reason {
        RevokeReason::Rebound => {
            ServerMessage::Rejoin { reason: RejoinReason::Rebound, within_millis: REJOIN_WITHIN_MILLIS }
        }
        RevokeReason::Closed => ServerMessage::Ended { detail: detail.unwrap_or("the room was closed").to_owned() },
        RevokeReason::Deleted => ServerMessage::Ended { detail: "the room was deleted".to_owned() },
    }
}
