//! Lost relays that matter to one socket: those of pools that its room has used while the socket lived.

use crate::relays::{LostRelay, Relays};
use plenum_api::room::{MAX_RELAY_POOLS, RelayPoolRef};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Pools that are remembered: a room's list may change while legs still go by the old ones.
const MAX_POOLS: usize = 4 * MAX_RELAY_POOLS;

pub(super) struct Losses {
    lost: broadcast::Receiver<Arc<LostRelay>>,
    pools: Vec<RelayPoolRef>,
    /// Keeps the channel open.
    _relays: Relays,
}

impl Losses {
    pub(super) fn new(relays: &Relays) -> Self {
        Self { lost: relays.losses(), pools: Vec::new(), _relays: relays.clone() }
    }

    /// Relays of these pools matter, too.
    pub(super) fn care_for(&mut self, pools: &[RelayPoolRef]) {
        for pool in pools {
            if !self.pools.contains(pool) && self.pools.len() < MAX_POOLS {
                self.pools.push(pool.clone());
            }
        }
    }

    /// The pod of the next loss that matters. Can be dropped and called again.
    pub(super) async fn next(&mut self) -> String {
        loop {
            match self.lost.recv().await {
                Ok(lost) if self.matters(&lost) => return lost.pod.clone(),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "too many relays were lost at once"),
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    fn matters(&self, lost: &LostRelay) -> bool {
        self.pools.iter().any(|pool| pool.namespace == lost.namespace && pool.name == lost.pool)
    }
}
