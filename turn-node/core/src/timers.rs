//! One wake-up per allocation, in order. Moving one replaces it: nothing stale stays.

use std::collections::BTreeSet;
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: BTreeSet<(Instant, usize)>,
}

impl Timers {
    pub(crate) fn add(&mut self, at: Instant, slot: usize) {
        self.entries.insert((at, slot));
    }

    pub(crate) fn remove(&mut self, at: Instant, slot: usize) {
        self.entries.remove(&(at, slot));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// Takes the next entry that is due, and answers its slot.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<usize> {
        self.next().filter(|at| *at <= now)?;
        self.entries.pop_first().map(|(_, slot)| slot)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
