//! Bounds what strangers can make a server send to whom they please: per source prefix, and in all.
//!
//! A table of fixed size: a prefix counts in one place of each of two rows, and is over its bound only when both
//! places are, so a noisy prefix rarely harms another. Nothing is kept per source.

use crate::seeded::Seeded;
use plenum_sansio::TokenBucket;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const PLACES: usize = 4_096;
/// An idle prefix may answer so many seconds' worth at once.
const BURST_SECONDS: u32 = 1;

/// Answers given lately, in thousandths, and when they were last counted down.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    used_milli: u32,
    counted_ms: u32,
}

pub(crate) struct AnswerLimit {
    rows: [Vec<Place>; 2],
    hashers: [Seeded; 2],
    epoch: Instant,
    per_prefix: u32,
    total: TokenBucket,
}

impl AnswerLimit {
    pub(crate) fn new(per_prefix: u32, total: u32, hashers: [Seeded; 2], now: Instant) -> Self {
        Self {
            rows: [vec![Place::default(); PLACES], vec![Place::default(); PLACES]],
            hashers,
            epoch: now,
            per_prefix: per_prefix.min(1_000_000),
            total: TokenBucket::new(u64::from(total), Duration::from_secs(1), now),
        }
    }

    /// Whether one more answer may go to `client`; counts it then.
    pub(crate) fn allows(&mut self, client: IpAddr, now: Instant) -> bool {
        let prefix = prefix(client);
        let elapsed = now.saturating_duration_since(self.epoch).as_millis();
        let now_ms = (elapsed & u128::from(u32::MAX)) as u32;
        let bound = self.per_prefix * 1_000 * BURST_SECONDS;
        let mut free = false;
        for (row, hasher) in self.rows.iter_mut().zip(self.hashers) {
            if let Some(place) = place(row, hasher, prefix) {
                let milli = now_ms.wrapping_sub(place.counted_ms).saturating_mul(self.per_prefix);
                place.used_milli = place.used_milli.saturating_sub(milli);
                place.counted_ms = now_ms;
                free |= place.used_milli.saturating_add(1_000) <= bound;
            }
        }
        if !free || !self.total.take(1, now) {
            return false;
        }
        for (row, hasher) in self.rows.iter_mut().zip(self.hashers) {
            if let Some(place) = place(row, hasher, prefix) {
                place.used_milli = place.used_milli.saturating_add(1_000).min(bound);
            }
        }
        true
    }
}

fn place(row: &mut [Place], hasher: Seeded, prefix: u128) -> Option<&mut Place> {
    let at = usize::try_from(hasher.hash_one(prefix) % (PLACES as u64)).ok()?;
    row.get_mut(at)
}

/// IPv4: a /24; IPv6: a /48.
fn prefix(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u128::from(ip.to_bits() >> 8),
        IpAddr::V6(ip) => ip.to_bits() >> 80 << 80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn limit(per_prefix: u32, total: u32) -> (AnswerLimit, Instant) {
        let start = plenum_testing::some_moment();
        (AnswerLimit::new(per_prefix, total, [Seeded(1, 2), Seeded(3, 4)], start), start)
    }

    fn v4(bits: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    }

    #[test]
    fn a_prefix_gets_its_rate_and_no_more() {
        let (mut limit, start) = limit(100, 1_000_000);
        let mut passed = 0;
        for step in 0..10_000u32 {
            let now = start + Duration::from_millis(u64::from(step));
            // Every address of one /24.
            passed += u32::from(limit.allows(v4(0x0102_0300 | step & 0xff), now));
        }
        assert!((1_050..=1_110).contains(&passed), "{passed}");
        assert!(limit.allows(v4(0x0102_0400), start + Duration::from_secs(10)), "the neighbour is free");
    }

    #[test]
    fn a_noisy_prefix_harms_few_others() {
        let (mut limit, start) = limit(10, 1_000_000);
        for noisy in 0..50 {
            for _ in 0..100 {
                limit.allows(v4(noisy << 8), start);
            }
        }
        let harmed = (1_000..3_000).filter(|quiet| !limit.allows(v4(quiet << 8), start)).count();
        assert!(harmed < 20, "{harmed} of 2000");
    }

    #[test]
    fn all_prefixes_together_are_bounded() {
        let (mut limit, start) = limit(100, 1_000);
        let mut passed = 0;
        for step in 0..100_000u64 {
            let now = start + Duration::from_micros(step * 10);
            let spoofed = IpAddr::V6(Ipv6Addr::from_bits(u128::from(step) << 80));
            passed += u32::from(limit.allows(spoofed, now));
        }
        assert!((1_900..=2_001).contains(&passed), "{passed} in a second, with a burst of one");
    }
}
