//! The allocations of a pod, by user and by client address: what quotas are held against. Grows with allocations only.
//!
//! A client's sockets spread over the servers of a pod, so these share one ledger. Its lock is taken when an allocation
//! begins and when it ends, never for a packet, and nothing is done under it but counting.

use crate::seeded::Seeded;
use plenum_protocol::relay::RelayQuotas;
use plenum_sansio::Random;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The book. Users and addresses are in it as long as they have an allocation.
pub struct Ledger(Mutex<Counts>);

struct Counts {
    allocations: u32,
    users: HashMap<Arc<str>, u32, Seeded>,
    sources: HashMap<IpAddr, u32, Seeded>,
}

impl Ledger {
    /// An empty one. What the network chooses is hashed with `seed`.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let mut seeded = || Seeded(random.u64(), random.u64());
        let users = HashMap::with_hasher(seeded());
        Self(Mutex::new(Counts { allocations: 0, users, sources: HashMap::with_hasher(seeded()) }))
    }

    /// A place for one more allocation, if it is within all of `bounds`.
    pub(crate) fn enter(self: &Arc<Self>, bounds: &RelayQuotas, user: &str, client: IpAddr) -> Option<Place> {
        let source = source(client);
        let mut counts = self.counts();
        let (user, by_user) = match counts.users.get_key_value(user) {
            Some((user, count)) => (Arc::clone(user), *count),
            None => (Arc::from(user), 0),
        };
        let by_source = counts.sources.get(&source).copied().unwrap_or_default();
        let has_room = counts.allocations < bounds.allocations
            && by_user < bounds.allocations_per_user
            && by_source < bounds.allocations_per_address;
        if !has_room {
            return None;
        }
        counts.allocations += 1;
        counts.users.insert(Arc::clone(&user), by_user + 1);
        counts.sources.insert(source, by_source + 1);
        Some(Place { ledger: Arc::clone(self), user, source })
    }

    /// Users and addresses that are in the book: each at most once per allocation.
    #[must_use]
    pub fn entries(&self) -> usize {
        let counts = self.counts();
        counts.users.len() + counts.sources.len()
    }

    /// There is no allocation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts().allocations == 0
    }

    /// A panic elsewhere leaves the counts whole: nothing under the lock can fail halfway.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one allocation: given back when it is dropped, also by a server that is dropped with all it has.
pub(crate) struct Place {
    ledger: Arc<Ledger>,
    user: Arc<str>,
    source: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.ledger.counts();
        counts.allocations -= 1;
        count_down(&mut counts.users, &self.user);
        count_down(&mut counts.sources, &self.source);
    }
}

/// An entry goes with its last allocation.
fn count_down<K: Eq + Hash>(counts: &mut HashMap<K, u32, Seeded>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// An IPv6 client owns a /64.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const BOUNDS: RelayQuotas =
        RelayQuotas { allocations: 6, allocations_per_user: 2, allocations_per_address: 3, kbps_per_allocation: 0 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ledger() -> Arc<Ledger> {
        Arc::new(Ledger::new(&[1; 32]))
    }

    #[test]
    fn users_addresses_and_the_whole_are_bounded_each() {
        let ledger = ledger();
        let enter = |user: &str, client: &str| ledger.enter(&BOUNDS, user, ip(client));
        let mut places = vec![enter("a", "192.0.2.1"), enter("a", "192.0.2.2")];
        assert!(enter("a", "192.0.2.3").is_none(), "the user has enough");
        places.extend([enter("b", "192.0.2.1"), enter("c", "192.0.2.1")]);
        assert!(enter("d", "192.0.2.1").is_none(), "the address has enough");
        assert!(enter("d", "::ffff:192.0.2.1").is_none(), "in disguise too");
        places.remove(2);
        places.extend([enter("d", "192.0.2.1"), enter("e", "192.0.2.4"), enter("f", "192.0.2.5")]);
        assert!(places.iter().all(Option::is_some));
        assert!(enter("g", "192.0.2.6").is_none(), "the pod has enough");
        drop(places);
        assert!(ledger.is_empty() && ledger.entries() == 0);
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let ledger = ledger();
        let enter = |user: &str, client: &str| ledger.enter(&BOUNDS, user, ip(client));
        let places = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"].map(|client| enter(client, client));
        assert!(places.iter().all(Option::is_some) && ledger.entries() == 4);
        assert!(enter("d", "2001:db8::4").is_none());
        assert!(enter("d", "2001:db8:0:1::4").is_some());
    }

    #[test]
    fn threads_that_enter_at_once_are_bounded_together() {
        let (ledger, inside) = (ledger(), AtomicU32::new(0));
        let crowd = || {
            for _ in 0..5_000 {
                let Some(place) = ledger.enter(&BOUNDS, "a", ip("192.0.2.1")) else { continue };
                assert!(inside.fetch_add(1, Ordering::SeqCst) < BOUNDS.allocations_per_user);
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(place);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(crowd))));
        assert!(ledger.is_empty());
    }
}
