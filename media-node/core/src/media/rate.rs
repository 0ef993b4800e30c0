//! Bit rate over the last full second.

use std::time::{Duration, Instant};

/// Counts bytes; a tick a second turns them into a rate.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    bytes: u64,
    since: Option<Instant>,
    kbps: u32,
}

impl Rate {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Call about once a second; earlier calls change nothing.
    pub(crate) fn tick(&mut self, now: Instant) {
        let Some(since) = self.since else {
            self.since = Some(now);
            self.bytes = 0;
            return;
        };
        let span = now.saturating_duration_since(since);
        if span < Duration::from_millis(900) {
            return;
        }
        let kbps = u128::from(self.bytes) * 8 / span.as_millis().max(1);
        self.kbps = u32::try_from(kbps).unwrap_or(u32::MAX);
        self.bytes = 0;
        self.since = Some(now);
    }

    pub(crate) fn kbps(&self) -> u32 {
        self.kbps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let start = plenum_testing::some_moment();
        let mut rate = Rate::default();
        rate.tick(start);
        rate.add(125_000);
        rate.tick(start + Duration::from_millis(100));
        assert_eq!(rate.kbps(), 0);
        rate.tick(start + Duration::from_secs(1));
        assert_eq!(rate.kbps(), 1_000);
        rate.tick(start + Duration::from_secs(2));
        assert_eq!(rate.kbps(), 0);
    }
}
