//! Reads a compound packet by packet.

use super::{block, format, kind};
use plenum_sansio::wire::{take, u8_at, u16_at, u32_at, u64_at};

/// Most packets of one compound that are looked at.
const MAX_PACKETS: usize = 32;

/// The rest of the compound cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed RTCP")]
pub struct Malformed;

/// One packet of a compound, as far as the engine cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Sender report.
    SenderReport {
        /// Whose.
        ssrc: u32,
        /// Clock mapping and totals.
        info: SenderInfo,
        /// What it receives.
        reports: Reports<'a>,
    },
    /// Receiver report.
    ReceiverReport {
        /// What it receives.
        reports: Reports<'a>,
    },
    /// Sources that say goodbye.
    Goodbye(Words<'a>),
    /// Lost packets.
    Nack {
        /// Whose packets.
        media_ssrc: u32,
        /// Which.
        lost: Nacks<'a>,
    },
    /// Picture loss indication.
    PictureLoss {
        /// Of which source.
        media_ssrc: u32,
    },
    /// Full intra request: one entry per source, SSRC first.
    FullIntra(FullIntra<'a>),
    /// Receiver estimated maximum bit rate, bit/s.
    MaxBitrate(u64),
    /// Delay since the last receiver reference time: blocks of an extended report.
    DelaySinceLast(Delays<'a>),
    /// Anything else.
    Other,
}

/// Second part of a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time, 32.32 fixed point seconds.
    pub ntp: u64,
    /// The same moment in media time.
    pub rtp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// Reception of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost in all, 24 bits signed.
    pub lost: i32,
    /// Highest sequence number with its cycles.
    pub highest: u32,
    /// Jitter in media time.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0: none.
    pub last_sender_report: u32,
    /// Since that report, in 1/65536 s.
    pub delay: u32,
}

/// Iterates the packets of a compound.
pub struct Compound<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Compound<'a> {
    /// Of decrypted bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, left: MAX_PACKETS }
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Packet<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.left.checked_sub(1).and_then(|left| {
            self.left = left;
            let words = usize::from(u16_at(self.rest, 2)?);
            parse_packet(take(&mut self.rest, 4 * (words + 1))?)
        });
        if packet.is_none() {
            self.rest = &[];
        }
        Some(packet.ok_or(Malformed))
    }
}

fn parse_packet(packet: &[u8]) -> Option<Packet<'_>> {
    let first = u8_at(packet, 0)?;
    if first >> 6 != 2 {
        return None;
    }
    let count = first & 0x1f;
    Some(match (u8_at(packet, 1)?, count) {
        (kind::SENDER_REPORT, _) => {
            let info = SenderInfo {
                ntp: u64_at(packet, 8)?,
                rtp: u32_at(packet, 16)?,
                packets: u32_at(packet, 20)?,
                octets: u32_at(packet, 24)?,
            };
            Packet::SenderReport { ssrc: u32_at(packet, 4)?, info, reports: Reports::new(packet, 28, count)? }
        }
        (kind::RECEIVER_REPORT, _) => Packet::ReceiverReport { reports: Reports::new(packet, 8, count)? },
        (kind::GOODBYE, _) => Packet::Goodbye(Words(packet.get(4..4 + 4 * usize::from(count))?)),
        (kind::TRANSPORT_FEEDBACK, format::NACK) => {
            Packet::Nack { media_ssrc: u32_at(packet, 8)?, lost: Nacks(packet.get(12..)?) }
        }
        (kind::PAYLOAD_FEEDBACK, format::PICTURE_LOSS) => Packet::PictureLoss { media_ssrc: u32_at(packet, 8)? },
        (kind::PAYLOAD_FEEDBACK, format::FULL_INTRA) => Packet::FullIntra(FullIntra(packet.get(12..)?)),
        (kind::PAYLOAD_FEEDBACK, format::APPLICATION) => parse_application(packet)?,
        (kind::EXTENDED_REPORT, _) => parse_extended(packet.get(8..)?)?,
        _ => Packet::Other,
    })
}

/// REMB (draft-alvestrand-rmcat-remb-03, section 2.2), or something that is not ours.
fn parse_application(packet: &[u8]) -> Option<Packet<'_>> {
    if packet.get(12..16)? != b"REMB" {
        return Some(Packet::Other);
    }
    let word = u32_at(packet, 16)?;
    let exponent = word >> 18 & 0x3f;
    let mantissa = u64::from(word & 0x3_ffff);
    let bitrate = mantissa.checked_shl(exponent).filter(|rate| rate >> exponent == mantissa);
    Some(Packet::MaxBitrate(bitrate.unwrap_or(u64::MAX)))
}

fn parse_extended(blocks: &[u8]) -> Option<Packet<'_>> {
    let mut rest = blocks;
    while !rest.is_empty() {
        let kind = u8_at(rest, 0)?;
        let words = usize::from(u16_at(rest, 2)?);
        let body = take(&mut rest, 4 * (words + 1))?;
        if kind == block::DELAY_SINCE_LAST {
            return Some(Packet::DelaySinceLast(Delays(body.get(4..)?)));
        }
    }
    Some(Packet::Other)
}

/// Report blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reports<'a>(&'a [u8]);

impl<'a> Reports<'a> {
    fn new(packet: &'a [u8], at: usize, count: u8) -> Option<Self> {
        packet.get(at..at + 24 * usize::from(count)).map(Self)
    }

    /// The blocks.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + 'a {
        self.0.chunks_exact(24).filter_map(|block| {
            let word = u32_at(block, 4)?;
            Some(ReportBlock {
                ssrc: u32_at(block, 0)?,
                fraction_lost: u8_at(block, 4)?,
                lost: ((word << 8) as i32) >> 8,
                highest: u32_at(block, 8)?,
                jitter: u32_at(block, 12)?,
                last_sender_report: u32_at(block, 16)?,
                delay: u32_at(block, 20)?,
            })
        })
    }
}

/// SSRCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    /// The SSRCs.
    pub fn iter(&self) -> impl Iterator<Item = u32> + 'a {
        self.0.chunks_exact(4).filter_map(|word| u32_at(word, 0))
    }
}

/// Entries of a generic NACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nacks<'a>(&'a [u8]);

impl<'a> Nacks<'a> {
    /// The lost sequence numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + 'a {
        let pairs = self.0.chunks_exact(4).filter_map(|pair| Some((u16_at(pair, 0)?, u16_at(pair, 2)?)));
        pairs.flat_map(|(first, mask)| {
            let following = (0..16u16).filter(move |bit| mask >> bit & 1 == 1);
            std::iter::once(first).chain(following.map(move |bit| first.wrapping_add(bit + 1)))
        })
    }
}

/// Entries of a full intra request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullIntra<'a>(&'a [u8]);

impl<'a> FullIntra<'a> {
    /// The sources that are to send a keyframe.
    pub fn iter(&self) -> impl Iterator<Item = u32> + 'a {
        self.0.chunks_exact(8).filter_map(|entry| u32_at(entry, 0))
    }
}

/// Sub-blocks of a DLRR block: (SSRC, last receiver reference time, delay in 1/65536 s).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays<'a>(&'a [u8]);

impl<'a> Delays<'a> {
    /// The sub-blocks.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, u32)> + 'a {
        self.0.chunks_exact(12).filter_map(|sub| Some((u32_at(sub, 0)?, u32_at(sub, 4)?, u32_at(sub, 8)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_picture_loss_behind_a_receiver_report_is_seen() {
        let mut bytes = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
        bytes.extend([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9]);
        let packets: Vec<_> = Compound::new(&bytes).collect();
        assert!(matches!(packets[0], Ok(Packet::ReceiverReport { .. })));
        assert_eq!(packets[1], Ok(Packet::PictureLoss { media_ssrc: 9 }));
    }

    #[test]
    fn a_nack_names_the_first_and_those_in_its_mask() {
        let bytes = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0x80, 0x01];
        let Some(Ok(Packet::Nack { media_ssrc: 9, lost })) = Compound::new(&bytes).next() else { panic!() };
        assert_eq!(lost.iter().collect::<Vec<_>>(), [0xffff, 0, 15]);
    }

    #[test]
    fn a_length_beyond_the_end_is_malformed_and_ends_the_walk() {
        let bytes = [0x80, 201, 0, 9, 0, 0, 0, 1];
        assert_eq!(Compound::new(&bytes).collect::<Vec<_>>(), [Err(Malformed)]);
    }

    #[test]
    fn a_huge_bitrate_estimate_does_not_overflow() {
        let bytes = [0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0xff, 0xff, 0xff];
        assert_eq!(Compound::new(&bytes).next(), Some(Ok(Packet::MaxBitrate(u64::MAX))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            walk(&bytes);
        }

        #[test]
        fn plausible_packets_never_panic(
            kind in 200u8..208, count in 0u8..32, body in proptest::collection::vec(any::<u8>(), 0..80)
        ) {
            let words = (body.len() / 4) as u16;
            let mut bytes = vec![0x80 | count, kind];
            bytes.extend(words.to_be_bytes());
            bytes.extend(&body);
            walk(&bytes);
        }
    }

    fn walk(bytes: &[u8]) {
        for packet in Compound::new(bytes).flatten() {
            let items = match packet {
                Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports } => reports.iter().count(),
                Packet::Goodbye(words) => words.iter().count(),
                Packet::Nack { lost, .. } => lost.iter().count(),
                Packet::FullIntra(entries) => entries.iter().count(),
                Packet::DelaySinceLast(delays) => delays.iter().count(),
                _ => 0,
            };
            assert!(items <= 17 * bytes.len());
        }
    }
}
