//! How many streams each source has, so that one cannot take all places.

use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// Streams of one source (IPv4 address, IPv6 /64) at one worker: an office behind one address fits.
const MAX_PER_SOURCE: u16 = 512;

/// A client's address, or what its owner can choose freely around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source(u128);

impl Source {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(u128::from(ip.to_bits())),
            IpAddr::V6(ip) => Self(ip.to_bits() >> 64 << 64 | 1 << 63),
        }
    }
}

/// Counts by source; as many entries as there are streams at most.
#[derive(Debug, Default)]
pub(super) struct Sources(FxHashMap<Source, u16>);

impl Sources {
    /// One stream more; `false` when the source has enough.
    pub(super) fn enter(&mut self, source: Source) -> bool {
        let count = self.0.entry(source).or_default();
        let room = *count < MAX_PER_SOURCE;
        *count += u16::from(room);
        room
    }

    /// One stream less.
    pub(super) fn leave(&mut self, source: Source) {
        if let Some(count) = self.0.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn a_source_has_so_many_streams_and_no_more() {
        let mut sources = Sources::default();
        assert!((0..MAX_PER_SOURCE).all(|_| sources.enter(source("192.0.2.1"))));
        assert!(!sources.enter(source("::ffff:192.0.2.1")));
        assert!(sources.enter(source("192.0.2.2")));
        sources.leave(source("192.0.2.1"));
        assert!(sources.enter(source("192.0.2.1")));
    }

    #[test]
    fn addresses_of_one_network_are_one_source_and_nothing_stays_behind() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        let mut sources = Sources::default();
        assert!(sources.enter(source("2001:db8::1")));
        sources.leave(source("2001:db8::2"));
        sources.leave(source("2001:db8::3"));
        assert!(sources.0.is_empty());
    }
}
