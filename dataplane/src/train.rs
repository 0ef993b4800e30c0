//! Trains: packets to one destination back to back in a buffer, and the queue of them on their way to one socket.
//!
//! Decides what goes to the kernel in which form; the system call itself is in `scratch`. Order is kept.

use std::io;
use std::net::SocketAddr;

/// Most packets in one train (`UDP_MAX_SEGMENTS` of kernels before 6.9).
pub const MAX_TRAIN_SEGMENTS: usize = 64;
/// Most payload bytes in one train: below the largest UDP payload.
pub const MAX_TRAIN_BYTES: usize = 65_000;
/// Messages per system call.
pub(crate) const MAX_MESSAGES: usize = 64;
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
pub(crate) struct Train {
    to: SocketAddr,
    start: usize,
    len: usize,
    segment: usize,
    packets: usize,
    /// Refused once: goes as single packets.
    split: bool,
}

impl Train {
    /// One packet of `len` bytes at `start`.
    pub(crate) fn new(to: SocketAddr, start: usize, len: usize) -> Self {
        Self { to, start, len, segment: len, packets: 1, split: false }
    }

    /// Whether a packet that follows in the buffer may ride along.
    pub(crate) fn takes(&self, to: SocketAddr, len: usize) -> bool {
        self.to == to
            && len <= self.segment
            && self.len == self.packets * self.segment
            && self.packets < MAX_TRAIN_SEGMENTS
            && self.len + len <= MAX_TRAIN_BYTES
    }

    /// Takes a packet that [`Train::takes`].
    pub(crate) fn extend(&mut self, len: usize) {
        self.len += len;
        self.packets += 1;
    }
}

/// Trains on their way to one socket. Nothing is allocated after `new` while there are at most `max_trains`.
pub(crate) struct TrainQueue {
    trains: Vec<Train>,
    max_trains: usize,
    /// First train that is not sent whole, and how many of its bytes are.
    next: usize,
    next_sent: usize,
    messages: Vec<Message>,
    counters: SendCounters,
}

impl TrainQueue {
    pub(crate) fn new(max_trains: usize) -> Self {
        Self {
            trains: Vec::with_capacity(max_trains),
            max_trains,
            next: 0,
            next_sent: 0,
            messages: Vec::with_capacity(MAX_MESSAGES),
            counters: SendCounters::default(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.trains.len() < self.max_trains
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.trains.len()
    }

    /// Trains that are not sent whole.
    pub(crate) fn waiting(&self) -> usize {
        self.trains.len() - self.next
    }

    pub(crate) fn counters(&self) -> SendCounters {
        self.counters
    }

    /// Counts packets that found no room.
    pub(crate) fn count_full(&mut self, packets: usize) {
        self.counters.dropped_full += packets as u64;
    }

    /// A packet that follows the last one in the buffer.
    pub(crate) fn append(&mut self, to: SocketAddr, start: usize, len: usize) {
        let open = self.trains.get_mut(self.next..).and_then(<[Train]>::last_mut);
        match open {
            Some(train) if train.takes(to, len) => train.extend(len),
            _ => self.push(Train::new(to, start, len)),
        }
    }

    pub(crate) fn push(&mut self, train: Train) {
        self.trains.push(train);
    }

    /// Sends all packets by `send`, which gets the messages and tells how many of them went.
    pub(crate) fn drain<S>(&mut self, offload: &mut Offload, mut send: S) -> SendState
    where
        S: FnMut(&[Message]) -> io::Result<usize>,
    {
        loop {
            self.plan(offload.enabled);
            let Some(&first) = self.messages.first() else {
                self.clear();
                return SendState::Done;
            };
            self.counters.calls += 1;
            match send(&self.messages) {
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

    /// Forgets what waits; counted as packets that found no room.
    pub(crate) fn drop_rest(&mut self) {
        let packets = |train: &Train, sent: usize| (train.len - sent).div_ceil(train.segment.max(1));
        let mut sent = self.next_sent;
        let mut dropped = 0;
        for train in self.trains.get(self.next..).unwrap_or_default() {
            dropped += packets(train, std::mem::take(&mut sent));
        }
        self.count_full(dropped);
        self.clear();
    }

    fn clear(&mut self) {
        self.trains.clear();
        self.next = 0;
        self.next_sent = 0;
    }
}

/// The kernel's ways to say that it will not cut this train.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP))
}
