//! The way of events out of a worker's thread, which never waits.

use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Events that may wait for the node; a worker keeps the rest until there is room.
const BOUND: usize = 4096;
/// How soon events that found no room are tried again.
const RETRY: Duration = Duration::from_millis(10);

/// A worker's end of the node's event channel.
#[derive(Debug)]
pub struct EventOutlet<E> {
    events: mpsc::Sender<E>,
    /// The event that found no room; the others wait where they come from.
    waiting: Option<E>,
    retry: Option<Instant>,
}

impl<E> EventOutlet<E> {
    /// The channel of all workers of a node; each gets an outlet around a clone of the sender.
    #[must_use]
    pub fn channel() -> (mpsc::Sender<E>, mpsc::Receiver<E>) {
        mpsc::channel(BOUND)
    }

    /// The outlet of one worker.
    #[must_use]
    pub fn new(events: mpsc::Sender<E>) -> Self {
        Self { events, waiting: None, retry: None }
    }

    /// Sends what `next` brings until it has nothing more, or there is no room.
    pub fn drain(&mut self, now: Instant, mut next: impl FnMut() -> Option<E>) {
        self.retry = None;
        while let Some(event) = self.waiting.take().or_else(&mut next) {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.waiting = Some(event);
                    self.retry = Some(now + RETRY);
                    return;
                }
                // Nobody listens any more: the process ends.
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }

    /// When [`EventOutlet::drain`] wants to be called again, events or not.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.retry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_waits_in_order_and_is_tried_again() {
        let (sender, mut events) = mpsc::channel(2);
        let (mut outlet, mut source, now) = (EventOutlet::new(sender), 1..=5, Instant::now());
        outlet.drain(now, || source.next());
        assert_eq!((outlet.poll_timeout(), source.clone().count()), (Some(now + RETRY), 2));
        let mut heard = Vec::new();
        while let Ok(event) = events.try_recv() {
            heard.push(event);
            outlet.drain(now, || source.next());
        }
        assert_eq!((heard, outlet.poll_timeout()), (vec![1, 2, 3, 4, 5], None));
    }
}
