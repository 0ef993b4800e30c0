//! Merges and throttles the keyframe requests of all subscribers into few to the publisher.

use std::time::{Duration, Instant};

/// Least time between two requests: an encoder that is asked more often only loses quality.
pub(crate) const INTERVAL: Duration = Duration::from_millis(300);

/// One publisher's gate.
#[derive(Debug, Default)]
pub(crate) struct KeyframeGate {
    wanted: bool,
    last: Option<Instant>,
}

impl KeyframeGate {
    /// Somebody needs a keyframe.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// When the next request may go out, if one is wanted.
    pub(crate) fn due_at(&self, now: Instant) -> Option<Instant> {
        self.wanted.then(|| self.last.map_or(now, |last| last + INTERVAL))
    }

    /// Whether to send a request now; it then counts as sent.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let due = self.due_at(now).is_some_and(|at| at <= now);
        if due {
            self.wanted = false;
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_goes_at_once_and_the_next_waits() {
        let start = plenum_testing::some_moment();
        let mut gate = KeyframeGate::default();
        assert!(!gate.take(start));
        gate.want();
        assert!(gate.take(start));
        for _ in 0..100 {
            gate.want();
            assert!(!gate.take(start + Duration::from_millis(299)));
        }
        assert_eq!(gate.due_at(start), Some(start + INTERVAL));
        assert!(gate.take(start + INTERVAL));
        assert!(!gate.take(start + 2 * INTERVAL));
    }
}
