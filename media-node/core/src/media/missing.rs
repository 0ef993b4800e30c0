//! Packets of a publisher that did not come: when to ask again, and when to give up.

use std::time::{Duration, Instant};

/// Most packets that are asked for at a time; a larger hole is a matter for a keyframe.
const MAX_MISSING: usize = 128;
/// How often one packet is asked for.
const MAX_TRIES: u8 = 6;
/// Least and most time between two tries; the round trip lies between.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

#[derive(Debug, Clone, Copy)]
struct Lost {
    index: u64,
    tries: u8,
    next_try: Instant,
}

/// What a received packet did to the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing is to be done beyond asking for what is due.
    Fine,
    /// Packets are lost for good: a keyframe is needed.
    GiveUp,
}

/// The list, ascending by index and bounded.
#[derive(Debug)]
pub(crate) struct Missing {
    lost: Vec<Lost>,
    highest: Option<u64>,
}

impl Missing {
    pub(crate) fn new() -> Self {
        Self { lost: Vec::with_capacity(MAX_MISSING), highest: None }
    }

    /// A packet came.
    pub(crate) fn received(&mut self, index: u64, now: Instant) -> Outcome {
        let Some(highest) = self.highest else {
            self.highest = Some(index);
            return Outcome::Fine;
        };
        if index <= highest {
            if let Ok(at) = self.lost.binary_search_by_key(&index, |lost| lost.index) {
                self.lost.remove(at);
            }
            return Outcome::Fine;
        }
        self.highest = Some(index);
        let hole = usize::try_from(index - highest - 1).unwrap_or(usize::MAX);
        if hole > MAX_MISSING - self.lost.len() {
            self.lost.clear();
            return Outcome::GiveUp;
        }
        self.lost.extend((highest + 1..index).map(|index| Lost { index, tries: 0, next_try: now }));
        Outcome::Fine
    }

    /// Forgets everything: the source starts anew.
    pub(crate) fn reset(&mut self) {
        self.lost.clear();
        self.highest = None;
    }

    /// When the next try is due.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.lost.iter().map(|lost| lost.next_try).min()
    }

    /// Fills `ask` with the sequence numbers to ask for now and returns how many; plans their next try after about
    /// a round trip. [`Outcome::GiveUp`] when one was asked for often enough.
    pub(crate) fn take_due(&mut self, now: Instant, round_trip: Option<Duration>, ask: &mut [u16]) -> (usize, Outcome) {
        let before = self.lost.len();
        self.lost.retain(|lost| lost.next_try > now || lost.tries < MAX_TRIES);
        let outcome = if self.lost.len() < before { Outcome::GiveUp } else { Outcome::Fine };
        let pause = round_trip.unwrap_or(Duration::from_millis(60)).clamp(RETRY.0, RETRY.1);
        let due = self.lost.iter_mut().filter(|lost| lost.next_try <= now);
        let mut count = 0;
        for (lost, sequence) in due.zip(ask.iter_mut()) {
            *sequence = (lost.index & 0xffff) as u16;
            lost.tries += 1;
            lost.next_try = now + pause;
            count += 1;
        }
        (count, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(missing: &mut Missing, now: Instant) -> (Vec<u16>, Outcome) {
        let mut buffer = [0; 64];
        let (count, outcome) = missing.take_due(now, None, &mut buffer);
        (buffer[..count].to_vec(), outcome)
    }

    #[test]
    fn a_hole_is_asked_for_until_it_is_filled() {
        let start = plenum_testing::some_moment();
        let mut missing = Missing::new();
        assert_eq!(missing.received(65_534, start), Outcome::Fine);
        assert_eq!(missing.received(65_537, start), Outcome::Fine);
        assert_eq!(ask(&mut missing, start), (vec![65_535, 0], Outcome::Fine));
        assert_eq!(ask(&mut missing, start).0, Vec::<u16>::new());
        missing.received(65_535, start);
        assert_eq!(ask(&mut missing, start + Duration::from_millis(60)).0, vec![0]);
        missing.received(65_536, start);
        assert_eq!(missing.due_at(), None);
    }

    #[test]
    fn it_gives_up_after_some_tries_and_on_a_large_hole() {
        let start = plenum_testing::some_moment();
        let mut missing = Missing::new();
        missing.received(0, start);
        missing.received(2, start);
        let outcomes: Vec<_> = (0..8).map(|i| ask(&mut missing, start + Duration::from_millis(i * 100)).1).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::GiveUp).count(), 1);
        assert_eq!(missing.due_at(), None);
        assert_eq!(missing.received(1_000, start), Outcome::GiveUp);
        assert_eq!(missing.due_at(), None);
    }
}
