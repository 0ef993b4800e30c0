//! Deterministic randomness from the engine's seed: HMAC-SHA256 over a counter.
//!
//! Used for what must be unguessable (ICE credentials) or merely unlikely to collide (SSRCs). The seed is the
//! caller's responsibility; with the same seed a test runs the same way twice.

use aws_lc_rs::hmac;

pub(crate) struct Random {
    key: hmac::Key,
    counter: u64,
}

impl Random {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed), counter: 0 }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        let tag = hmac::sign(&self.key, &self.counter.to_be_bytes());
        let mut block = [0; 32];
        for (to, from) in block.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        block
    }

    pub(crate) fn u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.block();
        u32::from_be_bytes([a, b, c, d])
    }

    /// An SSRC: not zero.
    pub(crate) fn ssrc(&mut self) -> u32 {
        self.u32().max(1)
    }

    /// `len` letters and digits with almost six bits of entropy each (RFC 8839 `ice-char`).
    pub(crate) fn text(&mut self, len: usize) -> String {
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
    fn the_same_seed_gives_the_same_text_and_another_seed_another() {
        let text = |seed: u8| Random::new(&[seed; 32]).text(24);
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        assert_eq!(text(1).len(), 24);
    }

    #[test]
    fn two_texts_in_a_row_differ() {
        let mut random = Random::new(&[7; 32]);
        assert_ne!(random.text(8), random.text(8));
    }
}
