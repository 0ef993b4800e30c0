//! Bounds of the front doors, and the token bucket that limits rates. Time is an argument.

use std::time::{Duration, Instant};

/// Largest body of `POST /v1/tokens`, in bytes.
pub const MAX_TOKEN_BODY: usize = 8 << 10;
/// Largest body of `POST /v1/ice-servers`, in bytes.
pub const MAX_ICE_BODY: usize = 8 << 10;
/// Longest name of a region in it, in bytes: a label's value.
pub const MAX_REGION: usize = 63;
/// Longest name of a pod in it, in bytes.
pub const MAX_POD_NAME: usize = 253;
/// How long a request body may take to arrive.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// How long after the upgrade `join` must come.
pub const JOIN_DEADLINE: Duration = Duration::from_secs(5);
/// How often the server pings a room socket.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A room socket from which nothing came for so long is dead.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// How long one message may take to be written to a client.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// A `view` that comes sooner after the last is dropped.
pub const VIEW_INTERVAL: Duration = Duration::from_millis(900);
/// Client messages (pings included) in a burst.
pub const MESSAGE_BURST: u32 = 30;
/// Client messages a second in the long run.
pub const MESSAGES_PER_SECOND: u32 = 5;
/// Messages between room and client that wait in each direction.
pub const QUEUE_LEN: usize = 64;

/// Allows `burst` events at once and `per_second` in the long run.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    tokens: f64,
    burst: f64,
    per_second: f64,
    last: Instant,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(burst: u32, per_second: f64, now: Instant) -> Self {
        Self { tokens: f64::from(burst), burst: f64::from(burst), per_second, last: now }
    }

    /// Takes one token; `false` when there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Nothing was taken for so long that a new bucket would be the same.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= self.burst
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.last).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(2, 10.0, start);
        assert!(bucket.take(start) && bucket.take(start));
        assert!(!bucket.take(start));
        let later = start + Duration::from_millis(110);
        assert!(bucket.take(later));
        assert!(!bucket.take(later));
        assert!(bucket.is_full(later + Duration::from_secs(1)));
    }
}
