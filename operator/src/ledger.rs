//! Which room is bound where, how much that reserves, and what the pods said of it: the leader's memory of bindings.
//!
//! Rooms' statuses in the API server are the truth; this follows them by watch, and runs ahead only between a plan and
//! its write (a provisional binding), so that two plans never take the same place. Time is an argument.

mod entry;
mod on_pod;
mod peers;

use crate::planner::{Bound, PodKey, RoomSeen};
use entry::Entry;
use on_pod::OnPod;
use peers::Rounds;
use plenum_api::Room;
use plenum_api::room::{EndedReason, Topology};
use plenum_protocol::control::{Grant, RevokeReason, RoomState};
use plenum_protocol::ids::{BootId, Epoch, RoomName, RoomUid};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use entry::{RoomLoad, bound_of, life_of, reserve_of, uid_of};
pub use on_pod::PodLoad;

/// How long a deleted room is remembered, so that a pod that comes back late is told.
const REMEMBER_DELETED: Duration = Duration::from_secs(600);
/// How long somebody's wish to join is good for.
const WISH_TTL: Duration = Duration::from_secs(30);

/// How long a room's status waits for relays to say how clients reach them.
const SETTLE: Duration = Duration::from_secs(3);

/// How often a pod may decline a grant before the room is bound anew.
const PATIENCE: u32 = 3;

/// How a grant that a pod holds stands with the API server's truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As it should be, or newer than what this process knows.
    Fine,
    /// It must end.
    Revoke(RevokeReason),
    /// The room is not known here: a fresh read must tell.
    Unknown,
}

/// The ledger. Not shared by itself: the context holds it behind a lock.
#[derive(Default)]
pub struct Ledger {
    rooms: HashMap<RoomUid, Entry>,
    /// Pods with at least one room.
    by_pod: HashMap<PodKey, OnPod>,
    deleted: HashMap<RoomUid, Instant>,
    /// What gateways said of peer-to-peer rooms.
    rounds: Rounds,
}

impl Ledger {
    /// Takes a room as the API server has it. A provisional binding stays until its write is settled. Returns the pod whose
    /// binding has ended by it.
    pub fn observe(&mut self, room: &Room, now: Instant) -> Option<PodKey> {
        let uid = uid_of(room)?;
        let epoch = Epoch(room.epoch());
        let name = RoomName {
            namespace: room.metadata.namespace.clone().unwrap_or_default(),
            name: room.metadata.name.clone().unwrap_or_default(),
        };
        let entry = self.rooms.entry(uid.clone()).or_insert_with(|| Entry::new(name, now));
        entry.over = room.over();
        entry.topology = room.topology();
        entry.pair = entry.topology == Topology::PeerToPeer && room.spec.topology == Topology::PeerToPeer;
        if entry.provisional && epoch < entry.last_epoch {
            return None;
        }
        entry.provisional = false;
        entry.last_epoch = epoch;
        if entry.over.is_some() && entry.bound.is_none() {
            entry.begin(None);
            entry.heard = now;
        }
        let bound = bound_of(room);
        if entry.bound.is_none() && bound.is_some() {
            // Another leader has bound it: how long that took is not for this one to say.
            entry.first_seen = None;
        }
        self.rebind(&uid, bound, reserve_of(room))
    }

    /// The write of a provisional binding failed: back to what the API server has.
    pub fn settle(&mut self, room: &Room, now: Instant) {
        if let Some(entry) = uid_of(room).and_then(|uid| self.rooms.get_mut(&uid)) {
            entry.provisional = false;
        }
        self.observe(room, now);
    }

    /// Reserves a place before it is written.
    pub fn reserve(&mut self, uid: &RoomUid, bound: Bound, reserve: i64) {
        if let Some(entry) = self.rooms.get_mut(uid) {
            entry.provisional = true;
            entry.last_epoch = bound.epoch;
            entry.wanted = None;
            self.rebind(uid, Some(bound), reserve);
        }
    }

    /// The room is deleted. Returns the pod that it was bound to.
    pub fn forget(&mut self, uid: &RoomUid, now: Instant) -> Option<PodKey> {
        self.deleted.retain(|_, at| now.saturating_duration_since(*at) < REMEMBER_DELETED);
        self.deleted.insert(uid.clone(), now);
        let pod = self.rebind(uid, None, 0);
        self.rooms.remove(uid);
        pod
    }

    /// Uids that are known here and not in `present`: deleted while no watch was running.
    #[must_use]
    pub fn missing_from(&self, present: &BTreeSet<RoomUid>) -> Vec<RoomUid> {
        let mut missing: Vec<RoomUid> = self.rooms.keys().filter(|uid| !present.contains(*uid)).cloned().collect();
        missing.sort();
        missing
    }

    /// Returns the pod whose binding ends by it.
    fn rebind(&mut self, uid: &RoomUid, bound: Option<Bound>, reserve: i64) -> Option<PodKey> {
        let entry = self.rooms.get_mut(uid)?;
        if entry.bound == bound && entry.reserve == reserve {
            return None;
        }
        if let Some(old) = &entry.bound
            && let Some(on_pod) = self.by_pod.get_mut(&old.pod)
        {
            on_pod.remove(uid, entry);
            if on_pod.rooms.is_empty() {
                self.by_pod.remove(&old.pod);
            }
        }
        let left = if entry.bound == bound { None } else { entry.begin(bound.clone()) };
        entry.reserve = reserve;
        if let Some(bound) = bound {
            self.by_pod.entry(bound.pod).or_default().add(uid, entry);
        }
        left.map(|bound| bound.pod)
    }

    /// Takes a pod's word about a room. Returns the room's name when something changed that status shows.
    pub fn report(&mut self, pod: &PodKey, state: &RoomState) -> Option<RoomName> {
        let entry = self.rooms.get_mut(&state.uid)?;
        let bound = entry.bound.as_ref()?;
        if bound.pod != *pod || bound.epoch != state.epoch {
            return None;
        }
        let before = (entry.weight(), entry.load);
        entry.load.participants = state.participants;
        entry.load.peak = entry.load.peak.max(state.participants);
        entry.load.legs = state.legs;
        let moved = entry.relayed != state.relayed;
        if moved {
            entry.relayed.clone_from(&state.relayed);
        }
        let first = !std::mem::replace(&mut entry.reported, true);
        if let Some(on_pod) = self.by_pod.get_mut(pod) {
            on_pod.load.used += entry.weight() - before.0;
            on_pod.load.participants += i64::from(entry.load.participants) - i64::from(before.1.participants);
        }
        (first || moved || before.1 != entry.load).then(|| entry.name.clone())
    }

    /// A pod has lost the grant of a room. Returns the room's name when it should have it.
    pub fn grant_ended(&mut self, pod: &PodKey, uid: &RoomUid) -> Option<RoomName> {
        let entry = self.rooms.get_mut(uid)?;
        if entry.bound.as_ref().is_none_or(|bound| bound.pod != *pod) || entry.granted.is_none() {
            return None;
        }
        entry.granted = None;
        Some(entry.name.clone())
    }

    /// Whether `grant` must be sent to that start of the pod.
    #[must_use]
    pub fn needs_grant(&self, grant: &Grant, boot: &BootId) -> bool {
        let granted = self.rooms.get(&grant.uid).and_then(|entry| entry.granted.as_ref());
        granted.is_none_or(|(known, at)| known != grant || at != boot)
    }

    /// A pod has acknowledged a grant.
    pub fn granted(&mut self, grant: Grant, boot: BootId) {
        if let Some(entry) = self.rooms.get_mut(&grant.uid)
            && entry.bound.as_ref().is_some_and(|bound| bound.epoch == grant.epoch)
        {
            entry.granted = Some((grant, boot));
        }
    }

    /// A pod has answered and does not hold the room.
    pub fn declined(&mut self, grant: &Grant) {
        if let Some(entry) = self.rooms.get_mut(&grant.uid)
            && entry.bound.as_ref().is_some_and(|bound| bound.epoch == grant.epoch)
        {
            entry.declined += 1;
        }
    }

    /// Somebody wants to join a room. Returns false when there is no such room, or it is another one by now.
    pub fn want(&mut self, uid: &RoomUid, name: &RoomName, region: Option<String>, now: Instant) -> bool {
        match self.rooms.get_mut(uid) {
            Some(entry) if entry.name == *name => {
                entry.wanted = Some((region, now));
                true
            }
            _ => false,
        }
    }

    /// What the planner may know of a room.
    #[must_use]
    pub fn seen(&self, uid: &RoomUid, now: Instant) -> RoomSeen {
        let Some(entry) = self.rooms.get(uid) else { return RoomSeen::default() };
        let wanted = entry.wanted.as_ref().filter(|(_, at)| now.saturating_duration_since(*at) < WISH_TTL);
        RoomSeen {
            over: entry.over.is_some(),
            topology: Some(entry.topology),
            bound: entry.bound.clone(),
            last_epoch: entry.last_epoch,
            declined: entry.declined >= PATIENCE,
            participants: entry.reported.then_some(entry.load.participants),
            wanted: wanted.map(|(region, _)| region.clone()),
        }
    }

    /// What the pods (or gateways) said of a room, when its own one has said something.
    #[must_use]
    pub fn room_load(&self, uid: &RoomUid) -> Option<RoomLoad> {
        self.rooms.get(uid).filter(|entry| entry.reported).map(|entry| entry.load)
    }

    /// Where the packets of a room's relayed participants come from.
    #[must_use]
    pub fn relayed(&self, uid: &RoomUid) -> Vec<SocketAddr> {
        self.rooms.get(uid).map(|entry| entry.relayed.clone()).unwrap_or_default()
    }

    /// Whether it is worth waiting for relays to say how the room's clients reach them. Not for ever.
    pub fn unsettled(&mut self, uid: &RoomUid, unknown: bool, now: Instant) -> bool {
        let Some(entry) = self.rooms.get_mut(uid) else { return false };
        entry.unsettled = unknown.then(|| entry.unsettled.unwrap_or(now));
        entry.unsettled.is_some_and(|since| now.saturating_duration_since(since) < SETTLE)
    }

    /// When the room was first seen without a binding that serves, for the latency of binds. Taken once.
    pub fn take_first_seen(&mut self, uid: &RoomUid) -> Option<Instant> {
        self.rooms.get_mut(uid)?.first_seen.take()
    }

    /// When coarse fields of the room's status were last written.
    #[must_use]
    pub fn coarse_written(&self, uid: &RoomUid) -> Option<Instant> {
        self.rooms.get(uid)?.coarse_written
    }

    /// Coarse fields of the room's status were written.
    pub fn wrote_coarse(&mut self, uid: &RoomUid, now: Instant) {
        if let Some(entry) = self.rooms.get_mut(uid) {
            entry.coarse_written = Some(now);
        }
    }

    /// What rooms take of a pod.
    #[must_use]
    pub fn pod_load(&self, pod: &PodKey) -> PodLoad {
        self.by_pod.get(pod).map(|on_pod| on_pod.load).unwrap_or_default()
    }

    /// Names of the rooms bound to a pod.
    #[must_use]
    pub fn rooms_on(&self, pod: &PodKey) -> Vec<RoomName> {
        let uids = self.by_pod.get(pod).into_iter().flat_map(|on_pod| &on_pod.rooms);
        uids.filter_map(|uid| self.rooms.get(uid)).map(|entry| entry.name.clone()).collect()
    }

    /// Names of the rooms without a binding that are to have one: neither over nor peer to peer for good.
    #[must_use]
    pub fn unbound(&self) -> Vec<RoomName> {
        let mut names: Vec<RoomName> = self
            .rooms
            .values()
            .filter(|entry| entry.bound.is_none() && entry.over.is_none() && !entry.pair)
            .map(|e| e.name.clone())
            .collect();
        names.sort();
        names
    }

    /// What the people of a room that ended by itself are told.
    #[must_use]
    pub fn last_words(&self, uid: &RoomUid) -> Option<String> {
        let reason = self.rooms.get(uid)?.over.filter(|reason| *reason != EndedReason::Closed)?;
        Some(format!("the room is over: {}", reason.words()))
    }

    /// How the grant of (`uid`, `epoch`) that `pod` holds stands.
    #[must_use]
    pub fn standing(&self, pod: &PodKey, uid: &RoomUid, epoch: Epoch) -> Standing {
        if self.deleted.contains_key(uid) {
            return Standing::Revoke(RevokeReason::Deleted);
        }
        let Some(entry) = self.rooms.get(uid) else { return Standing::Unknown };
        if entry.provisional || entry.last_epoch < epoch {
            return Standing::Fine;
        }
        match &entry.bound {
            Some(bound) if bound.epoch == epoch && bound.pod == *pod => Standing::Fine,
            None if entry.over.is_some() => Standing::Revoke(RevokeReason::Closed),
            _ => Standing::Revoke(RevokeReason::Rebound),
        }
    }
}

#[cfg(test)]
mod tests;
