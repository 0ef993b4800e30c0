//! Deterministic randomness from a seed: HMAC-SHA256 over a counter, so that nobody can guess the next from the last.
//!
//! The seed is the caller's responsibility; with the same seed a test runs the same way twice.

use crate::wire::array_at;
use aws_lc_rs::hmac;

/// The sequence of one seed.
pub struct Random {
    key: hmac::Key,
    counter: u64,
}

impl Random {
    /// From its beginning.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed), counter: 0 }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        let tag = hmac::sign(&self.key, &self.counter.to_be_bytes());
        // It has 32 bytes.
        array_at(tag.as_ref(), 0).unwrap_or_default()
    }

    /// Any number.
    pub fn u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.block();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Any number.
    pub fn u64(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.block();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias is one in 2^48 for bounds of 16 bits, such as counts of ports.
        usize::try_from(self.u64() % (bound.max(1) as u64)).unwrap_or_default()
    }

    /// `len` letters and digits with almost six bits of entropy each (RFC 8839 `ice-char`).
    pub fn text(&mut self, len: usize) -> String {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(len);
        while text.len() < len {
            // 248 is the largest multiple of 62 in a byte: above it the choice would be biased.
            let fair = self.block().into_iter().filter(|byte| *byte < 248);
            let chars = fair.filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
            text.extend(chars.take(len - text.len()).map(|byte| char::from(*byte)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_another_seed_another() {
        let all = |seed: u8| {
            let mut random = Random::new(&[seed; 32]);
            (random.u32(), random.u64(), random.below(1_000), random.text(24))
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        assert_eq!(all(1).3.len(), 24);
    }

    #[test]
    fn two_in_a_row_differ() {
        let mut random = Random::new(&[7; 32]);
        assert_ne!(random.text(8), random.text(8));
        assert_ne!(random.u64(), random.u64());
    }

    #[test]
    fn a_bound_is_kept_and_every_number_below_it_comes() {
        let mut random = Random::new(&[7; 32]);
        let mut seen = [false; 10];
        (0..1_000).for_each(|_| seen[random.below(10)] = true);
        assert_eq!(seen, [true; 10]);
        assert_eq!((random.below(1), random.below(0)), (0, 0));
    }
}
