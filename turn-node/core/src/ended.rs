//! Allocations that their clients gave back a moment ago: a Refresh that is sent again gets the answer of the first.
//!
//! Bounded, oldest out first; only an authenticated request leaves an entry.

use crate::client::ClientId;
use crate::credentials::LongTermKey;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const CAPACITY: usize = 256;
/// How long a client sends a request again (RFC 8489, section 6.2.1).
const REMEMBERED: Duration = Duration::from_secs(40);

struct Entry {
    client: ClientId,
    transaction: [u8; 12],
    key: LongTermKey,
    until: Instant,
}

#[derive(Default)]
pub(crate) struct Ended {
    entries: VecDeque<Entry>,
}

impl Ended {
    pub(crate) fn add(&mut self, client: ClientId, transaction: [u8; 12], key: LongTermKey, now: Instant) {
        self.forget(now);
        if self.entries.len() >= CAPACITY {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { client, transaction, key, until: now + REMEMBERED });
    }

    /// The key that the answer to this request was made with.
    pub(crate) fn key(&self, client: ClientId, transaction: [u8; 12], now: Instant) -> Option<LongTermKey> {
        let same = |entry: &&Entry| entry.client == client && entry.transaction == transaction && entry.until > now;
        self.entries.iter().find(same).map(|entry| entry.key)
    }

    /// Drops what is too old to be asked for.
    pub(crate) fn forget(&mut self, now: Instant) {
        while self.entries.pop_front_if(|entry| entry.until <= now).is_some() {}
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::turn::RelayTransport;

    fn client(stream: u32) -> ClientId {
        ClientId { transport: RelayTransport::Udp, remote: ([192, 0, 2, 1], 1).into(), stream }
    }

    #[test]
    fn an_end_is_remembered_for_a_while() {
        let start = plenum_testing::some_moment();
        let mut ended = Ended::default();
        ended.add(client(1), [1; 12], [9; 16], start);
        assert_eq!(ended.key(client(1), [1; 12], start), Some([9; 16]));
        assert_eq!(ended.key(client(1), [2; 12], start), None);
        assert_eq!(ended.key(client(2), [1; 12], start), None);
        assert_eq!(ended.key(client(1), [1; 12], start + REMEMBERED), None);
        ended.forget(start + REMEMBERED);
        assert_eq!(ended.len(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let start = plenum_testing::some_moment();
        let mut ended = Ended::default();
        for stream in 0..1_000 {
            ended.add(client(stream), [1; 12], [9; 16], start);
        }
        assert_eq!(ended.len(), CAPACITY);
        assert!(ended.key(client(999), [1; 12], start).is_some());
    }
}
