//! The send arena of many sockets: packets in one buffer, each in the lane of its socket.
//!
//! Packets of a lane keep their order; those that follow each other in the buffer to one destination become trains, and
//! a lane leaves by as few system calls as its trains need. Bounded: what does not fit is dropped and counted.

use crate::train::{MAX_TRAIN_BYTES, SendCounters, SendState, Train, TrainQueue};
use std::net::SocketAddr;

/// One train place per this many bytes of arena.
const BYTES_PER_TRAIN: usize = 128;
/// No train.
const NONE: u32 = u32::MAX;

/// The chain of a lane's trains.
#[derive(Debug, Clone, Copy)]
struct Lane {
    first: u32,
    last: u32,
}

const EMPTY: Lane = Lane { first: NONE, last: NONE };

#[derive(Debug, Clone, Copy)]
struct Linked {
    train: Train,
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct Reserved {
    lane: usize,
    to: SocketAddr,
    max_len: usize,
}

/// Packets on their way out of one worker. Nothing is allocated per packet.
pub(super) struct Lanes {
    bytes: Box<[u8]>,
    tail: usize,
    reserved: Option<Reserved>,
    trains: Vec<Linked>,
    max_trains: usize,
    lanes: Vec<Lane>,
    /// Lanes with trains, in the order of their first.
    touched: Vec<u32>,
    /// The lane that is being sent.
    queue: TrainQueue,
}

impl Lanes {
    /// An arena of `bytes` bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let max_trains = (bytes / BYTES_PER_TRAIN).max(1);
        Self {
            bytes: vec![0; bytes].into_boxed_slice(),
            tail: 0,
            reserved: None,
            trains: Vec::with_capacity(max_trains),
            max_trains,
            lanes: Vec::new(),
            touched: Vec::with_capacity(max_trains),
            queue: TrainQueue::new(max_trains),
        }
    }

    /// Makes room for lanes 0 to `lane`. The only thing here that allocates.
    pub(super) fn reach(&mut self, lane: usize) {
        if self.lanes.len() <= lane {
            self.lanes.resize(lane + 1, EMPTY);
        }
    }

    pub(super) fn counters(&self) -> SendCounters {
        self.queue.counters()
    }

    pub(super) fn has_room(&self, max_len: usize) -> bool {
        max_len <= MAX_TRAIN_BYTES && max_len <= self.bytes.len() - self.tail && self.trains.len() < self.max_trains
    }

    /// Something of `lane` waits.
    pub(super) fn is_touched(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.first != NONE)
    }

    /// Counts a packet that nobody takes.
    pub(super) fn count_drop(&mut self) {
        self.queue.count_full(1);
    }

    /// Room for a packet of at most `max_len` bytes; `None` when the arena is full: counted as a drop.
    pub(super) fn reserve(&mut self, lane: usize, to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        self.reserved = None;
        if !self.has_room(max_len) || lane >= self.lanes.len() {
            self.count_drop();
            return None;
        }
        self.reserved = Some(Reserved { lane, to, max_len });
        self.bytes.get_mut(self.tail..self.tail + max_len)
    }

    /// The last reserved packet is `len` bytes long, at most what was reserved; 0 takes it back.
    pub(super) fn commit(&mut self, len: usize) {
        let Some(Reserved { lane: number, to, max_len }) = self.reserved.take() else { return };
        let len = len.min(max_len);
        let Some(lane) = self.lanes.get_mut(number).filter(|_| len > 0) else { return };
        let start = self.tail;
        self.tail += len;
        let newest = self.trains.len() as u32;
        if lane.last.wrapping_add(1) == newest
            && let Some(Linked { train, .. }) = self.trains.last_mut()
            && train.takes(to, len)
        {
            train.extend(len);
            return;
        }
        self.trains.push(Linked { train: Train::new(to, start, len), next: NONE });
        let before = std::mem::replace(&mut lane.last, newest);
        match self.trains.get_mut(before as usize) {
            Some(before) => before.next = newest,
            None => {
                lane.first = newest;
                self.touched.push(number as u32);
            }
        }
    }

    /// Sends lane after lane by `send`, which gets the arena and the lane's trains. What a socket does not take is
    /// dropped: afterwards the arena is empty.
    pub(super) fn drain(&mut self, mut send: impl FnMut(usize, &[u8], &mut TrainQueue) -> SendState) {
        for number in self.touched.drain(..) {
            let Some(lane) = self.lanes.get_mut(number as usize) else { continue };
            let mut at = std::mem::replace(lane, EMPTY).first;
            while let Some(linked) = self.trains.get(at as usize) {
                self.queue.push(linked.train);
                at = linked.next;
            }
            if send(number as usize, &self.bytes, &mut self.queue) == SendState::Blocked {
                self.queue.drop_rest();
            }
        }
        self.trains.clear();
        self.tail = 0;
        self.reserved = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Offload;

    fn to(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn lanes(bytes: usize, count: usize) -> Lanes {
        let mut lanes = Lanes::new(bytes);
        lanes.reach(count - 1);
        lanes
    }

    fn push(lanes: &mut Lanes, lane: usize, to: SocketAddr, fill: u8, len: usize) -> bool {
        let Some(space) = lanes.reserve(lane, to, len) else { return false };
        space.fill(fill);
        lanes.commit(len);
        true
    }

    /// Takes everything: lane, port, packets, first byte of each message.
    fn sent(lanes: &mut Lanes) -> Vec<(usize, u16, usize, u8)> {
        let mut all = Vec::new();
        lanes.drain(|lane, bytes, queue| {
            queue.drain(&mut Offload::new(true), |messages| {
                all.extend(messages.iter().map(|m| (lane, m.to.port(), m.packets(), bytes[m.start])));
                Ok(messages.len())
            })
        });
        all
    }

    #[test]
    fn a_lane_leaves_in_one_piece_and_in_order() {
        let mut lanes = lanes(1 << 16, 3);
        for (lane, port, fill) in [(0, 1, 1), (2, 9, 2), (2, 9, 3), (0, 2, 4), (0, 1, 5), (2, 8, 6)] {
            assert!(push(&mut lanes, lane, to(port), fill, 100));
        }
        assert!(lanes.is_touched(0) && !lanes.is_touched(1));
        let all = sent(&mut lanes);
        assert_eq!(all, [(0, 1, 1, 1), (0, 2, 1, 4), (0, 1, 1, 5), (2, 9, 2, 2), (2, 8, 1, 6)]);
        assert_eq!(lanes.counters().packets, 6);
        assert!(sent(&mut lanes).is_empty());
    }

    #[test]
    fn two_lanes_to_one_destination_never_share_a_train() {
        let mut lanes = lanes(1 << 16, 2);
        for lane in [0, 1, 1, 0, 0] {
            assert!(push(&mut lanes, lane, to(1), 7, 50));
        }
        assert_eq!(sent(&mut lanes), [(0, 1, 1, 7), (0, 1, 2, 7), (1, 1, 2, 7)]);
    }

    #[test]
    fn a_socket_that_takes_no_more_loses_its_packets_and_no_others() {
        let mut lanes = lanes(1 << 16, 2);
        for lane in [0, 0, 1, 0] {
            push(&mut lanes, lane, to(1), 1, 10);
        }
        let mut went = 0;
        lanes.drain(|lane, _, queue| {
            queue.drain(&mut Offload::new(true), |messages| {
                if lane == 0 {
                    return Err(std::io::ErrorKind::WouldBlock.into());
                }
                went += messages.len();
                Ok(messages.len())
            })
        });
        assert_eq!((went, lanes.counters().dropped_full), (1, 3));
        assert!(sent(&mut lanes).is_empty());
    }

    #[test]
    fn what_has_no_room_or_no_lane_is_a_counted_drop() {
        let mut lanes = lanes(256, 1);
        assert!(push(&mut lanes, 0, to(1), 1, 200));
        assert!(!push(&mut lanes, 0, to(1), 1, 100));
        assert!(!push(&mut lanes, 5, to(1), 1, 10));
        assert_eq!(lanes.counters().dropped_full, 2);
        lanes.commit(10);
        assert_eq!(sent(&mut lanes).len(), 1);
    }
}
