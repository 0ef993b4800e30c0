//! The send arena: packets in one buffer, consecutive ones to one destination grouped into trains.
//!
//! Decides what goes to the kernel in which form; the system call itself is in `socket`. Bounded: what does not fit
//! is dropped and counted, never queued elsewhere. Order is kept.

use std::io;
use std::net::SocketAddr;

/// Most packets in one train (`UDP_MAX_SEGMENTS` of kernels before 6.9).
pub const MAX_TRAIN_SEGMENTS: usize = 64;
/// Most payload bytes in one train: below the largest UDP payload.
pub const MAX_TRAIN_BYTES: usize = 65_000;
/// Messages per system call.
pub(crate) const MAX_MESSAGES: usize = 64;
/// One train place per this many bytes of arena.
const BYTES_PER_TRAIN: usize = 128;
/// Trains refused in a row, without one that went, after which the socket sends singles only.
const MAX_REFUSALS: u32 = 16;

/// What was sent and dropped so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendCounters {
    /// `sendmmsg` calls.
    pub calls: u64,
    /// Messages sent: trains or single packets.
    pub messages: u64,
    /// Packets sent.
    pub packets: u64,
    /// Payload bytes sent.
    pub bytes: u64,
    /// Packets dropped because the arena was full and the socket took nothing.
    pub dropped_full: u64,
    /// Packets that the kernel refused (no route, no buffers, firewall).
    pub dropped_errors: u64,
    /// Trains that the kernel refused and that went as single packets.
    pub refused_trains: u64,
}

/// Where a send ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendState {
    /// The arena is empty.
    Done,
    /// The socket takes no more now; the rest stays in the arena.
    Blocked,
}

/// Whether this socket may send trains; learnt from refusals.
#[derive(Debug)]
pub(crate) struct Offload {
    enabled: bool,
    refusals: u32,
}

impl Offload {
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, refusals: 0 }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn accepted(&mut self) {
        self.refusals = 0;
    }

    /// EIO means that the device cannot do it at all; the other refusals may be one path's small MTU.
    fn refused(&mut self, error: &io::Error) {
        self.refusals += 1;
        if error.raw_os_error() == Some(libc::EIO) || self.refusals >= MAX_REFUSALS {
            self.enabled = false;
        }
    }
}

/// One message for the kernel: `len` bytes of the arena from `start`, cut every `segment` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) to: SocketAddr,
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Equal to `len` for a single packet.
    pub(crate) segment: usize,
}

impl Message {
    pub(crate) fn packets(&self) -> usize {
        self.len.div_ceil(self.segment.max(1))
    }
}

/// Packets to one destination, back to back: all `segment` bytes long but the last, which may be shorter.
#[derive(Debug, Clone, Copy)]
struct Train {
    to: SocketAddr,
    start: usize,
    len: usize,
    segment: usize,
    packets: usize,
    /// Refused once: goes as single packets.
    split: bool,
}

impl Train {
    fn takes(&self, to: SocketAddr, len: usize) -> bool {
        self.to == to
            && len <= self.segment
            && self.len == self.packets * self.segment
            && self.packets < MAX_TRAIN_SEGMENTS
            && self.len + len <= MAX_TRAIN_BYTES
    }
}

/// Packets on their way out of one worker. Nothing is allocated after `new`.
pub struct SendBatch {
    bytes: Box<[u8]>,
    tail: usize,
    reserved: Option<(SocketAddr, usize)>,
    trains: Vec<Train>,
    max_trains: usize,
    /// First train that is not sent whole, and how many of its bytes are.
    next: usize,
    next_sent: usize,
    messages: Vec<Message>,
    counters: SendCounters,
}

impl SendBatch {
    /// An arena of `bytes` bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let max_trains = (bytes / BYTES_PER_TRAIN).max(1);
        Self {
            bytes: vec![0; bytes].into_boxed_slice(),
            tail: 0,
            reserved: None,
            trains: Vec::with_capacity(max_trains),
            max_trains,
            next: 0,
            next_sent: 0,
            messages: Vec::with_capacity(MAX_MESSAGES),
            counters: SendCounters::default(),
        }
    }

    /// Room for a packet of at most `max_len` bytes to `to`; `None` when the arena is full: counted as a drop.
    /// A second reserve without a commit takes the first back.
    pub fn reserve(&mut self, to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        self.reserved = None;
        if !self.has_room(max_len) {
            self.counters.dropped_full += 1;
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
        let open = self.trains.get_mut(self.next..).and_then(<[Train]>::last_mut);
        match open {
            Some(train) if train.takes(to, len) => {
                train.len += len;
                train.packets += 1;
            }
            _ => self.trains.push(Train { to, start, len, segment: len, packets: 1, split: false }),
        }
    }

    /// Nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == self.trains.len()
    }

    /// Counts so far.
    #[must_use]
    pub fn counters(&self) -> SendCounters {
        self.counters
    }

    pub(crate) fn has_room(&self, max_len: usize) -> bool {
        max_len <= MAX_TRAIN_BYTES && max_len <= self.bytes.len() - self.tail && self.trains.len() < self.max_trains
    }

    /// Sends all packets by `send`, which gets the arena and the messages and tells how many of them went.
    pub(crate) fn drain<S>(&mut self, offload: &mut Offload, mut send: S) -> SendState
    where
        S: FnMut(&[u8], &[Message]) -> io::Result<usize>,
    {
        loop {
            self.plan(offload.enabled);
            let Some(&first) = self.messages.first() else {
                self.clear();
                return SendState::Done;
            };
            self.counters.calls += 1;
            match send(&self.bytes, &self.messages) {
                // The kernel never answers 0 to a non-empty list; were it to, waiting is better than spinning.
                Ok(0) => return SendState::Blocked,
                Ok(sent) => self.count_sent(sent, offload),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return SendState::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if first.packets() > 1 && is_refusal(&error) => {
                    offload.refused(&error);
                    self.counters.refused_trains += 1;
                    if let Some(train) = self.trains.get_mut(self.next) {
                        train.split = true;
                    }
                }
                Err(_) => {
                    self.counters.dropped_errors += first.packets() as u64;
                    self.advance(first.len);
                }
            }
        }
    }

    fn count_sent(&mut self, sent: usize, offload: &mut Offload) {
        for index in 0..sent.min(self.messages.len()) {
            let Some(&message) = self.messages.get(index) else { return };
            let packets = message.packets();
            if packets > 1 {
                offload.accepted();
            }
            self.counters.messages += 1;
            self.counters.packets += packets as u64;
            self.counters.bytes += message.len as u64;
            self.advance(message.len);
        }
    }

    fn advance(&mut self, len: usize) {
        self.next_sent += len;
        if self.trains.get(self.next).is_some_and(|train| self.next_sent >= train.len) {
            self.next += 1;
            self.next_sent = 0;
        }
    }

    /// The next messages, without a change of the cursor.
    fn plan(&mut self, offload: bool) {
        self.messages.clear();
        let mut sent = self.next_sent;
        for train in self.trains.get(self.next..).unwrap_or_default() {
            while sent < train.len {
                if self.messages.len() == MAX_MESSAGES {
                    return;
                }
                let rest = train.len - sent;
                let single = !offload || train.split;
                let len = if single { rest.min(train.segment) } else { rest };
                let segment = train.segment.min(len);
                self.messages.push(Message { to: train.to, start: train.start + sent, len, segment });
                sent += len;
            }
            sent = 0;
        }
    }

    fn clear(&mut self) {
        self.trains.clear();
        self.tail = 0;
        self.next = 0;
        self.next_sent = 0;
        self.reserved = None;
    }
}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBatch")
            .field("waiting", &(self.trains.len() - self.next))
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// The kernel's ways to say that it will not cut this train.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP))
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
