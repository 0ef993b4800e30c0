//! RTP headers (RFC 3550) and their extensions (RFC 8285). Parses views of a packet; owns nothing.

pub mod extension;

use plenum_sansio::wire::{u8_at, u16_at, u32_at};

/// Length of a header without CSRCs and extensions, in bytes.
pub const MIN_HEADER: usize = 12;
/// Largest RTP packet that is taken or made, in bytes.
pub const MAX_PACKET: usize = 1500;

/// A parsed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// End of a frame (video), start of a talkspurt (audio).
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Media time, in units of the codec's clock.
    pub timestamp: u32,
    /// Source.
    pub ssrc: u32,
    /// The payload ends with padding.
    pub padding: bool,
    /// Profile of the header extension, when there is one.
    pub extension_profile: Option<u16>,
    /// Where the extension's elements start, in bytes from the start of the packet.
    extension_start: usize,
    /// Length of the whole header in bytes, CSRCs and extension included.
    pub len: usize,
}

impl RtpHeader {
    /// Parses the header of an RTP or SRTP packet. `None` when it is malformed.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let first = u8_at(packet, 0)?;
        let second = u8_at(packet, 1)?;
        if first >> 6 != 2 {
            return None;
        }
        let mut len = MIN_HEADER + 4 * usize::from(first & 0x0f);
        let mut extension_profile = None;
        let mut extension_start = len;
        if first & 0x10 != 0 {
            extension_profile = Some(u16_at(packet, len)?);
            let words = usize::from(u16_at(packet, len + 2)?);
            extension_start = len + 4;
            len = extension_start + 4 * words;
        }
        if packet.len() < len {
            return None;
        }
        Some(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16_at(packet, 2)?,
            timestamp: u32_at(packet, 4)?,
            ssrc: u32_at(packet, 8)?,
            padding: first & 0x20 != 0,
            extension_profile,
            extension_start,
            len,
        })
    }

    /// The value of extension element `id` in `packet`, which this header was parsed from.
    #[must_use]
    pub fn extension<'a>(&self, packet: &'a [u8], id: u8) -> Option<&'a [u8]> {
        let elements = packet.get(self.extension_start..self.len)?;
        extension::find(self.extension_profile?, elements, id)
    }

    /// `payload` (decrypted) without its padding. `None` when the padding is longer than the payload.
    #[must_use]
    pub fn without_padding<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        if !self.padding {
            return Some(payload);
        }
        let padding = usize::from(*payload.last()?);
        if padding == 0 {
            return None;
        }
        payload.get(..payload.len().checked_sub(padding)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_with_csrc_and_extension_is_measured_whole() {
        let mut packet = vec![0x91, 0xe0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 1, 2, 3, 4];
        packet.extend([0xbe, 0xde, 0, 1, 0x40, b'0', 0, 0, 0xaa]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!((header.len, header.payload_type, header.marker), (24, 0x60, true));
        assert_eq!((header.sequence, header.timestamp, header.ssrc), (7, 9, 5));
        assert_eq!(header.extension(&packet, 4), Some(&b"0"[..]));
        assert_eq!(header.extension(&packet, 5), None);
    }

    #[test]
    fn padding_longer_than_the_payload_is_refused() {
        let header = RtpHeader::parse(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        assert_eq!(header.without_padding(&[1, 2, 0, 2]), Some(&[1, 2][..]));
        assert_eq!(header.without_padding(&[1, 9]), None);
        assert_eq!(header.without_padding(&[]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(packet in proptest::collection::vec(any::<u8>(), 0..200), id in any::<u8>()) {
            if let Some(header) = RtpHeader::parse(&packet) {
                prop_assert!(header.len <= packet.len());
                std::hint::black_box(header.extension(&packet, id));
                std::hint::black_box(header.without_padding(&packet[header.len..]));
            }
        }
    }
}
