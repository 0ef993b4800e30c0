//! The rooms of one pod, and what they take of it: sums that are kept, so that a plan needs no walk over all rooms.

use super::entry::Entry;
use plenum_protocol::ids::RoomUid;
use std::collections::BTreeSet;

/// What rooms take of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PodLoad {
    /// Rooms bound to it.
    pub rooms: u32,
    /// Participants reserved by them or in them.
    pub used: i64,
    /// Participants in them.
    pub participants: i64,
}

/// The rooms of one pod.
#[derive(Default)]
pub(super) struct OnPod {
    pub(super) rooms: BTreeSet<RoomUid>,
    pub(super) load: PodLoad,
}

impl OnPod {
    pub(super) fn add(&mut self, uid: &RoomUid, entry: &Entry) {
        self.rooms.insert(uid.clone());
        self.load.rooms += 1;
        self.load.used += entry.weight();
        self.load.participants += i64::from(entry.load.participants);
    }

    pub(super) fn remove(&mut self, uid: &RoomUid, entry: &Entry) {
        self.rooms.remove(uid);
        self.load.rooms = self.load.rooms.saturating_sub(1);
        self.load.used -= entry.weight();
        self.load.participants -= i64::from(entry.load.participants);
    }
}
