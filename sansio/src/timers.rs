//! One wake-up per slot, in a binary heap that knows where each slot stands: nothing stale stays, and nothing is
//! allocated once it has grown.

use std::time::Instant;

/// The heap.
#[derive(Debug, Default)]
pub struct Timers {
    /// Each entry is above the two at twice its place plus one and plus two.
    heap: Vec<(Instant, usize)>,
    /// By slot: the place of its entry.
    places: Vec<Option<usize>>,
}

impl Timers {
    /// Wakes `slot` at `at`, unless it is woken before. Slots are small numbers, such as those of a slab.
    pub fn wake_by(&mut self, slot: usize, at: Instant) {
        match self.places.get(slot).copied().flatten() {
            Some(place) if self.heap[place].0 <= at => {}
            Some(place) => {
                self.heap[place].0 = at;
                self.settle(place);
            }
            None => {
                self.places.resize(self.places.len().max(slot + 1), None);
                self.heap.push((at, slot));
                self.settle(self.heap.len() - 1);
            }
        }
    }

    /// `slot` is not woken any more.
    pub fn remove(&mut self, slot: usize) {
        let Some(place) = self.places.get_mut(slot).and_then(Option::take) else { return };
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.settle(place);
        }
    }

    /// When the next slot is to be woken.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// Takes the next wake-up that is due, and answers its slot.
    pub fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let (_, slot) = *self.heap.first().filter(|(at, _)| *at <= now)?;
        self.remove(slot);
        Some(slot)
    }

    /// Slots that are to be woken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// No slot is to be woken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Moves an entry up or down to where it belongs.
    fn settle(&mut self, mut place: usize) {
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            place = self.swap(place, (place - 1) / 2);
        }
        let below = |place: usize, len: usize| (2 * place + 1).min(len)..(2 * place + 3).min(len);
        while let Some(least) = below(place, self.heap.len()).min_by_key(|below| self.heap[*below])
            && self.heap[least] < self.heap[place]
        {
            place = self.swap(place, least);
        }
        self.note(place);
    }

    /// Exchanges two entries; answers where the first is now.
    fn swap(&mut self, from: usize, to: usize) -> usize {
        self.heap.swap(from, to);
        self.note(from);
        to
    }

    fn note(&mut self, place: usize) {
        let (_, slot) = self.heap[place];
        self.places[slot] = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_testing::some_moment;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    proptest! {
        #[test]
        fn slots_are_woken_once_in_order_and_never_late(
            steps in proptest::collection::vec((0..4u8, 0..12usize, 0..100u64), 0..200),
        ) {
            let start = some_moment();
            let (mut timers, mut model, mut now) = (Timers::default(), BTreeMap::<usize, Instant>::new(), start);
            for (step, slot, millis) in steps {
                match step {
                    0 | 1 => {
                        let at = now + Duration::from_millis(millis);
                        timers.wake_by(slot, at);
                        model.entry(slot).and_modify(|known| *known = at.min(*known)).or_insert(at);
                    }
                    2 => {
                        timers.remove(slot);
                        model.remove(&slot);
                    }
                    _ => {
                        now += Duration::from_millis(millis);
                        let mut last = None;
                        while let Some(woken) = timers.pop_due(now) {
                            let at = model.remove(&woken);
                            prop_assert!(at.is_some_and(|at| at <= now) && at >= last, "{woken} at {at:?}");
                            last = at;
                        }
                        prop_assert!(model.values().all(|at| *at > now));
                    }
                }
                prop_assert_eq!(timers.next(), model.values().min().copied());
                prop_assert_eq!((timers.len(), timers.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }
}
