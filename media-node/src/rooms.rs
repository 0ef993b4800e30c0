//! The registry of a node: which rooms it may run, who is in them, which sessions they have.
//!
//! Pure: time and random bits are arguments; what the workers' engines must do is collected in [`Effect`]s, in order.
//! The fence lives here: nothing happens in a room that was not granted under exactly that epoch.

mod grants;
mod participant;
mod people;
mod refusal;
mod room;
mod session;
mod sessions;
#[cfg(test)]
mod tests;

pub(crate) use grants::Applied;
pub(crate) use people::{JoinTicket, Joined};
pub(crate) use refusal::Refusal;
pub(crate) use room::Legs;
pub(crate) use sessions::{Connected, LegOwner};

use plenum_media_core::{RoomKey, RoomLimits, SessionKey};
use plenum_protocol::control::{Known, RoomState};
use plenum_protocol::flow::LegRole;
use plenum_protocol::ids::{BootId, Epoch, RoomUid, SessionId};
use plenum_runtime::node::Changes;
use room::Room;
use session::Phase;
use std::collections::HashMap;

/// Most rooms with a grant.
pub(crate) const MAX_ROOMS: usize = 10_000;
/// Longest identity, name or gateway name that is kept, in bytes.
pub(crate) const MAX_TEXT: usize = 256;

/// What a worker's engine must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Run a room, or change its bounds.
    AddRoom(RoomKey, RoomLimits),
    /// End a room and its sessions.
    RemoveRoom(RoomKey),
    /// End a session.
    CloseSession(SessionKey),
}

/// An [`Action`] for one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) worker: usize,
    pub(crate) action: Action,
}

/// Random bits for the names that one request needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fresh {
    pub(crate) participant: u128,
    pub(crate) secret: u128,
    pub(crate) publication: u128,
}

/// Who may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission {
    /// New rooms, and first participants of rooms that are empty.
    pub(crate) accepting: bool,
    /// Most participants on the node; 0 means no bound.
    pub(crate) max_participants: u32,
}

/// Rooms and people of one worker: where the next room goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct WorkerLoad {
    participants: usize,
    rooms: usize,
}

/// Sums over the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) rooms: usize,
    pub(crate) participants: usize,
    /// Sessions: publishers connecting and connected, subscribers connecting and connected.
    pub(crate) sessions: [[usize; 2]; 2],
    /// Connected sessions by path.
    pub(crate) legs: Legs,
}

/// What the leader's poll gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) version: u64,
    pub(crate) whole: bool,
    pub(crate) rooms: Vec<RoomState>,
    pub(crate) ended: Vec<RoomUid>,
}

/// The registry.
#[derive(Debug)]
pub(crate) struct Rooms {
    admission: Admission,
    rooms: HashMap<RoomKey, Room>,
    uids: HashMap<RoomUid, RoomKey>,
    sessions: HashMap<SessionId, (RoomKey, SessionKey)>,
    session_rooms: HashMap<SessionKey, RoomKey>,
    workers: Vec<WorkerLoad>,
    participants: usize,
    /// The epoch of a room's last ended grant: it and older ones never come back.
    changes: Changes<RoomUid, Epoch>,
    effects: Vec<Effect>,
    next: u64,
    too_slow: u64,
}

impl Rooms {
    /// An empty registry over `workers` workers that admits nobody yet.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            admission: Admission { accepting: false, max_participants: 0 },
            rooms: HashMap::new(),
            uids: HashMap::new(),
            sessions: HashMap::new(),
            session_rooms: HashMap::new(),
            workers: vec![WorkerLoad::default(); workers.max(1)],
            participants: 0,
            changes: Changes::default(),
            effects: Vec::new(),
            next: 0,
            too_slow: 0,
        }
    }

    pub(crate) fn set_admission(&mut self, admission: Admission) {
        self.admission = admission;
    }

    /// What the engines must do, in order.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Rooms with a grant.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// People on the node.
    pub(crate) fn participants(&self) -> usize {
        self.participants
    }

    /// Sockets that were let go because they did not read.
    pub(crate) fn too_slow(&self) -> u64 {
        self.too_slow
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut sessions = [[0; 2]; 2];
        for (_, session) in self.rooms.values().flat_map(Room::sessions) {
            let [connecting, connected] = &mut sessions[usize::from(session.role() != LegRole::Publisher)];
            *if session.phase == Phase::Connected { connected } else { connecting } += 1;
        }
        let legs = self.rooms.values().map(|room| room.counted.legs).fold(Legs::default(), Legs::plus);
        Totals { rooms: self.rooms.len(), participants: self.participants, sessions, legs }
    }

    /// Rooms that changed since what the leader has; everything on first contact or after too long.
    pub(crate) fn report(&self, boot: &BootId, known: Option<&Known>) -> Report {
        let known = known.filter(|known| known.boot_id == *boot).map(|known| known.state_version);
        let since = self.changes.since(known);
        let changed = self.rooms.values().filter(|room| since.is_none_or(|version| room.changed > version));
        let mut rooms: Vec<RoomState> = changed.map(Room::state).collect();
        rooms.sort_by(|a, b| a.uid.cmp(&b.uid));
        let mut ended = self.changes.ended_since(since);
        ended.retain(|uid| !self.uids.contains_key(uid));
        Report { version: self.changes.version(), whole: since.is_none(), rooms, ended }
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The room of a fence.
    fn granted(&self, uid: &RoomUid, epoch: Epoch) -> Result<&Room, Refusal> {
        let room = self.uids.get(uid).and_then(|key| self.rooms.get(key));
        room.filter(|room| room.epoch == epoch).ok_or(Refusal::NotGranted(epoch.0))
    }

    fn granted_mut(&mut self, uid: &RoomUid, epoch: Epoch) -> Result<&mut Room, Refusal> {
        let key = self.granted(uid, epoch)?.key;
        self.rooms.get_mut(&key).ok_or(Refusal::NotGranted(epoch.0))
    }

    /// Books what an operation on a room did: sessions that went, people that were too slow, new counts.
    fn book(&mut self, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(&key) else { return };
        self.too_slow += room.settle() as u64;
        let worker = room.worker;
        for gone in room.gone.drain(..) {
            self.sessions.remove(&gone.id);
            self.session_rooms.remove(&gone.key);
            if gone.in_engine {
                self.effects.push(Effect { worker, action: Action::CloseSession(gone.key) });
            }
        }
        let (before, after) = (room.counted, room.occupancy());
        if std::mem::take(&mut room.relays_moved) || before != after {
            room.counted = after;
            room.changed = self.changes.bump();
            self.count(worker, before.participants, after.participants);
        }
    }

    fn count(&mut self, worker: usize, before: usize, after: usize) {
        let moved = |sum: usize| (sum + after).saturating_sub(before);
        self.participants = moved(self.participants);
        if let Some(load) = self.workers.get_mut(worker) {
            load.participants = moved(load.participants);
        }
    }

    /// Room for one more participant in `room`?
    fn admits(&self, room: &Room) -> Result<(), Refusal> {
        let Admission { accepting, max_participants } = self.admission;
        if !accepting && room.occupancy().participants == 0 {
            return Err(Refusal::Draining);
        }
        if room.occupancy().participants >= room.max_participants as usize {
            return Err(Refusal::RoomFull(room.max_participants));
        }
        if max_participants > 0 && self.participants >= max_participants as usize {
            return Err(Refusal::NodeFull(max_participants));
        }
        Ok(())
    }
}
