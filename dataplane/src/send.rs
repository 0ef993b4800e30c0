//! The send arena of one socket: packets in one buffer, consecutive ones to one destination grouped into trains.
//!
//! Bounded: what does not fit is dropped and counted, never queued elsewhere. Order is kept.

use crate::train::{MAX_TRAIN_BYTES, Message, Offload, SendCounters, SendState, TrainQueue};
use std::io;
use std::net::SocketAddr;

/// One train place per this many bytes of arena.
const BYTES_PER_TRAIN: usize = 128;

/// Packets on their way out of one worker. Nothing is allocated after `new`.
pub struct SendBatch {
    bytes: Box<[u8]>,
    tail: usize,
    reserved: Option<(SocketAddr, usize)>,
    queue: TrainQueue,
}

impl SendBatch {
    /// An arena of `bytes` bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let queue = TrainQueue::new((bytes / BYTES_PER_TRAIN).max(1));
        Self { bytes: vec![0; bytes].into_boxed_slice(), tail: 0, reserved: None, queue }
    }

    /// Room for a packet of at most `max_len` bytes to `to`; `None` when the arena is full: counted as a drop.
    /// A second reserve without a commit takes the first back.
    pub fn reserve(&mut self, to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        self.reserved = None;
        if !self.has_room(max_len) {
            self.queue.count_full(1);
            return None;
        }
        self.reserved = Some((to, max_len));
        self.bytes.get_mut(self.tail..self.tail + max_len)
    }

    /// The last reserved packet is `len` bytes long, at most what was reserved; 0 takes it back.
    pub fn commit(&mut self, len: usize) {
        let Some((to, max_len)) = self.reserved.take() else { return };
        let len = len.min(max_len);
        if len == 0 {
            return;
        }
        let start = self.tail;
        self.tail += len;
        self.queue.append(to, start, len);
    }

    /// Nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Counts so far.
    #[must_use]
    pub fn counters(&self) -> SendCounters {
        self.queue.counters()
    }

    pub(crate) fn has_room(&self, max_len: usize) -> bool {
        max_len <= MAX_TRAIN_BYTES && max_len <= self.bytes.len() - self.tail && self.queue.has_room()
    }

    /// Sends all packets by `send`, which gets the arena and the messages and tells how many of them went.
    pub(crate) fn drain<S>(&mut self, offload: &mut Offload, mut send: S) -> SendState
    where
        S: FnMut(&[u8], &[Message]) -> io::Result<usize>,
    {
        let state = self.queue.drain(offload, |messages| send(&self.bytes, messages));
        if state == SendState::Done {
            self.tail = 0;
            self.reserved = None;
        }
        state
    }
}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBatch")
            .field("waiting", &self.queue.waiting())
            .field("counters", &self.queue.counters())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn push(batch: &mut SendBatch, to: SocketAddr, len: usize) -> bool {
        let Some(space) = batch.reserve(to, len.max(1)) else { return false };
        space[..len].fill(u8::try_from(len % 251).unwrap());
        batch.commit(len);
        true
    }

    /// Takes everything and remembers (port, packet sizes).
    fn sent(batch: &mut SendBatch, offload: &mut Offload) -> Vec<(u16, usize, usize)> {
        let mut all = Vec::new();
        let state = batch.drain(offload, |_, messages| {
            all.extend(messages.iter().map(|m| (m.to.port(), m.packets(), m.len)));
            Ok(messages.len())
        });
        assert_eq!(state, SendState::Done);
        all
    }

    #[test]
    fn equal_packets_and_a_shorter_last_one_become_one_train() {
        let mut batch = SendBatch::new(1 << 16);
        for (port, len) in [(1, 100), (1, 100), (1, 60), (1, 60), (2, 60), (2, 61)] {
            assert!(push(&mut batch, to(port), len));
        }
        let trains = sent(&mut batch, &mut Offload::new(true));
        assert_eq!(trains, [(1, 3, 260), (1, 1, 60), (2, 1, 60), (2, 1, 61)]);
        assert!(batch.is_empty());
        assert_eq!(batch.counters().packets, 6);
    }

    #[test]
    fn a_train_stays_within_64_packets_and_65000_bytes() {
        let mut batch = SendBatch::new(1 << 20);
        for _ in 0..100 {
            assert!(push(&mut batch, to(1), 10));
        }
        for _ in 0..60 {
            assert!(push(&mut batch, to(2), 1200));
        }
        let trains = sent(&mut batch, &mut Offload::new(true));
        assert_eq!(trains, [(1, 64, 640), (1, 36, 360), (2, 54, 64_800), (2, 6, 7200)]);
    }

    #[test]
    fn a_full_arena_is_a_counted_drop() {
        let mut batch = SendBatch::new(1024);
        let fitted = (0..20).filter(|_| push(&mut batch, to(1), 200)).count();
        assert_eq!(fitted, 5);
        assert_eq!(batch.counters().dropped_full, 15);
        let mut offload = Offload::new(true);
        assert_eq!(batch.drain(&mut offload, |_, _| Err(io::ErrorKind::WouldBlock.into())), SendState::Blocked);
        assert!(!push(&mut batch, to(1), 200));
        assert_eq!(sent(&mut batch, &mut offload), [(1, 5, 1000)]);
        assert!(push(&mut batch, to(1), 200));
    }

    #[test]
    fn a_partial_send_goes_on_where_it_stopped() {
        let mut batch = SendBatch::new(1 << 16);
        for port in 1..=3 {
            push(&mut batch, to(port), 50);
            push(&mut batch, to(port), 50);
        }
        let mut offload = Offload::new(true);
        let mut calls = 0;
        let state = batch.drain(&mut offload, |_, _| {
            calls += 1;
            if calls == 1 { Ok(1) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        assert_eq!(state, SendState::Blocked);
        assert_eq!(sent(&mut batch, &mut offload), [(2, 2, 100), (3, 2, 100)]);
    }

    #[test]
    fn a_refused_train_goes_as_single_packets_and_the_others_stay_trains() {
        let mut batch = SendBatch::new(1 << 16);
        for port in [1, 1, 2, 2] {
            push(&mut batch, to(port), 50);
        }
        let mut offload = Offload::new(true);
        let mut went = Vec::new();
        batch.drain(&mut offload, |_, messages| {
            if messages[0].to.port() == 1 && messages[0].packets() > 1 {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            went.push((messages[0].to.port(), messages[0].packets()));
            Ok(1)
        });
        assert_eq!(went, [(1, 1), (1, 1), (2, 2)]);
        assert!(offload.is_enabled());
        assert_eq!(batch.counters().refused_trains, 1);
    }

    #[test]
    fn a_device_without_offload_is_remembered() {
        let mut batch = SendBatch::new(1 << 16);
        push(&mut batch, to(1), 50);
        push(&mut batch, to(1), 50);
        let mut offload = Offload::new(true);
        let mut tries = 0;
        batch.drain(&mut offload, |_, messages| {
            tries += 1;
            if tries == 1 { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(messages.len()) }
        });
        push(&mut batch, to(1), 50);
        push(&mut batch, to(1), 50);
        assert_eq!(sent(&mut batch, &mut offload), [(1, 1, 50), (1, 1, 50)]);
    }

    #[test]
    fn a_packet_without_a_route_is_dropped_and_the_rest_goes() {
        let mut batch = SendBatch::new(1 << 16);
        for port in [1, 1, 2] {
            push(&mut batch, to(port), 50);
        }
        let mut went = 0;
        batch.drain(&mut Offload::new(true), |_, messages| match messages[0].to.port() {
            1 => Err(io::Error::from_raw_os_error(libc::ENETUNREACH)),
            _ => {
                went += messages.len();
                Ok(messages.len())
            }
        });
        assert_eq!(went, 1);
        assert_eq!(batch.counters().dropped_errors, 2);
    }

    #[test]
    fn a_packet_that_is_taken_back_is_not_sent() {
        let mut batch = SendBatch::new(1024);
        assert!(push(&mut batch, to(1), 0));
        batch.commit(10);
        assert!(batch.is_empty());
        assert!(batch.reserve(to(1), MAX_TRAIN_BYTES + 1).is_none());
    }
}
