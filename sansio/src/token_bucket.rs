//! Enforces a rate with room for bursts.

use std::time::{Duration, Instant};

/// A bucket of tokens. A rate of 0 bounds nothing.
#[derive(Debug)]
pub struct TokenBucket {
    per_second: u64,
    /// Time that fills it, microseconds.
    burst_micros: u64,
    capacity: u64,
    level: u64,
    refilled: Instant,
}

impl TokenBucket {
    /// A full bucket that holds what `burst` brings.
    #[must_use]
    pub fn new(per_second: u64, burst: Duration, now: Instant) -> Self {
        let mut bucket = Self { per_second, burst_micros: 0, capacity: 0, level: u64::MAX, refilled: now };
        bucket.set_rate(per_second, burst);
        bucket
    }

    /// Another rate from now on. What is in the bucket stays as far as it has room.
    pub fn set_rate(&mut self, per_second: u64, burst: Duration) {
        self.per_second = per_second;
        self.burst_micros = micros(burst);
        self.capacity = per_second.saturating_mul(self.burst_micros) / 1_000_000;
        self.level = self.level.min(self.capacity);
    }

    /// Takes so many tokens, if they are there.
    pub fn take(&mut self, tokens: u64, now: Instant) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let elapsed = micros(now.saturating_duration_since(self.refilled)).min(self.burst_micros);
        let refill = elapsed.saturating_mul(self.per_second) / 1_000_000;
        if refill > 0 {
            self.level = self.level.saturating_add(refill).min(self.capacity);
            self.refilled = now;
        }
        match self.level.checked_sub(tokens) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }
}

/// In 64 bits: this runs for every packet.
fn micros(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(span.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_in_the_long_run_is_the_rate() {
        let start = plenum_testing::some_moment();
        let mut bucket = TokenBucket::new(1_000_000, Duration::from_secs(1), start);
        let mut passed = 0u64;
        for step in 0..10_000u64 {
            let now = start + Duration::from_millis(step);
            passed += if bucket.take(250 * 8, now) { 250 } else { 0 };
        }
        let kbits = passed * 8 / 1_000;
        assert!((10_500..=11_500).contains(&kbits), "{kbits}");
    }

    #[test]
    fn a_rate_of_zero_bounds_nothing_and_a_new_rate_holds_at_once() {
        let start = plenum_testing::some_moment();
        let mut bucket = TokenBucket::new(0, Duration::from_secs(1), start);
        assert!(bucket.take(u64::MAX, start));
        bucket.set_rate(10, Duration::from_secs(1));
        assert!(!bucket.take(11, start + Duration::from_secs(60)));
        assert!(bucket.take(10, start + Duration::from_secs(60)));
        assert!(!bucket.take(1, start + Duration::from_secs(60)));
    }
}
