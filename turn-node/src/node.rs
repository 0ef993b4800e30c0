//! What the tasks of a node share: the allocations of all workers, the words of the leader.
//!
//! The lock is held for pure work only, never across an await, and never by a worker: they tell of allocations by a
//! channel.

mod allocations;
mod sync;

use crate::worker::{Command, Snapshot, Worker};
use allocations::Allocations;
pub(crate) use allocations::Totals;
use plenum_protocol::ids::BootId;
use plenum_protocol::peer::relay_session_start;
use plenum_protocol::problem::Problem;
use plenum_protocol::relay::{AllocationAnswer, AllocationQuery, MAX_QUERY, RelayConfig};
use plenum_protocol::turn::RelayTransport;
use plenum_runtime::http::bad_request;
use plenum_runtime::node::{Fence, Load};
use plenum_runtime::probes::Readiness;
use plenum_turn_core::Event;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a node that was asked to stop looks whether its last allocation ended.
const EMPTY_CHECK: Duration = Duration::from_millis(250);

/// Every transport, in the order of their metrics.
pub(crate) const TRANSPORTS: [RelayTransport; 3] = [RelayTransport::Udp, RelayTransport::Tcp, RelayTransport::Tls];

/// Everything that one lock guards.
#[derive(Debug, Default)]
struct State {
    fence: Fence,
    config: Option<RelayConfig>,
    /// SIGTERM came.
    terminating: bool,
    allocations: Allocations,
}

/// A TURN node.
#[derive(Debug)]
pub(crate) struct Node {
    boot_id: BootId,
    /// The pod's own addresses.
    addresses: Vec<IpAddr>,
    workers: Vec<Worker>,
    state: Mutex<State>,
    /// The rate of relayed payload, both ways.
    load: Load<Snapshot, 1>,
    readiness: Readiness,
}

impl Node {
    pub(crate) fn new(boot_id: BootId, addresses: Vec<IpAddr>, workers: Vec<Worker>, readiness: Readiness) -> Self {
        let load = Load::new(workers.len(), |one| [relayed(one)]);
        Self { boot_id, addresses, workers, state: Mutex::default(), load, readiness }
    }

    /// This start of the process.
    pub(crate) fn boot_id(&self) -> &BootId {
        &self.boot_id
    }

    /// A worker speaks.
    pub(crate) fn handle_event(&self, event: Event) {
        let mut state = self.lock();
        match event {
            Event::Allocated(allocation) => state.allocations.begin(allocation),
            Event::Ended { port } => state.allocations.end(port),
        }
    }

    /// What lives on these relay ports, and under the names of these participants.
    pub(crate) async fn query(&self, query: AllocationQuery) -> Result<AllocationAnswer, Problem> {
        let AllocationQuery { mut ports, participants } = query;
        if ports.len() > MAX_QUERY || participants.len() > MAX_QUERY {
            return Err(bad_request(format!("at most {MAX_QUERY} ports and participants fit into one query")));
        }
        if !participants.is_empty() {
            let state = self.lock();
            let starts = participants.iter().map(relay_session_start);
            ports.extend(starts.flat_map(|start| state.allocations.of_sessions(start)).take(MAX_QUERY));
        }
        let mut found = HashMap::new();
        for worker in &self.workers {
            let own: Vec<u16> = ports.iter().copied().filter(|port| worker.owns(*port)).collect();
            if !own.is_empty() {
                let answer = worker.query(own).await?;
                found.extend(answer.into_iter().map(|allocation| (allocation.port, allocation)));
            }
        }
        Ok(AllocationAnswer { allocations: ports.iter().filter_map(|port| found.get(port).cloned()).collect() })
    }

    /// Returns when every worker has done what it was told before: packets may overtake commands, so who hears that the
    /// node is configured, or ready, hears it only then.
    pub(crate) async fn settle(&self) -> Result<(), Problem> {
        for worker in &self.workers {
            worker.snapshot().await?;
        }
        let state = self.lock();
        self.readiness.set(state.config.is_some() && !state.terminating);
        Ok(())
    }

    /// Asks the workers for their counts, for ever.
    pub(crate) async fn run_pulse(&self) {
        let workers: Vec<_> = self.workers.iter().map(Worker::handle).collect();
        self.load.run(&workers, |reply| Command::Snapshot { reply }).await;
    }

    /// The workers' last counts.
    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        self.load.snapshots()
    }

    /// Takes no new allocations from now on, and is not ready.
    pub(crate) fn terminate(&self) {
        let mut state = self.lock();
        self.stop_accepting(&mut state);
        // Under the lock and last: a push that is just being taken does not make it ready again.
        self.readiness.set(false);
    }

    /// Returns when no worker has an allocation. Told by the workers themselves: events may be on their way.
    pub(crate) async fn empty(&self) {
        let mut ticks = tokio::time::interval(EMPTY_CHECK);
        loop {
            ticks.tick().await;
            let mut left = 0;
            for worker in &self.workers {
                // One that does not answer may have some.
                left += worker.snapshot().await.map_or(1, |snapshot| snapshot.memory.allocations);
            }
            if left == 0 {
                return;
            }
        }
    }

    /// Allocations now, by transport.
    pub(crate) fn totals(&self) -> Totals {
        self.lock().allocations.totals()
    }

    /// A panic while the lock was held left at worst one allocation untold.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Payload bytes, both ways.
fn relayed(one: &Snapshot) -> u64 {
    let counts = TRANSPORTS.map(|transport| one.server.relayed(transport));
    counts.iter().map(|relayed| relayed.bytes_to_peers + relayed.bytes_to_clients).sum()
}
