//! Whose a datagram is: by username, by transaction, by address.
//!
//! **Invariant:** an entry is only made for a session that exists, by an authenticated message or by our own check;
//! an address that is in the map is only taken over by a nomination, which proves possession.

use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

/// Most checks of ours that wait for an answer, over all sessions.
const MAX_TRANSACTIONS: usize = 4096;

/// The three maps.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    users: FxHashMap<String, usize>,
    addresses: FxHashMap<SocketAddr, usize>,
    transactions: FxHashMap<[u8; 12], (usize, Instant)>,
    transaction_order: VecDeque<[u8; 12]>,
}

impl Demux {
    pub(crate) fn add_user(&mut self, ufrag: &str, slot: usize) {
        self.users.insert(ufrag.to_owned(), slot);
    }

    pub(crate) fn remove_user(&mut self, ufrag: &str) {
        self.users.remove(ufrag);
    }

    pub(crate) fn user(&self, ufrag: &str) -> Option<usize> {
        self.users.get(ufrag).copied()
    }

    pub(crate) fn address(&self, from: SocketAddr) -> Option<usize> {
        self.addresses.get(&from).copied()
    }

    /// `from` sent an authenticated check for `slot`: it may speak DTLS, unless the address is somebody else's.
    pub(crate) fn checked(&mut self, from: SocketAddr, slot: usize) {
        self.addresses.entry(from).or_insert(slot);
    }

    /// `slot` nominated the pair with `remote`.
    pub(crate) fn nominated(&mut self, remote: SocketAddr, slot: usize) {
        self.addresses.insert(remote, slot);
    }

    /// `slot` does not use `address` any more.
    pub(crate) fn forget_address(&mut self, address: SocketAddr, slot: usize) {
        if self.address(address) == Some(slot) {
            self.addresses.remove(&address);
        }
    }

    /// A check of ours went out for `slot`.
    pub(crate) fn sent_check(&mut self, transaction: [u8; 12], slot: usize, now: Instant) {
        if self.transaction_order.len() >= MAX_TRANSACTIONS
            && let Some(oldest) = self.transaction_order.pop_front()
        {
            self.transactions.remove(&oldest);
        }
        self.transactions.insert(transaction, (slot, now));
        self.transaction_order.push_back(transaction);
    }

    /// Whose check this answers, and when it was sent. An answer counts once.
    pub(crate) fn answered_check(&mut self, transaction: [u8; 12]) -> Option<(usize, Instant)> {
        self.transactions.remove(&transaction)
    }

    /// Entries in the three maps, for tests of their bounds.
    pub(crate) fn len(&self) -> usize {
        self.users.len() + self.addresses.len() + self.transactions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_does_not_take_an_address_over_but_a_nomination_does() {
        let address = "192.0.2.9:1000".parse().unwrap();
        let mut demux = Demux::default();
        demux.checked(address, 1);
        demux.checked(address, 2);
        assert_eq!(demux.address(address), Some(1));
        demux.nominated(address, 2);
        assert_eq!(demux.address(address), Some(2));
        demux.checked(address, 1);
        assert_eq!(demux.address(address), Some(2));
        demux.forget_address(address, 1);
        assert_eq!(demux.address(address), Some(2));
    }

    #[test]
    fn transactions_are_bounded_and_count_once() {
        let now = plenum_testing::some_moment();
        let mut demux = Demux::default();
        for number in 0..10_000u32 {
            let mut transaction = [0; 12];
            transaction[..4].copy_from_slice(&number.to_be_bytes());
            demux.sent_check(transaction, 3, now);
        }
        assert!(demux.len() <= MAX_TRANSACTIONS);
        let mut last = [0; 12];
        last[..4].copy_from_slice(&9_999u32.to_be_bytes());
        assert_eq!(demux.answered_check(last), Some((3, now)));
        assert_eq!(demux.answered_check(last), None);
    }
}
