//! What the server tells its owner.

use plenum_protocol::relay::AllocationState;

/// Drained with `Server::poll_event` after every batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An allocation began. Its byte counts are 0.
    Allocated(AllocationState),
    /// An allocation ended; its relay socket is closed.
    Ended {
        /// Relay port that it had.
        port: u16,
    },
}
