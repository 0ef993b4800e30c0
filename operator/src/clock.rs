//! The one clock by which rooms are judged: what is decided gets its time as an argument, and this is where it comes from.
//! Tests move it forward.

use k8s_openapi::jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The clock. Clones go together.
#[derive(Clone, Default)]
pub struct Clock {
    /// How far it was moved, in milliseconds.
    ahead: Arc<AtomicU64>,
}

impl Clock {
    fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead.load(Ordering::Acquire))
    }

    /// For what lasts: never goes back.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant::now() + self.ahead()
    }

    /// For what is written down.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::now().checked_add(self.ahead()).unwrap_or(Timestamp::MAX)
    }

    /// Moves the clock, and its clones with it: for tests.
    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_clock_is_ahead_in_both_times() {
        let clock = Clock::default();
        let (instant, timestamp) = (clock.instant(), clock.timestamp());
        clock.clone().advance(Duration::from_secs(3600));
        assert!(clock.instant().duration_since(instant) >= Duration::from_secs(3600));
        assert!(clock.timestamp().duration_since(timestamp).as_secs() >= 3600);
    }
}
