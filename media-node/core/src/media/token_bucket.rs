//! Enforces a bit rate with room for bursts.

use std::time::Instant;

/// A bucket of bits.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    kbps: u64,
    capacity: u64,
    level: u64,
    refilled: Instant,
}

impl TokenBucket {
    /// A full bucket that holds `burst_millis` worth of `kbps`.
    pub(crate) fn new(kbps: u64, burst_millis: u64, now: Instant) -> Self {
        let capacity = kbps * burst_millis;
        Self { kbps, capacity, level: capacity, refilled: now }
    }

    /// Bound for a publisher that may send `max_kbps`: a quarter and 100 kbit/s of slack, bursts of two seconds
    /// (a keyframe is many times an average frame). `None` for 0: unbounded.
    pub(crate) fn for_publisher(max_kbps: u32, now: Instant) -> Option<Self> {
        (max_kbps > 0).then(|| Self::new(u64::from(max_kbps) * 5 / 4 + 100, 2_000, now))
    }

    /// Takes a packet of `bytes`, if there is room for it.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let micros = now.saturating_duration_since(self.refilled).as_micros();
        let refill = u64::try_from(micros).unwrap_or(u64::MAX).saturating_mul(self.kbps) / 1_000;
        if refill > 0 {
            self.level = self.level.saturating_add(refill).min(self.capacity);
            self.refilled = now;
        }
        match self.level.checked_sub(bytes as u64 * 8) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_passes_in_the_long_run_is_the_rate() {
        let start = crate::testing::start();
        let mut bucket = TokenBucket::new(1_000, 1_000, start);
        let mut passed = 0u64;
        for step in 0..10_000u64 {
            let now = start + Duration::from_millis(step);
            passed += if bucket.take(250, now) { 250 } else { 0 };
        }
        let kbits = passed * 8 / 1_000;
        assert!((10_500..=11_500).contains(&kbits), "{kbits}");
    }

    #[test]
    fn zero_means_unbounded() {
        assert!(TokenBucket::for_publisher(0, crate::testing::start()).is_none());
    }
}
