//! Writes a compound into a caller's buffer. What does not fit is left out, packet by packet.

use super::{ReportBlock, SenderInfo, block, format, kind};
use plenum_sansio::wire::put;

/// Appends RTCP packets to a buffer.
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the front of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends one packet: header, then `body`. Returns whether it fitted.
    fn packet<'b>(&mut self, kind: u8, count: u8, body: impl Iterator<Item = &'b [u8]>) -> bool {
        let start = self.len;
        let mut at = start + 4;
        for part in body {
            if put(self.buffer, at, part).is_none() {
                return false;
            }
            at += part.len();
        }
        while !(at - start).is_multiple_of(4) {
            if put(self.buffer, at, &[0]).is_none() {
                return false;
            }
            at += 1;
        }
        let Ok(words) = u16::try_from((at - start) / 4 - 1) else { return false };
        let [high, low] = words.to_be_bytes();
        if put(self.buffer, start, &[0x80 | count & 0x1f, kind, high, low]).is_none() {
            return false;
        }
        self.len = at;
        true
    }

    /// Receiver report by `ssrc`, at most 31 blocks.
    pub fn receiver_report(&mut self, ssrc: u32, reports: &[ReportBlock]) -> bool {
        let reports = reports.get(..reports.len().min(31)).unwrap_or_default();
        let mut body = [0; 4 + 31 * 24];
        let len = fill(&mut body, &ssrc.to_be_bytes(), reports);
        let count = u8::try_from(reports.len()).unwrap_or(0);
        self.packet(kind::RECEIVER_REPORT, count, std::iter::once(body.get(..len).unwrap_or_default()))
    }

    /// Sender report by `ssrc`, without blocks.
    pub fn sender_report(&mut self, ssrc: u32, info: SenderInfo) -> bool {
        let SenderInfo { ntp, rtp, packets, octets } = info;
        let parts: [&[u8]; 5] = [
            &ssrc.to_be_bytes(),
            &ntp.to_be_bytes(),
            &rtp.to_be_bytes(),
            &packets.to_be_bytes(),
            &octets.to_be_bytes(),
        ];
        self.packet(kind::SENDER_REPORT, 0, parts.into_iter())
    }

    /// Source description with a CNAME, at most 255 bytes.
    pub fn canonical_name(&mut self, ssrc: u32, name: &str) -> bool {
        let Ok(len) = u8::try_from(name.len()) else { return false };
        // A chunk ends with at least one zero byte.
        let parts: [&[u8]; 4] = [&ssrc.to_be_bytes(), &[1, len], name.as_bytes(), &[0]];
        self.packet(kind::SOURCE_DESCRIPTION, 1, parts.into_iter())
    }

    /// Generic NACK for `lost`, which is ascending (with wrap).
    pub fn nack(&mut self, ssrc: u32, media_ssrc: u32, lost: &[u16]) -> bool {
        let mut body = [0; 4 * 64];
        let mut len = 0;
        let mut rest = lost;
        while let Some((first, mut tail)) = rest.split_first() {
            let mut mask = 0u16;
            while let Some((next, after)) = tail.split_first() {
                let distance = next.wrapping_sub(*first);
                if !(1..=16).contains(&distance) {
                    break;
                }
                mask |= 1 << (distance - 1);
                tail = after;
            }
            rest = tail;
            let [f0, f1] = first.to_be_bytes();
            let [m0, m1] = mask.to_be_bytes();
            if put(&mut body, len, &[f0, f1, m0, m1]).is_none() {
                break;
            }
            len += 4;
        }
        let parts: [&[u8]; 3] = [&ssrc.to_be_bytes(), &media_ssrc.to_be_bytes(), body.get(..len).unwrap_or_default()];
        self.packet(kind::TRANSPORT_FEEDBACK, format::NACK, parts.into_iter())
    }

    /// Picture loss indication.
    pub fn picture_loss(&mut self, ssrc: u32, media_ssrc: u32) -> bool {
        let parts: [&[u8]; 2] = [&ssrc.to_be_bytes(), &media_ssrc.to_be_bytes()];
        self.packet(kind::PAYLOAD_FEEDBACK, format::PICTURE_LOSS, parts.into_iter())
    }

    /// REMB: `bitrate` in bit/s over all of `media_ssrcs`.
    pub fn max_bitrate(&mut self, ssrc: u32, bitrate: u64, media_ssrcs: &[u32]) -> bool {
        let exponent = (64 - bitrate.leading_zeros()).saturating_sub(18);
        let mantissa = u32::try_from(bitrate >> exponent & 0x3_ffff).unwrap_or(0);
        let count = u32::try_from(media_ssrcs.len()).unwrap_or(0) & 0xff;
        let word = (exponent << 18 | mantissa).to_be_bytes();
        let head = (count << 24 | u32::from_be_bytes(word)).to_be_bytes();
        let mut sources = [0; 4 * 8];
        let mut len = 0;
        for source in media_ssrcs {
            if put(&mut sources, len, &source.to_be_bytes()).is_none() {
                return false;
            }
            len += 4;
        }
        let parts: [&[u8]; 5] = [&ssrc.to_be_bytes(), &[0; 4], b"REMB", &head, sources.get(..len).unwrap_or_default()];
        self.packet(kind::PAYLOAD_FEEDBACK, format::APPLICATION, parts.into_iter())
    }

    /// Receiver reference time, so that a sender can tell us the round trip (RFC 3611, section 4.4).
    pub fn reference_time(&mut self, ssrc: u32, ntp: u64) -> bool {
        let parts: [&[u8]; 3] = [&ssrc.to_be_bytes(), &[block::RECEIVER_REFERENCE_TIME, 0, 0, 2], &ntp.to_be_bytes()];
        self.packet(kind::EXTENDED_REPORT, 0, parts.into_iter())
    }
}

fn fill(body: &mut [u8], ssrc: &[u8], reports: &[ReportBlock]) -> usize {
    let mut len = 0;
    let mut add = |bytes: &[u8]| {
        if put(body, len, bytes).is_some() {
            len += bytes.len();
        }
    };
    add(ssrc);
    for report in reports {
        let [_, l0, l1, l2] = report.lost.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
        add(&report.ssrc.to_be_bytes());
        add(&[report.fraction_lost, l0, l1, l2]);
        add(&report.highest.to_be_bytes());
        add(&report.jitter.to_be_bytes());
        add(&report.last_sender_report.to_be_bytes());
        add(&report.delay.to_be_bytes());
    }
    len
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Packet};
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut buffer = [0; 600];
        let mut writer = Writer::new(&mut buffer);
        let report =
            ReportBlock { ssrc: 5, fraction_lost: 9, lost: -3, highest: 70_000, jitter: 4, ..Default::default() };
        let info = SenderInfo { ntp: 1 << 40, rtp: 3, packets: 4, octets: 5 };
        assert!(writer.receiver_report(1, &[report]));
        assert!(writer.canonical_name(1, "plenum"));
        assert!(writer.sender_report(2, info));
        assert!(writer.nack(1, 5, &[10, 11, 26, 27, 400]));
        assert!(writer.picture_loss(1, 5));
        assert!(writer.max_bitrate(1, 2_000_000, &[5, 6]));
        assert!(writer.reference_time(1, 77));
        let len = writer.len();
        let packets: Vec<_> = Compound::new(&buffer[..len]).map(Result::unwrap).collect();
        let Packet::ReceiverReport { reports } = packets[0] else { panic!() };
        assert_eq!(reports.iter().collect::<Vec<_>>(), [report]);
        let Packet::SenderReport { ssrc: 2, info: read, .. } = packets[2] else { panic!() };
        assert_eq!(read, info);
        let Packet::Nack { lost, .. } = packets[3] else { panic!() };
        assert_eq!(lost.iter().collect::<Vec<_>>(), [10, 11, 26, 27, 400]);
        assert_eq!(packets[4], Packet::PictureLoss { media_ssrc: 5 });
        let Packet::MaxBitrate(rate) = packets[5] else { panic!() };
        assert!((1_990_000..=2_000_000).contains(&rate), "{rate}");
        assert_eq!(packets.len(), 7);
    }

    #[test]
    fn a_packet_that_does_not_fit_is_left_out_whole() {
        let mut buffer = [0; 14];
        let mut writer = Writer::new(&mut buffer);
        assert!(writer.picture_loss(1, 2));
        assert!(!writer.picture_loss(1, 2));
        assert_eq!(writer.len(), 12);
    }
}
