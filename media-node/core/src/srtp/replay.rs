//! A sliding window over packet indices (RFC 3711, section 3.3.2).

/// Width in packets: wide, since publishers send lost packets again under the same sequence number.
const WIDTH: u64 = 1024;
const WORDS: usize = 16;

/// Remembers which of the last 1024 indices were seen.
#[derive(Debug, Clone, Default)]
pub struct ReplayWindow {
    highest: Option<u64>,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// The highest accepted index.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether `index` is new and not too old.
    #[must_use]
    pub fn is_fresh(&self, index: u64) -> bool {
        let Some(highest) = self.highest else { return true };
        if index > highest {
            return true;
        }
        highest - index < WIDTH && !self.bit(index)
    }

    /// Marks `index` as seen. Call it only once the packet is authenticated.
    pub fn accept(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {}
            Some(highest) if index - highest < WIDTH => {
                for skipped in highest + 1..index {
                    self.set(skipped, false);
                }
                self.highest = Some(index);
            }
            _ => {
                self.seen = [0; WORDS];
                self.highest = Some(index);
            }
        }
        self.set(index, true);
    }

    fn bit(&self, index: u64) -> bool {
        let word = self.seen.get((index / 64) as usize % WORDS).copied().unwrap_or(0);
        word >> (index % 64) & 1 == 1
    }

    fn set(&mut self, index: u64, value: bool) {
        if let Some(word) = self.seen.get_mut((index / 64) as usize % WORDS) {
            let mask = 1 << (index % 64);
            *word = if value { *word | mask } else { *word & !mask };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_index_is_accepted_once() {
        let mut window = ReplayWindow::default();
        window.accept(5);
        assert!(!window.is_fresh(5));
        assert!(window.is_fresh(4));
        window.accept(4);
        assert!(!window.is_fresh(4));
    }

    #[test]
    fn what_is_older_than_the_window_is_refused() {
        let mut window = ReplayWindow::default();
        window.accept(5_000);
        assert!(window.is_fresh(5_000 - 1_023));
        assert!(!window.is_fresh(5_000 - 1_024));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(indices in proptest::collection::vec(0u64..4_000, 1..400)) {
            let mut window = ReplayWindow::default();
            let mut seen = std::collections::BTreeSet::new();
            for index in indices {
                let highest = seen.last().copied();
                let expected = highest.is_none_or(|h: u64| index > h || (h - index < 1024 && !seen.contains(&index)));
                prop_assert_eq!(window.is_fresh(index), expected);
                if expected {
                    window.accept(index);
                    seen.insert(index);
                }
            }
        }
    }
}
