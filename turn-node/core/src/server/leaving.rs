//! A relay that takes no new allocations does not wait for those that nobody uses: browsers keep, and refresh, the
//! relayed addresses of paths that they have left.

use super::Server;
use crate::io::Io;
use std::time::{Duration, Instant};

/// How long an allocation must have carried nothing. ICE checks its paths, and asks for consent, far more often.
const IDLE: Duration = Duration::from_secs(30);

impl Server {
    /// Begins to look for unused allocations, or stops.
    pub(super) fn set_leaving(&mut self, leaving: bool) {
        let first = self.begun;
        match leaving {
            true => _ = self.next_look.get_or_insert(first),
            false => self.next_look = None,
        }
    }

    /// Ends what carried nothing since the last look.
    pub(super) fn look_for_idle(&mut self, now: Instant, io: &mut impl Io) {
        if self.next_look.is_none_or(|due| due > now) {
            return;
        }
        self.next_look = Some(now + IDLE);
        let mut idle = Vec::new();
        for (slot, allocation) in &mut self.allocations {
            let carried = allocation.sent_bytes + allocation.received_bytes;
            if allocation.carried_before.replace(carried) == Some(carried) {
                idle.push(slot);
            }
        }
        for slot in idle {
            self.counters.idle += 1;
            self.end_with_stream(slot, now, io);
        }
    }
}
