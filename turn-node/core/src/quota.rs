//! How many allocations users and client addresses hold. Grows with allocations only.
//!
//! Each worker counts its own: a client's sockets spread over workers, and nothing is shared between those.

use crate::seeded::Seeded;
use plenum_protocol::relay::RelayQuotas;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Counts; an entry goes with its last allocation.
pub(crate) struct Quotas {
    users: HashMap<Box<str>, u32, Seeded>,
    sources: HashMap<IpAddr, u32, Seeded>,
}

impl Quotas {
    pub(crate) fn new(hasher: Seeded) -> Self {
        Self { users: HashMap::with_hasher(hasher), sources: HashMap::with_hasher(hasher) }
    }

    /// Whether one more is within the bounds.
    pub(crate) fn has_room(&self, bounds: &RelayQuotas, user: &str, client: IpAddr) -> bool {
        let users = self.users.get(user).copied().unwrap_or_default();
        let sources = self.sources.get(&source(client)).copied().unwrap_or_default();
        users < bounds.allocations_per_user && sources < bounds.allocations_per_address
    }

    pub(crate) fn add(&mut self, user: &str, client: IpAddr) {
        *self.users.entry(user.into()).or_default() += 1;
        *self.sources.entry(source(client)).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, user: &str, client: IpAddr) {
        if let Some(count) = self.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(user);
            }
        }
        let source = source(client);
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// Entries of both maps.
    pub(crate) fn len(&self) -> usize {
        self.users.len() + self.sources.len()
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

    const BOUNDS: RelayQuotas =
        RelayQuotas { allocations: 100, allocations_per_user: 2, allocations_per_address: 3, kbps_per_allocation: 0 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn users_and_addresses_are_bounded_each() {
        let mut quotas = Quotas::new(Seeded(1, 2));
        for client in ["192.0.2.1", "192.0.2.2"] {
            assert!(quotas.has_room(&BOUNDS, "a", ip(client)));
            quotas.add("a", ip(client));
        }
        assert!(!quotas.has_room(&BOUNDS, "a", ip("192.0.2.3")), "the user has enough");
        for user in ["b", "c"] {
            quotas.add(user, ip("192.0.2.1"));
        }
        assert!(!quotas.has_room(&BOUNDS, "d", ip("192.0.2.1")), "the address has enough");
        assert!(!quotas.has_room(&BOUNDS, "d", ip("::ffff:192.0.2.1")), "in disguise too");
        quotas.remove("b", ip("192.0.2.1"));
        assert!(quotas.has_room(&BOUNDS, "d", ip("192.0.2.1")));
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let mut quotas = Quotas::new(Seeded(1, 2));
        for (user, client) in [("a", "2001:db8::1"), ("b", "2001:db8::2"), ("c", "2001:db8:0:0:ffff::3")] {
            quotas.add(user, ip(client));
        }
        assert!(!quotas.has_room(&BOUNDS, "d", ip("2001:db8::4")));
        assert!(quotas.has_room(&BOUNDS, "d", ip("2001:db8:0:1::4")));
    }

    #[test]
    fn nothing_stays_of_what_ended() {
        let mut quotas = Quotas::new(Seeded(1, 2));
        quotas.add("a", ip("192.0.2.1"));
        quotas.add("a", ip("2001:db8::1"));
        quotas.remove("a", ip("192.0.2.1"));
        quotas.remove("a", ip("2001:db8::1"));
        quotas.remove("a", ip("2001:db8::1"));
        assert_eq!(quotas.len(), 0);
    }
}
