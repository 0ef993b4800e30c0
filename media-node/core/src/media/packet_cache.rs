//! The last packets of one track in plaintext, shared by all its subscribers.
//!
//! A ring of bytes and a ring of entries, both allocated once. An entry is found by packet index and is valid until
//! its bytes or its slot are overwritten. Queued and resent packets are read from here: no copy per subscriber.

/// Entries of a ring; also the width in packets of what can be resent.
const ENTRIES: usize = 1024;

/// What subscribers get of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cached<'a> {
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    pub(crate) payload: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    index: u64,
    /// Where the payload starts, counted over the whole life of the ring.
    position: u64,
    timestamp: u32,
    len: u16,
    marker: bool,
}

/// No packet has this index.
const NO_INDEX: u64 = u64::MAX;

/// The ring.
#[derive(Debug)]
pub(crate) struct PacketCache {
    bytes: Box<[u8]>,
    entries: Box<[Entry]>,
    /// Bytes written so far, skips at the end of the ring included.
    written: u64,
}

impl PacketCache {
    /// A ring of `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        let empty = Entry { index: NO_INDEX, position: 0, timestamp: 0, len: 0, marker: false };
        Self {
            bytes: vec![0; capacity].into_boxed_slice(),
            entries: vec![empty; ENTRIES].into_boxed_slice(),
            written: 0,
        }
    }

    fn slot(index: u64) -> usize {
        (index % ENTRIES as u64) as usize
    }

    /// Keeps a packet. `false` when it can never fit.
    pub(crate) fn insert(&mut self, index: u64, packet: Cached<'_>) -> bool {
        let capacity = self.bytes.len() as u64;
        let (Ok(len), true) = (u16::try_from(packet.payload.len()), packet.payload.len() as u64 <= capacity) else {
            return false;
        };
        let mut position = self.written;
        let offset = position % capacity.max(1);
        if offset + u64::from(len) > capacity {
            // Payloads do not wrap: skip to the front.
            position += capacity - offset;
        }
        let start = (position % capacity.max(1)) as usize;
        if plenum_sansio::wire::put(&mut self.bytes, start, packet.payload).is_none() {
            return false;
        }
        self.written = position + u64::from(len);
        let Some(entry) = self.entries.get_mut(Self::slot(index)) else { return false };
        *entry = Entry { index, position, timestamp: packet.timestamp, len, marker: packet.marker };
        true
    }

    /// The packet with this index, when it is still there.
    pub(crate) fn get(&self, index: u64) -> Option<Cached<'_>> {
        let entry = self.entries.get(Self::slot(index)).filter(|entry| entry.index == index && index != NO_INDEX)?;
        let capacity = self.bytes.len() as u64;
        if self.written - entry.position > capacity {
            return None;
        }
        let start = (entry.position % capacity.max(1)) as usize;
        let payload = self.bytes.get(start..start + usize::from(entry.len))?;
        Some(Cached { marker: entry.marker, timestamp: entry.timestamp, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cached(payload: &[u8]) -> Cached<'_> {
        Cached { marker: payload.len() % 2 == 1, timestamp: payload.len() as u32, payload }
    }

    #[test]
    fn a_packet_is_there_until_its_bytes_are_overwritten() {
        let mut cache = PacketCache::new(100);
        assert!(cache.insert(1, cached(&[1; 40])));
        assert!(cache.insert(2, cached(&[2; 40])));
        assert_eq!(cache.get(1), Some(cached(&[1; 40])));
        assert!(cache.insert(3, cached(&[3; 40])));
        assert_eq!(cache.get(1), None);
        assert_eq!(cache.get(2), Some(cached(&[2; 40])));
        assert!(!cache.insert(4, cached(&[4; 101])));
    }

    #[test]
    fn a_slot_holds_one_packet() {
        let mut cache = PacketCache::new(10_000);
        assert!(cache.insert(5, cached(&[1])));
        assert!(cache.insert(5 + ENTRIES as u64, cached(&[2])));
        assert_eq!(cache.get(5), None);
        assert_eq!(cache.get(NO_INDEX), None);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_put(sizes in proptest::collection::vec(0usize..200, 1..200)) {
            let mut cache = PacketCache::new(1_000);
            let packets: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, size)| vec![i as u8; *size]).collect();
            for (index, packet) in packets.iter().enumerate() {
                prop_assert!(cache.insert(index as u64, cached(packet)));
                prop_assert_eq!(cache.get(index as u64), Some(cached(packet)));
                for (older, packet) in packets.iter().enumerate().take(index) {
                    if let Some(found) = cache.get(older as u64) {
                        prop_assert_eq!(found, cached(packet));
                    }
                }
            }
        }
    }
}
