//! How often one source address may ask. Bounded memory; time is an argument.

use plenum_signaling::limits::TokenBucket;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Most sources that are told apart; beyond it the newcomers share one bucket.
const MAX_SOURCES: usize = 65_536;
/// A burst is so many seconds' worth.
const BURST_SECONDS: u32 = 4;

/// One bucket per source.
pub struct Rates {
    per_second: u32,
    buckets: Mutex<HashMap<Option<IpAddr>, TokenBucket>>,
}

impl Rates {
    /// `per_second` in the long run, four times as many in a burst.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second, buckets: Mutex::default() }
    }

    /// Whether `source` may ask once more.
    pub fn take(&self, source: IpAddr, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Some(source_key(source));
        if buckets.len() >= MAX_SOURCES && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.len() >= MAX_SOURCES {
                key = None;
            }
        }
        let fresh = || TokenBucket::new(self.per_second.saturating_mul(BURST_SECONDS), f64::from(self.per_second), now);
        buckets.entry(key).or_insert_with(fresh).take(now)
    }
}

/// An IPv6 customer has a whole /64.
pub(crate) fn source_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_limited_apart() {
        let (rates, now) = (Rates::new(1), Instant::now());
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert!((0..4).all(|_| rates.take(one, now)));
        assert!(!rates.take(one, now));
        assert!(rates.take(other, now));
    }

    #[test]
    fn addresses_of_one_ipv6_customer_are_one_source() {
        let key = |text: &str| source_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    }
}
