//! Deterministic randomness from the server's seed.
//!
//! HMAC-SHA256 over a counter for what must not be guessed (relay ports, hash seeds); a fast sequence that starts
//! there for what must only differ (transactions of indications). With the same seed a test runs the same way twice.

use aws_lc_rs::hmac;

pub(crate) struct Random {
    key: hmac::Key,
    counter: u64,
    sequence: u64,
}

impl Random {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        let mut random = Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed), counter: 0, sequence: 0 };
        random.sequence = random.u64();
        random
    }

    /// A number that nobody can guess.
    pub(crate) fn u64(&mut self) -> u64 {
        self.counter += 1;
        let tag = hmac::sign(&self.key, &self.counter.to_be_bytes());
        tag.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// A number below `bound`; 0 when there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // The bias is one in 2^48: bounds are counts of ports.
        usize::try_from(self.u64() % (bound.max(1) as u64)).unwrap_or_default()
    }

    /// A transaction that differs from those before: SplitMix64.
    pub(crate) fn transaction(&mut self) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h] = self.next().to_be_bytes();
        let [i, j, k, l, ..] = self.next().to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    fn next(&mut self) -> u64 {
        self.sequence = self.sequence.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.sequence;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
        let numbers = |seed: u8| {
            let mut random = Random::new(&[seed; 32]);
            (random.u64(), random.below(1_000), random.transaction())
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn transactions_differ() {
        let mut random = Random::new(&[7; 32]);
        let all: std::collections::HashSet<_> = (0..1_000).map(|_| random.transaction()).collect();
        assert_eq!(all.len(), 1_000);
    }
}
