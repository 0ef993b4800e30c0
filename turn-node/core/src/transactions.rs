//! Transactions of indications: they must differ and need not be secret, so they cost less than other randomness.

/// SplitMix64.
pub(crate) struct Transactions(u64);

impl Transactions {
    /// The sequence after `first`.
    pub(crate) fn new(first: u64) -> Self {
        Self(first)
    }

    /// One that differs from those before.
    pub(crate) fn next(&mut self) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h] = self.number().to_be_bytes();
        let [i, j, k, l, ..] = self.number().to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_differ() {
        let mut transactions = Transactions::new(7);
        let all: std::collections::HashSet<_> = (0..1_000).map(|_| transactions.next()).collect();
        assert_eq!(all.len(), 1_000);
    }
}
