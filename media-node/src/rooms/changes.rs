//! Which rooms changed since a version: what the leader's poll gets instead of everything.

use plenum_protocol::ids::{Epoch, RoomUid};
use std::collections::{HashMap, VecDeque};

/// Ended rooms that are remembered: more than a node can hold, so that a poll that was missed loses nothing.
const REMEMBERED: usize = 20_000;

/// Counts changes, and remembers what ended when.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    version: u64,
    /// Version at which the oldest ended rooms were forgotten: older readers need everything.
    forgotten: u64,
    order: VecDeque<(u64, RoomUid)>,
    ended: HashMap<RoomUid, Ended>,
}

#[derive(Debug, Clone, Copy)]
struct Ended {
    version: u64,
    epoch: Epoch,
}

impl Changes {
    /// The last version.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Something changed: its version.
    pub(crate) fn bump(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// The grant of a room under `epoch` ended.
    pub(crate) fn end(&mut self, uid: RoomUid, epoch: Epoch) {
        let version = self.bump();
        self.order.push_back((version, uid.clone()));
        self.ended.insert(uid, Ended { version, epoch });
        while self.order.len() > REMEMBERED {
            let Some((version, uid)) = self.order.pop_front() else { return };
            self.forgotten = version;
            if self.ended.get(&uid).is_some_and(|ended| ended.version == version) {
                self.ended.remove(&uid);
            }
        }
    }

    /// The epoch of a room's last ended grant: it and older ones never come back.
    pub(crate) fn ended_epoch(&self, uid: &RoomUid) -> Option<Epoch> {
        self.ended.get(uid).map(|ended| ended.epoch)
    }

    /// A reader of `version` (one that this node gave out) can be told by difference.
    pub(crate) fn covers(&self, version: u64) -> bool {
        version <= self.version && version >= self.forgotten
    }

    /// Rooms that ended after `version`.
    pub(crate) fn ended_since(&self, version: u64) -> impl Iterator<Item = &RoomUid> {
        self.ended.iter().filter(move |(_, ended)| ended.version > version).map(|(uid, _)| uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: usize) -> RoomUid {
        format!("uid-{n}").parse().unwrap()
    }

    #[test]
    fn a_reader_hears_only_of_what_ended_after_its_version() {
        let mut changes = Changes::default();
        changes.end(uid(1), Epoch(1));
        let seen = changes.version();
        changes.end(uid(2), Epoch(7));
        assert_eq!(changes.ended_since(seen).collect::<Vec<_>>(), [&uid(2)]);
        assert_eq!(changes.ended_epoch(&uid(2)), Some(Epoch(7)));
        assert!(!changes.covers(99), "a version that was never given out");
    }

    #[test]
    fn a_reader_from_before_the_memory_needs_everything() {
        let mut changes = Changes::default();
        for n in 0..=REMEMBERED {
            changes.end(uid(n), Epoch(1));
        }
        assert!(!changes.covers(0));
        assert!(changes.covers(1));
        assert_eq!(changes.ended_since(1).count(), REMEMBERED);
        assert_eq!(changes.ended_epoch(&uid(0)), None);
    }
}
