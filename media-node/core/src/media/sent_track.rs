//! One track as one subscriber gets it: its own SSRC, sequence numbers and timestamps, at a constant distance from
//! the publisher's track. Because the distance never changes, a packet is the same bytes each time it is sent.

use super::clock;
use super::packet_cache::Cached;
use super::track::Track;
use crate::rtcp::SenderInfo;
use crate::rtp::MIN_HEADER;
use crate::rtp::extension::MidExtension;
use plenum_sansio::wire::put;
use std::time::{Duration, Instant};

/// How many sender reports are remembered for round trips.
const REPORTS: usize = 4;

/// One track towards one subscriber.
#[derive(Debug)]
pub(crate) struct SentTrack {
    pub(crate) ssrc: u32,
    payload_type: u8,
    extension: MidExtension,
    /// First packet index that is sent; below 2^15, so that the first roll-over is not ambiguous.
    start: u64,
    timestamp_offset: u32,
    /// The publisher's index of the first packet that was forwarded.
    base: Option<u64>,
    highest: u64,
    packets: u32,
    octets: u32,
    reports: [Option<(u32, Instant)>; REPORTS],
    next_report: usize,
}

/// What a subscriber negotiated for a track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentTrackSpec {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    pub(crate) extension: MidExtension,
    /// Any number.
    pub(crate) random: u32,
}

impl SentTrack {
    pub(crate) fn new(spec: SentTrackSpec) -> Self {
        let start = u64::from(spec.random & 0x7fff);
        Self {
            ssrc: spec.ssrc,
            payload_type: spec.payload_type,
            extension: spec.extension,
            start,
            timestamp_offset: spec.random.rotate_left(16),
            base: None,
            highest: start,
            packets: 0,
            octets: 0,
            reports: [None; REPORTS],
            next_report: 0,
        }
    }

    /// Header and extension, in bytes.
    pub(crate) fn header_len(&self) -> usize {
        MIN_HEADER + self.extension.as_bytes().len()
    }

    /// The index under which the publisher's packet `index` is forwarded; the first call fixes the distance. `None`
    /// for packets from before that.
    pub(crate) fn forward(&mut self, index: u64) -> Option<u64> {
        let base = *self.base.get_or_insert(index);
        let out = self.start + index.checked_sub(base)?;
        self.highest = self.highest.max(out);
        Some(out)
    }

    /// The publisher's index of the packet that was sent with `sequence` lately.
    pub(crate) fn resolve(&self, sequence: u16) -> Option<(u64, u64)> {
        let back = u64::from((self.highest as u16).wrapping_sub(sequence));
        let out = self.highest.checked_sub(back).filter(|_| back < 0x8000)?;
        Some((out.checked_sub(self.start)? + self.base?, out))
    }

    /// Writes the packet that is sent under `out`, without protection. Returns its length; `None`: no room.
    pub(crate) fn write(&self, buffer: &mut [u8], out: u64, packet: Cached<'_>) -> Option<usize> {
        let marker = if packet.marker { 0x80 } else { 0 };
        put(buffer, 0, &[0x80 | self.extension.header_bit(), marker | self.payload_type])?;
        put(buffer, 2, &(out as u16).to_be_bytes())?;
        put(buffer, 4, &packet.timestamp.wrapping_add(self.timestamp_offset).to_be_bytes())?;
        put(buffer, 8, &self.ssrc.to_be_bytes())?;
        put(buffer, MIN_HEADER, self.extension.as_bytes())?;
        put(buffer, self.header_len(), packet.payload)?;
        Some(self.header_len() + packet.payload.len())
    }

    /// A packet went out for the first time.
    pub(crate) fn count(&mut self, payload_len: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
    }

    /// The next sender report; `None` before the publisher's first, since there is no clock to tell before.
    pub(crate) fn sender_report(&mut self, now: Instant, track: &Track) -> Option<SenderInfo> {
        self.base?;
        let (ntp, rtp) = track.clocks(now)?;
        if let Some(slot) = self.reports.get_mut(self.next_report) {
            *slot = Some((clock::middle(ntp), now));
        }
        self.next_report = (self.next_report + 1) % REPORTS;
        let rtp = rtp.wrapping_add(self.timestamp_offset);
        Some(SenderInfo { ntp, rtp, packets: self.packets, octets: self.octets })
    }

    /// The round trip that a report block tells (RFC 3550, section 6.4.1).
    pub(crate) fn round_trip(&self, now: Instant, last_report: u32, delay: u32) -> Option<Duration> {
        let (_, sent) = self.reports.iter().flatten().find(|(ntp, _)| *ntp == last_report)?;
        now.saturating_duration_since(*sent).checked_sub(clock::from_short(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(random: u32) -> SentTrack {
        SentTrack::new(SentTrackSpec { ssrc: 9, payload_type: 100, extension: MidExtension::new(4, b"1"), random })
    }

    #[test]
    fn sequence_numbers_resolve_to_the_publishers_index_across_the_roll_over() {
        let mut track = sent(0x7fff);
        for index in 1_000..70_000u64 {
            let out = track.forward(index).unwrap();
            assert_eq!(track.resolve(out as u16), Some((index, out)));
        }
        assert_eq!(track.resolve(track.highest as u16 - 100), Some((69_899, track.highest - 100)));
        assert_eq!(track.forward(999), None);
        assert_eq!(track.resolve((track.highest + 5) as u16), None);
    }

    #[test]
    fn a_packet_written_twice_is_the_same_bytes() {
        let mut track = sent(3);
        let out = track.forward(10).unwrap();
        let packet = Cached { marker: true, timestamp: 7, payload: b"payload" };
        let (mut first, mut second) = ([0; 64], [0xff; 64]);
        let len = track.write(&mut first, out, packet).unwrap();
        track.forward(11);
        track.count(7);
        assert_eq!(track.write(&mut second, out, packet), Some(len));
        assert_eq!(first[..len], second[..len]);
        assert_eq!(track.write(&mut [0; 10], out, packet), None);
    }
}
