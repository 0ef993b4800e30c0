//! Relayed sessions: what a change of the relays or of `relay_only` means for those that are open, and what the owner
//! is told of the path of each.

use super::Engine;
use crate::config::RoomKey;
use crate::event::{Event, Path};
use crate::relays::RelayTable;
use crate::session::Session;
use std::sync::Arc;

/// Events that may wait before changes of paths are told later: they come with the next beat.
const MAX_WAITING: usize = 4096;

impl Engine {
    /// The cluster's relays from now on. A session keeps the relay that it was nominated by, even when that one is gone
    /// from the list: in a `relay_only` room its checks are dropped then, and it ends when its consent expires.
    pub fn set_relays(&mut self, relays: Arc<RelayTable>) {
        for (_, session) in &mut self.sessions {
            if let Some(relay) = session.nominated.and_then(|remote| relays.find(remote)) {
                session.relay = Some(Arc::clone(relay));
            }
        }
        self.relays = relays;
    }

    /// Applies `relay_only` of a room to its open sessions. When it begins, what direct sources have proved is void, and
    /// sessions that depend on it are ended as soon as the owner lets timers run.
    pub(super) fn apply_relay_only(&mut self, room: RoomKey) {
        let Some(room) = self.rooms.get(&room) else { return };
        let relay_only = room.limits.relay_only;
        for slot in &room.sessions {
            let Some(session) = self.sessions.get_mut(*slot) else { continue };
            if std::mem::replace(&mut session.relay_only, relay_only) || !relay_only {
                continue;
            }
            let before = session.sources.len();
            let relayed = session.nominated.filter(|_| session.relay.is_some());
            session.sources.retain(|source| {
                let keep = Some(*source) == relayed || self.relays.find(*source).is_some();
                if !keep {
                    self.demux.forget_address(*source, *slot);
                }
                keep
            });
            if relayed.is_none() && session.sources.len() < before {
                session.evicted = true;
                self.timers.wake_by(*slot, self.epoch);
            }
        }
    }

    /// Tells the owner when the path of a connected session is another one than it was told.
    pub(super) fn tell_path(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot).filter(|session| session.connected) else { return };
        let path = path(session);
        if session.told == path || self.events.len() >= MAX_WAITING {
            return;
        }
        session.told = path;
        if let Some(path) = path {
            self.events.push_back(Event::PathChanged { session: session.key, path });
        }
    }
}

/// How a session runs now; `None` before a nomination.
pub(super) fn path(session: &Session) -> Option<Path> {
    session.nominated.map(|remote| Path { remote, relayed: session.relay.is_some() })
}
