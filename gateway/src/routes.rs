//! Where rooms are, from a watch of Rooms: the binding that each has now, and whoever waits for it to change.

mod route;

pub use route::{Place, RelayRules, Route, Standing};

use plenum_protocol::ids::{RoomName, RoomUid};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// The table. Clones share it.
#[derive(Clone, Default)]
pub struct Routes {
    inner: Arc<Inner>,
}

/// Each room with those who follow it.
#[derive(Default)]
struct Rooms {
    by_name: HashMap<RoomName, watch::Sender<Arc<Route>>>,
    names: HashMap<RoomUid, RoomName>,
}

struct Inner {
    rooms: RwLock<Rooms>,
    /// Grows with every change of any room.
    version: watch::Sender<u64>,
}

impl Default for Inner {
    fn default() -> Self {
        Self { rooms: RwLock::default(), version: watch::Sender::new(0) }
    }
}

impl Routes {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The room now.
    #[must_use]
    pub fn get(&self, room: &RoomName) -> Option<Arc<Route>> {
        self.read().by_name.get(room).map(|sender| Arc::clone(&sender.borrow()))
    }

    /// The room now and as it changes; the channel closes when the room goes.
    #[must_use]
    pub fn follow(&self, room: &RoomName) -> Option<watch::Receiver<Arc<Route>>> {
        self.read().by_name.get(room).map(watch::Sender::subscribe)
    }

    /// The same by the room's uid.
    #[must_use]
    pub fn follow_uid(&self, room: &RoomUid) -> Option<watch::Receiver<Arc<Route>>> {
        let rooms = self.read();
        rooms.by_name.get(rooms.names.get(room)?).map(watch::Sender::subscribe)
    }

    /// Waits until `pick` finds what it wants in the room, at most until `deadline`.
    pub async fn wait<T>(
        &self,
        room: &RoomName,
        deadline: Instant,
        mut pick: impl FnMut(Option<&Route>) -> Option<T>,
    ) -> Option<T> {
        let mut version = self.inner.version.subscribe();
        loop {
            version.borrow_and_update();
            if let Some(found) = pick(self.get(room).as_deref()) {
                return Some(found);
            }
            // The sender lives in `self`, so only the deadline ends the wait.
            timeout_at(deadline, version.changed()).await.ok()?.ok()?;
        }
    }

    /// Waits until any room changes, at most for `pause`. Changes after the call only.
    pub async fn pause(&self, pause: Duration) {
        let mut version = self.inner.version.subscribe();
        version.borrow_and_update();
        if timeout_at(Instant::now() + pause, version.changed()).await.is_err() {
            tracing::trace!("no room changed in time");
        }
    }

    /// A room is there or has changed.
    pub fn apply(&self, route: Route) {
        self.write().insert(route);
        self.changed();
    }

    /// A room is gone, unless it is there again under another uid.
    pub fn remove(&self, route: &Route) {
        self.write().remove(&route.name, &route.uid);
        self.changed();
    }

    /// These are all rooms that there are.
    pub fn replace(&self, routes: Vec<Route>) {
        let mut rooms = self.write();
        let known: HashSet<&RoomUid> = routes.iter().map(|route| &route.uid).collect();
        let gone = rooms.names.iter().filter(|(uid, _)| !known.contains(uid));
        let gone: Vec<(RoomUid, RoomName)> = gone.map(|(uid, name)| (uid.clone(), name.clone())).collect();
        for (uid, name) in gone {
            rooms.remove(&name, &uid);
        }
        drop(known);
        for route in routes {
            rooms.insert(route);
        }
        drop(rooms);
        self.changed();
    }

    /// How many rooms there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().by_name.len()
    }

    /// Whether there is no room.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().by_name.is_empty()
    }

    fn changed(&self) {
        self.inner.version.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Rooms> {
        self.inner.rooms.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Rooms> {
        self.inner.rooms.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    /// Followers of an old room under the same name see the channel close; followers of this one see the change.
    fn insert(&mut self, route: Route) {
        let known = self.by_name.get(&route.name).filter(|sender| sender.borrow().uid == route.uid);
        if let Some(sender) = known {
            sender.send_if_modified(|old| {
                let differs = **old != route;
                if differs {
                    *old = Arc::new(route);
                }
                differs
            });
            return;
        }
        let (name, uid) = (route.name.clone(), route.uid.clone());
        if let Some(old) = self.by_name.insert(name.clone(), watch::Sender::new(Arc::new(route))) {
            self.names.remove(&old.borrow().uid);
        }
        self.names.insert(uid, name);
    }

    /// Unless it is there again under another uid.
    fn remove(&mut self, name: &RoomName, uid: &RoomUid) {
        if self.by_name.get(name).is_some_and(|known| known.borrow().uid == *uid) {
            self.by_name.remove(name);
            self.names.remove(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::ids::Epoch;

    fn route(name: &str, uid: &str, epoch: i64) -> Route {
        Route {
            name: RoomName { namespace: "a".into(), name: name.into() },
            uid: uid.parse().unwrap(),
            epoch: Epoch(epoch),
            standing: Standing::Closed("the room is closed".into()),
            relays: RelayRules::default(),
            upgrades: false,
            max_kbps: 2_500,
        }
    }

    #[test]
    fn a_room_recreated_under_its_name_closes_the_old_channel() {
        let routes = Routes::new();
        routes.apply(route("x", "u1", 1));
        let follower = routes.follow(&route("x", "u1", 1).name).unwrap();
        routes.apply(route("x", "u2", 1));
        assert!(follower.has_changed().is_err());
        routes.remove(&route("x", "u1", 1));
        assert_eq!(routes.get(&route("x", "u2", 1).name).unwrap().uid.as_str(), "u2");
        assert!(routes.follow_uid(&"u1".parse().unwrap()).is_none());
        assert!(routes.follow_uid(&"u2".parse().unwrap()).is_some());
    }

    #[test]
    fn a_relist_drops_rooms_that_are_gone_and_keeps_followers_of_the_rest() {
        let routes = Routes::new();
        routes.apply(route("x", "u1", 1));
        routes.apply(route("y", "u2", 1));
        let mut kept = routes.follow(&route("x", "u1", 1).name).unwrap();
        routes.replace(vec![route("x", "u1", 2)]);
        assert!(kept.has_changed().unwrap());
        assert_eq!((kept.borrow_and_update().epoch, routes.len()), (Epoch(2), 1));
        assert!(routes.follow_uid(&"u2".parse().unwrap()).is_none());
        routes.replace(vec![route("x", "u3", 1)]);
        assert!(kept.has_changed().is_err());
        assert_eq!(routes.read().names.len(), 1);
    }

    #[tokio::test]
    async fn a_waiter_sees_a_room_that_comes() {
        let routes = Routes::new();
        let name = route("x", "u1", 1).name;
        let (waiting, deadline) = (routes.clone(), Instant::now() + Duration::from_secs(20));
        let waiter =
            tokio::spawn(async move { waiting.wait(&name, deadline, |room| room.map(|room| room.epoch)).await });
        routes.apply(route("x", "u1", 7));
        assert_eq!(waiter.await.unwrap(), Some(Epoch(7)));
    }

    #[tokio::test]
    async fn a_waiter_gives_up_at_its_deadline() {
        let name = route("x", "u1", 1).name;
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(Routes::new().wait(&name, deadline, |room| room.map(|room| room.epoch)).await, None);
    }
}
