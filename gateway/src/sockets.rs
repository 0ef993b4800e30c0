//! How many room sockets there may be, and are: in all, of a source, of a room.

use crate::rates::source_key;
use plenum_protocol::ids::RoomName;
use plenum_protocol::problem::Code;
use plenum_signaling::Refusal;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Bounds and counts. Clones share them.
#[derive(Clone)]
pub struct SocketPermits(Arc<Inner>);

struct Inner {
    most: usize,
    most_of_source: usize,
    most_of_room: usize,
    counts: Mutex<Counts>,
    total: watch::Sender<usize>,
}

#[derive(Default)]
struct Counts {
    sources: HashMap<IpAddr, usize>,
    rooms: HashMap<RoomName, usize>,
}

/// Counts one socket for as long as it is kept.
pub(crate) struct SocketPermit {
    permits: SocketPermits,
    room: RoomName,
    source: Option<IpAddr>,
}

impl SocketPermits {
    /// Bounds: in all, of one source, of one room.
    #[must_use]
    pub fn new(most: usize, most_of_source: usize, most_of_room: usize) -> Self {
        let (counts, total) = (Mutex::default(), watch::Sender::new(0));
        Self(Arc::new(Inner { most, most_of_source, most_of_room, counts, total }))
    }

    pub(crate) fn take(&self, room: &RoomName, source: Option<IpAddr>) -> Result<SocketPermit, Refusal> {
        let source = source.map(source_key);
        let inner = &self.0;
        let mut counts = inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if *inner.total.borrow() >= inner.most {
            return Err(Refusal::new(Code::Full, "this gateway has as many room sockets as it takes"));
        }
        if counts.rooms.get(room).is_some_and(|count| *count >= inner.most_of_room) {
            return Err(Refusal::new(Code::Full, "the room has as many room sockets on this gateway as it takes"));
        }
        if source.and_then(|source| counts.sources.get(&source)).is_some_and(|count| *count >= inner.most_of_source) {
            return Err(Refusal::new(Code::RateLimited, "too many room sockets from this address"));
        }
        *counts.rooms.entry(room.clone()).or_default() += 1;
        if let Some(source) = source {
            *counts.sources.entry(source).or_default() += 1;
        }
        inner.total.send_modify(|total| *total += 1);
        Ok(SocketPermit { permits: self.clone(), room: room.clone(), source })
    }

    /// Returns once there is no socket.
    pub(crate) async fn drained(&self) {
        let mut total = self.0.total.subscribe();
        if total.wait_for(|total| *total == 0).await.is_err() {
            tracing::debug!("the socket count went away");
        }
    }
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        let inner = &self.permits.0;
        let mut counts = inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
        decrement(&mut counts.rooms, &self.room);
        if let Some(source) = &self.source {
            decrement(&mut counts.sources, source);
        }
        inner.total.send_modify(|total| *total = total.saturating_sub(1));
    }
}

fn decrement<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bounds_hold_and_places_come_back() {
        let permits = SocketPermits::new(3, 2, 2);
        let room = |name: &str| RoomName { namespace: "a".into(), name: name.into() };
        let (one, other) = (Some("192.0.2.1".parse().unwrap()), Some("192.0.2.2".parse().unwrap()));
        let first = permits.take(&room("x"), one).unwrap();
        let second = permits.take(&room("y"), one).unwrap();
        assert_eq!(permits.take(&room("z"), one).err().unwrap().code(), Code::RateLimited);
        let third = permits.take(&room("x"), other).unwrap();
        assert_eq!(permits.take(&room("z"), None).err().unwrap().code(), Code::Full);
        drop(second);
        assert_eq!(permits.take(&room("x"), other).err().unwrap().code(), Code::Full);
        drop((first, third));
        permits.drained().await;
        let counts = permits.0.counts.lock().unwrap();
        assert!(counts.rooms.is_empty() && counts.sources.is_empty());
    }
}
