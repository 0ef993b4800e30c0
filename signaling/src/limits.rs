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
/// Signals (offers, answers, candidates) in a burst: a negotiation comes at once.
pub const SIGNAL_BURST: u32 = 128;
/// Signals a second in the long run.
pub const SIGNALS_PER_SECOND: u32 = 20;
/// Bytes of signals in a burst.
pub const SIGNAL_BURST_BYTES: u32 = 256 << 10;
/// Bytes of signals a second in the long run.
pub const SIGNAL_BYTES_PER_SECOND: u32 = 32 << 10;
/// Messages between room and client that wait in each direction: more than a client may say in a burst.
pub const QUEUE_LEN: usize = 256;

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
        self.take_many(1, now)
    }

    /// Takes `count` tokens; `false`, and takes none, when there are fewer.
    pub fn take_many(&mut self, count: u32, now: Instant) -> bool {
        self.refill(now);
        let count = f64::from(count);
        if self.tokens < count {
            return false;
        }
        self.tokens -= count;
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

/// What one client may say: signals by number and bytes, everything else by number.
#[derive(Debug, Clone)]
pub struct Allowance {
    messages: TokenBucket,
    signals: TokenBucket,
    bytes: TokenBucket,
}

impl Allowance {
    /// A full one.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            messages: TokenBucket::new(MESSAGE_BURST, f64::from(MESSAGES_PER_SECOND), now),
            signals: TokenBucket::new(SIGNAL_BURST, f64::from(SIGNALS_PER_SECOND), now),
            bytes: TokenBucket::new(SIGNAL_BURST_BYTES, f64::from(SIGNAL_BYTES_PER_SECOND), now),
        }
    }

    /// Whether one more message that is no signal may come.
    pub fn take_message(&mut self, now: Instant) -> bool {
        self.messages.take(now)
    }

    /// Whether one more signal, in a message of `bytes`, may come.
    pub fn take_signal(&mut self, bytes: usize, now: Instant) -> bool {
        self.signals.take(now) && self.bytes.take_many(u32::try_from(bytes).unwrap_or(u32::MAX), now)
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

    #[test]
    fn a_negotiation_passes_and_a_flood_does_not() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert!((0..SIGNAL_BURST).all(|_| allowance.take_signal(500, start)));
        assert!(!allowance.take_signal(500, start));
        assert!(allowance.take_message(start), "signals and other messages are counted apart");
        let mut large = Allowance::new(start);
        assert_eq!((0..SIGNAL_BURST).filter(|_| large.take_signal(60 << 10, start)).count(), 4);
        assert!(large.take_signal(30 << 10, start + Duration::from_secs(1)));
    }
}
