//! How busy a node is: the workers' counts, asked once a second.

use super::WorkerHandle;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

/// How often workers are asked.
const PULSE: Duration = Duration::from_secs(1);

/// The last counts `S` of each worker, and the `N` rates that follow from the two last.
#[derive(Debug)]
pub struct Load<S, const N: usize> {
    bytes: fn(&S) -> [u64; N],
    last: Mutex<Last<S, N>>,
}

#[derive(Debug)]
struct Last<S, const N: usize> {
    snapshots: Vec<S>,
    taken: Option<Instant>,
    kbps: [u32; N],
}

impl<S: Clone + Default, const N: usize> Load<S, N> {
    /// Nothing counted yet. `bytes` are the counts, in bytes, whose rates are wanted.
    #[must_use]
    pub fn new(workers: usize, bytes: fn(&S) -> [u64; N]) -> Self {
        Self { bytes, last: Mutex::new(Last { snapshots: vec![S::default(); workers], taken: None, kbps: [0; N] }) }
    }

    /// The last counts of each worker.
    #[must_use]
    pub fn snapshots(&self) -> Vec<S> {
        self.lock().snapshots.clone()
    }

    /// The rates of all workers together, in kilobits per second.
    #[must_use]
    pub fn kbps(&self) -> [u32; N] {
        self.lock().kbps
    }

    /// Asks the workers for ever, by `question`. One that does not answer keeps its last counts, and is logged.
    pub async fn run<C>(&self, workers: &[&WorkerHandle<C>], question: impl Fn(oneshot::Sender<S>) -> C) {
        let mut ticks = tokio::time::interval(PULSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut snapshots = self.snapshots();
            for (worker, last) in workers.iter().zip(&mut snapshots) {
                match worker.ask(&question).await {
                    Ok(snapshot) => *last = snapshot,
                    Err(error) => tracing::warn!(worker = worker.name(), %error, "no counts from a worker"),
                }
            }
            self.update(Instant::now(), snapshots);
        }
    }

    fn update(&self, now: Instant, snapshots: Vec<S>) {
        let mut last = self.lock();
        if let Some(taken) = last.taken {
            let elapsed = now.saturating_duration_since(taken);
            let (before, after) = (self.total(&last.snapshots), self.total(&snapshots));
            last.kbps = std::array::from_fn(|rate| kbps(after[rate].saturating_sub(before[rate]), elapsed));
        }
        last.taken = Some(now);
        last.snapshots = snapshots;
    }

    fn total(&self, snapshots: &[S]) -> [u64; N] {
        let counts = snapshots.iter().map(self.bytes);
        counts.fold([0; N], |sums, one| std::array::from_fn(|rate| sums[rate] + one[rate]))
    }

    /// Nothing panics while the lock is held but for a want of memory.
    fn lock(&self) -> MutexGuard<'_, Last<S, N>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kilobits per second; bits per millisecond are the same.
fn kbps(bytes: u64, elapsed: Duration) -> u32 {
    u32::try_from(u128::from(bytes) * 8 / elapsed.as_millis().max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_from_two_pulses() {
        let load = Load::<[u64; 2], 2>::new(2, |counts| *counts);
        let start = Instant::now();
        load.update(start, vec![[1_000, 0], [0, 0]]);
        assert_eq!(load.kbps(), [0, 0], "one pulse gives no rate");
        load.update(start + Duration::from_secs(2), vec![[126_000, 12_500], [125_000, 0]]);
        assert_eq!((load.kbps(), load.snapshots()), ([1_000, 50], vec![[126_000, 12_500], [125_000, 0]]));
    }

    #[test]
    fn a_rate_is_told_in_kilobits_per_second() {
        assert_eq!(kbps(250_000, Duration::from_secs(2)), 1_000);
        assert_eq!(kbps(1, Duration::ZERO), 8);
        assert_eq!(kbps(u64::MAX, Duration::from_millis(1)), u32::MAX);
    }
}
