//! A relay that takes no new allocations does not wait for those that nobody uses: browsers keep, and refresh, the
//! relayed addresses of paths that they have left.

use super::Server;
use crate::io::Io;
use std::time::{Duration, Instant};

/// How long an allocation must have carried nothing. ICE checks its paths, and asks for consent, far more often.
const IDLE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

impl Server {
    /// Begins to look for unused allocations, or stops, and forgets what was seen.
    pub(super) fn set_leaving(&mut self, leaving: bool) {
        self.next_look = leaving.then(|| self.next_look.unwrap_or(self.begun));
        if !leaving {
            self.allocations.iter_mut().for_each(|(_, allocation)| allocation.quiet_since = None);
        }
    }

    /// Ends what carried nothing for long.
    pub(super) fn look_for_idle(&mut self, now: Instant, io: &mut impl Io) {
        if self.next_look.is_none_or(|due| due > now) {
            return;
        }
        self.next_look = Some(now + LOOK);
        let mut idle = Vec::new();
        for (slot, allocation) in &mut self.allocations {
            let carried = allocation.sent_bytes + allocation.received_bytes;
            match allocation.quiet_since {
                Some((before, since)) if before == carried => {
                    if now.saturating_duration_since(since) >= IDLE {
                        idle.push(slot);
                    }
                }
                _ => allocation.quiet_since = Some((carried, now)),
            }
        }
        for slot in idle {
            self.counters.idle += 1;
            self.end_with_stream(slot, now, io);
        }
    }
}
