//! One track of a publisher: from packets of its source to a steady sequence that all subscribers share.
//!
//! The sequence of a track goes on when the publisher changes its SSRC. No index is ever used for two packets, which
//! is what makes a resend bit-exact and keeps the subscribers' ciphers from meeting a nonce twice.

use super::clock;
use super::missing::{Missing, Outcome};
use super::packet_cache::{Cached, PacketCache};
use super::receive_stats::{ReceiveStats, ReportSeen};
use crate::rtcp::SenderInfo;
use crate::rtp::RtpHeader;
use crate::sdp::{Codec, MediaKind};
use std::time::{Duration, Instant};

/// Largest cache of a video track, in bytes.
const MAX_CACHE: usize = 2 << 20;
/// Most packets that wait for one flush.
const MAX_PENDING: usize = 1024;
/// How long a source must be silent before another SSRC may take its place.
const SOURCE_SILENCE: Duration = Duration::from_secs(2);

/// Where the packets come from now.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    /// Added to the source's packet indices.
    index_offset: u64,
    /// Added to the source's timestamps.
    timestamp_offset: u32,
    last_packet: Instant,
    ended: bool,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// Queued for the subscribers.
    Queued {
        /// It is the first of its source.
        first: bool,
        /// Packets are lost for good: a keyframe is needed.
        gave_up: bool,
    },
    /// Another source still sends on this track.
    OtherSource,
    /// Larger than the cache.
    TooLarge,
    /// Too many wait for the flush. It is kept for resends.
    QueueFull,
}

/// One track.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) kind: MediaKind,
    pub(crate) mid: String,
    pub(crate) codec: Codec,
    pub(crate) cache: PacketCache,
    pub(crate) stats: ReceiveStats,
    pub(crate) missing: Missing,
    /// Indices that wait for the flush, in order of arrival.
    pub(crate) pending: Vec<u64>,
    clock_rate: u32,
    source: Option<Source>,
    /// No index below this one belongs to the present source.
    floor: u64,
    next: u64,
    last_timestamp: u32,
}

impl Track {
    /// `max_kbps` (0: unbounded) sizes the cache: about two seconds of it.
    pub(crate) fn new(kind: MediaKind, mid: String, codec: Codec, max_kbps: u32) -> Self {
        let (clock_rate, capacity) = match kind {
            MediaKind::Audio => (48_000, 64 << 10),
            _ if max_kbps == 0 => (90_000, MAX_CACHE),
            _ => (90_000, (max_kbps as usize * 250).clamp(256 << 10, MAX_CACHE)),
        };
        Self {
            kind,
            mid,
            codec,
            cache: PacketCache::new(capacity),
            stats: ReceiveStats::default(),
            missing: Missing::new(),
            pending: Vec::with_capacity(MAX_PENDING),
            clock_rate,
            source: None,
            floor: 0,
            next: 0,
            last_timestamp: 0,
        }
    }

    /// SSRC of the present source.
    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// An authentic packet. `index` counts the packets of its SSRC; `arrival` is in ticks of the media clock.
    pub(crate) fn receive(&mut self, now: Instant, header: &RtpHeader, index: u64, payload: &[u8]) -> Received {
        let Some(first) = self.admit(now, header, index) else { return Received::OtherSource };
        let Some((index, timestamp)) = self.map(now, header, index) else { return Received::OtherSource };
        let gave_up = self.missing.received(index, now) == Outcome::GiveUp;
        if !self.cache.insert(index, Cached { marker: header.marker, timestamp, payload }) {
            return Received::TooLarge;
        }
        if self.pending.len() >= MAX_PENDING {
            return Received::QueueFull;
        }
        self.pending.push(index);
        Received::Queued { first, gave_up: gave_up && self.kind == MediaKind::Video }
    }

    /// An authentic packet that is dropped on purpose: it counts as received, so that it is not asked for again.
    pub(crate) fn skip(&mut self, now: Instant, header: &RtpHeader, index: u64) {
        if self.ssrc() == Some(header.ssrc)
            && let Some((index, _)) = self.map(now, header, index)
        {
            // A hole here was made by the drop; asking for a keyframe would only add to the excess.
            let _outcome = self.missing.received(index, now);
        }
    }

    /// Reception statistics, in the source's own terms.
    pub(crate) fn count(&mut self, epoch: Instant, now: Instant, header: &RtpHeader, index: u64) {
        if self.ssrc() == Some(header.ssrc) {
            let arrival = clock::ticks(now.saturating_duration_since(epoch), self.clock_rate);
            self.stats.received(index, header.timestamp, arrival);
        }
    }

    /// Makes the packet's SSRC the source, if it may be. `Some(true)`: it has just become it.
    fn admit(&mut self, now: Instant, header: &RtpHeader, index: u64) -> Option<bool> {
        let (index_offset, timestamp_offset) = match &self.source {
            None => (0, 0),
            Some(source) if source.ssrc == header.ssrc => return Some(false),
            Some(source) => {
                let silence = now.saturating_duration_since(source.last_packet);
                if !source.ended && silence < SOURCE_SILENCE {
                    return None;
                }
                let timestamp = self.last_timestamp.wrapping_add(clock::ticks(silence, self.clock_rate).max(1));
                (self.next.wrapping_sub(index), timestamp.wrapping_sub(header.timestamp))
            }
        };
        self.floor = self.next;
        self.stats = ReceiveStats::default();
        self.missing.reset();
        self.source =
            Some(Source { ssrc: header.ssrc, index_offset, timestamp_offset, last_packet: now, ended: false });
        Some(true)
    }

    /// Index and timestamp in the track's own sequence. `None` when the index belongs to an earlier source.
    fn map(&mut self, now: Instant, header: &RtpHeader, index: u64) -> Option<(u64, u32)> {
        let source = self.source.as_mut()?;
        source.last_packet = now;
        let index = index.wrapping_add(source.index_offset);
        // The upper half are indices below zero.
        if index < self.floor || index > u64::MAX / 2 {
            return None;
        }
        let timestamp = header.timestamp.wrapping_add(source.timestamp_offset);
        if index >= self.next {
            self.next = index + 1;
            self.last_timestamp = timestamp;
        }
        Some((index, timestamp))
    }

    /// A sender report of `ssrc`.
    pub(crate) fn sender_report(&mut self, now: Instant, ssrc: u32, info: SenderInfo) {
        if self.ssrc() == Some(ssrc) {
            self.stats.sender_report = Some(ReportSeen { info, at: now });
        }
    }

    /// `ssrc` says goodbye: another source may take over at once.
    pub(crate) fn goodbye(&mut self, ssrc: u32) {
        if let Some(source) = self.source.as_mut().filter(|source| source.ssrc == ssrc) {
            source.ended = true;
        }
    }

    /// The publisher's clocks at `now`: NTP time, and timestamp in the track's own sequence. From its last sender
    /// report, so that audio and video of one publisher stay in sync at its subscribers.
    pub(crate) fn clocks(&self, now: Instant) -> Option<(u64, u32)> {
        let seen = self.stats.sender_report?;
        let source = self.source.as_ref()?;
        let since = now.saturating_duration_since(seen.at);
        let ntp = seen.info.ntp.wrapping_add(clock::duration_to_ntp(since));
        let rtp = seen.info.rtp.wrapping_add(source.timestamp_offset);
        Some((ntp, rtp.wrapping_add(clock::ticks(since, self.clock_rate))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ssrc: u32, sequence: u16, timestamp: u32) -> RtpHeader {
        let mut packet = vec![0x80, 96];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        RtpHeader::parse(&packet).unwrap()
    }

    fn track() -> Track {
        let codec = Codec { payload_type: 96, nack: true, picture_loss: true, full_intra: true, max_bitrate: true };
        Track::new(MediaKind::Video, "1".into(), codec, 1_000)
    }

    #[test]
    fn a_new_source_goes_on_where_the_old_one_ended() {
        let start = plenum_testing::some_moment();
        let mut track = track();
        for index in [100u64, 101, 102] {
            track.receive(start, &header(1, index as u16, 9_000), index, b"old");
        }
        let soon = start + Duration::from_millis(100);
        assert_eq!(track.receive(soon, &header(2, 7, 5), 7, b"new"), Received::OtherSource);
        let later = start + Duration::from_secs(3);
        let received = track.receive(later, &header(2, 7, 5), 7, b"new");
        assert_eq!(received, Received::Queued { first: true, gave_up: false });
        assert_eq!(track.pending, [100, 101, 102, 103]);
        assert_eq!(track.cache.get(103).unwrap().timestamp, 9_000 + 270_000);
        // What comes late from before the new source's first packet would collide with the old one's indices.
        assert_eq!(track.receive(later, &header(2, 6, 5), 6, b"late"), Received::OtherSource);
        assert_eq!(track.cache.get(102).unwrap().payload, b"old");
    }

    #[test]
    fn a_goodbye_lets_the_next_source_in_at_once() {
        let start = plenum_testing::some_moment();
        let mut track = track();
        track.receive(start, &header(1, 1, 0), 1, b"x");
        track.goodbye(1);
        assert!(matches!(track.receive(start, &header(2, 9, 0), 9, b"y"), Received::Queued { first: true, .. }));
    }

    #[test]
    fn the_clocks_run_on_from_the_last_sender_report() {
        let start = plenum_testing::some_moment();
        let mut track = track();
        track.receive(start, &header(1, 1, 1_000), 1, b"x");
        assert_eq!(track.clocks(start), None);
        let info = SenderInfo { ntp: 5 << 32, rtp: 1_000, packets: 0, octets: 0 };
        track.sender_report(start, 1, info);
        assert_eq!(track.clocks(start + Duration::from_secs(2)), Some((7 << 32, 181_000)));
    }
}
