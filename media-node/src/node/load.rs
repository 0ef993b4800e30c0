//! How busy the node is: the workers' counts, asked once a second.

use super::Node;
use crate::rooms::Rooms;
use crate::worker::Snapshot;
use plenum_protocol::control::NodeLoad;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// How often workers are asked.
const PULSE: Duration = Duration::from_secs(1);

/// The last counts of each worker, and the rates that follow from the two last.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) snapshots: Vec<Snapshot>,
    taken: Option<Instant>,
    send_kbps: u32,
    receive_kbps: u32,
}

impl Load {
    pub(crate) fn new(workers: usize) -> Self {
        Self { snapshots: vec![Snapshot::default(); workers], taken: None, send_kbps: 0, receive_kbps: 0 }
    }

    fn update(&mut self, now: Instant, snapshots: Vec<Snapshot>) {
        let bytes = |all: &[Snapshot]| {
            let sums = all.iter().map(|one| (one.sent.bytes, one.received.bytes));
            sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        let (before, after) = (bytes(&self.snapshots), bytes(&snapshots));
        if let Some(taken) = self.taken {
            let elapsed = now.saturating_duration_since(taken);
            self.send_kbps = kbps(after.0.saturating_sub(before.0), elapsed);
            self.receive_kbps = kbps(after.1.saturating_sub(before.1), elapsed);
        }
        self.taken = Some(now);
        self.snapshots = snapshots;
    }
}

/// Kilobits per second; bits per millisecond are the same.
fn kbps(bytes: u64, elapsed: Duration) -> u32 {
    let millis = elapsed.as_millis().max(1);
    u32::try_from(u128::from(bytes) * 8 / millis).unwrap_or(u32::MAX)
}

impl Node {
    /// Asks the workers for ever. A worker that does not answer keeps its last counts, and is logged.
    pub(crate) async fn run_pulse(&self) {
        let mut ticks = tokio::time::interval(PULSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut snapshots = self.load().snapshots.clone();
            for (worker, last) in self.workers().iter().zip(&mut snapshots) {
                match worker.snapshot().await {
                    Ok(snapshot) => *last = snapshot,
                    Err(error) => tracing::warn!(port = worker.port(), %error, "no counts from a media worker"),
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
    pub(crate) fn node_load(&self, rooms: &Rooms) -> NodeLoad {
        let load = self.load();
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        NodeLoad {
            rooms: count(rooms.len()),
            participants: count(rooms.participants()),
            send_kbps: load.send_kbps,
            receive_kbps: load.receive_kbps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_from_two_pulses() {
        let mut load = Load::new(1);
        let start = Instant::now();
        let mut snapshot = Snapshot::default();
        snapshot.sent.bytes = 1_000;
        load.update(start, vec![snapshot]);
        assert_eq!(load.send_kbps, 0, "one pulse gives no rate");
        snapshot.sent.bytes = 251_000;
        snapshot.received.bytes = 12_500;
        load.update(start + Duration::from_secs(2), vec![snapshot]);
        assert_eq!((load.send_kbps, load.receive_kbps), (1_000, 50));
    }
}
