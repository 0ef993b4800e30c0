//! How busy the node is: the workers' counts, asked once a second.

use super::Node;
use crate::worker::Snapshot;
use plenum_protocol::relay::RelayLoad;
use plenum_protocol::turn::RelayTransport;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// How often workers are asked.
const PULSE: Duration = Duration::from_secs(1);

/// Every transport, in the order of their metrics.
pub(crate) const TRANSPORTS: [RelayTransport; 3] = [RelayTransport::Udp, RelayTransport::Tcp, RelayTransport::Tls];

/// The last counts of each worker, and the rate that follows from the two last.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) snapshots: Vec<Snapshot>,
    taken: Option<Instant>,
    relay_kbps: u32,
}

impl Load {
    pub(crate) fn new(workers: usize) -> Self {
        Self { snapshots: vec![Snapshot::default(); workers], taken: None, relay_kbps: 0 }
    }

    fn update(&mut self, now: Instant, snapshots: Vec<Snapshot>) {
        let (before, after) = (relayed(&self.snapshots), relayed(&snapshots));
        if let Some(taken) = self.taken {
            self.relay_kbps = kbps(after.saturating_sub(before), now.saturating_duration_since(taken));
        }
        self.taken = Some(now);
        self.snapshots = snapshots;
    }
}

/// Kilobits per second; bits per millisecond are the same.
fn kbps(bytes: u64, elapsed: Duration) -> u32 {
    u32::try_from(u128::from(bytes) * 8 / elapsed.as_millis().max(1)).unwrap_or(u32::MAX)
}

/// Payload bytes, both ways.
fn relayed(all: &[Snapshot]) -> u64 {
    let counts = all.iter().flat_map(|one| TRANSPORTS.map(|transport| one.server.relayed(transport)));
    counts.map(|relayed| relayed.bytes_to_peers + relayed.bytes_to_clients).sum()
}

impl Node {
    /// Asks the workers for ever. A worker that does not answer keeps its last counts, and is logged.
    pub(crate) async fn run_pulse(&self) {
        let mut ticks = tokio::time::interval(PULSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut snapshots = self.load().snapshots.clone();
            for (worker, last) in self.workers.iter().zip(&mut snapshots) {
                match worker.snapshot().await {
                    Ok(snapshot) => *last = snapshot,
                    Err(error) => tracing::warn!(worker = worker.number(), %error, "no counts from a relay worker"),
                }
            }
            self.load().update(Instant::now(), snapshots);
        }
    }

    /// The workers' last counts.
    pub(crate) fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the leader's report.
    pub(super) fn relay_load(&self, allocations: usize) -> RelayLoad {
        RelayLoad { allocations: i32::try_from(allocations).unwrap_or(i32::MAX), relay_kbps: self.load().relay_kbps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_in_kilobits_per_second() {
        assert_eq!(kbps(250_000, Duration::from_secs(2)), 1_000);
        assert_eq!(kbps(1, Duration::ZERO), 8);
        assert_eq!(kbps(u64::MAX, Duration::from_millis(1)), u32::MAX);
    }
}
