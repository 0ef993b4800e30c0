//! ChannelData messages (RFC 8656, section 12.4), and where messages end in a stream.

use plenum_sansio::wire::u16_at;

/// Bytes before the payload.
pub const HEADER: usize = 4;
/// Largest message in a stream, padding included: UDP packets of the internet are far smaller, and a stream's buffer
/// need not be larger.
pub const MAX_FRAME: usize = 16 * 1024;
/// Channel numbers that clients may bind: those of RFC 5766, which its clients draw from. RFC 8656 keeps the upper ones
/// free for ports that other protocols share; ours are shared with STUN alone.
pub const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7fff;
/// What messages for [`CHANNELS`] begin with.
const FIRST_BYTES: std::ops::RangeInclusive<u8> = 0x40..=0x7f;
const STUN_HEADER: usize = 20;

/// A parsed ChannelData message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// Channel number.
    pub channel: u16,
    /// Payload without padding.
    pub payload: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Whether a message with this first byte is ChannelData: the first byte of a number of [`CHANNELS`].
    #[must_use]
    pub fn looks_so(message: &[u8]) -> bool {
        message.first().is_some_and(|first| FIRST_BYTES.contains(first))
    }

    /// Parses a message. `None` when it is malformed. What follows the payload is padding and ignored.
    #[must_use]
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let channel = u16_at(message, 0)?;
        if !CHANNELS.contains(&channel) {
            return None;
        }
        let len = usize::from(u16_at(message, 2)?);
        Some(Self { channel, payload: message.get(HEADER..HEADER + len)? })
    }
}

/// How many bytes a message with `payload` bytes takes, padded where `stream`.
#[must_use]
pub fn message_len(payload: usize, stream: bool) -> usize {
    if stream { HEADER + payload.next_multiple_of(4) } else { HEADER + payload }
}

/// Writes a message of [`message_len`] bytes. `None` when `target` is too small or the payload too large.
pub fn write(target: &mut [u8], channel: u16, payload: &[u8], stream: bool) -> Option<usize> {
    let len = u16::try_from(payload.len()).ok()?;
    let total = message_len(payload.len(), stream);
    let (header, rest) = target.get_mut(..total)?.split_first_chunk_mut::<HEADER>()?;
    let ([a, b], [c, d]) = (channel.to_be_bytes(), len.to_be_bytes());
    *header = [a, b, c, d];
    let (body, padding) = rest.split_at_mut_checked(payload.len())?;
    body.copy_from_slice(payload);
    padding.fill(0);
    Some(total)
}

/// Where the first message of a stream's bytes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// Not there yet: at least this many bytes must be there to know more. At most [`MAX_FRAME`].
    Need(usize),
    /// The first so many bytes are one message, padding included.
    Whole(usize),
    /// This is no TURN stream, or the message is too large: end it.
    Broken,
}

/// Finds the end of the first message in the bytes of a stream.
#[must_use]
pub fn frame_len(bytes: &[u8]) -> Frame {
    let Some(first) = bytes.first() else { return Frame::Need(HEADER) };
    let header = match first {
        0..=3 => STUN_HEADER,
        first if FIRST_BYTES.contains(first) => HEADER,
        _ => return Frame::Broken,
    };
    let Some(len) = u16_at(bytes, 2) else { return Frame::Need(HEADER) };
    let whole = header + usize::from(len).next_multiple_of(4);
    if whole > MAX_FRAME || (header == STUN_HEADER && !len.is_multiple_of(4)) {
        return Frame::Broken;
    }
    if bytes.len() < whole { Frame::Need(whole) } else { Frame::Whole(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_channel_looks_like_one_and_nothing_else_does() {
        for first in 0..=u8::MAX {
            let channel = u16::from_be_bytes([first, 0]);
            assert_eq!(ChannelData::looks_so(&[first, 0, 0, 0]), CHANNELS.contains(&channel), "{first}");
            let whole = Frame::Whole(HEADER);
            assert_eq!(frame_len(&[first, 0, 0, 0]) == whole, CHANNELS.contains(&channel), "{first}");
        }
    }

    #[test]
    fn a_stream_is_cut_into_padded_messages() {
        let mut stream = [0; 64];
        let len = write(&mut stream, 0x4001, b"hello", true).unwrap();
        assert_eq!(len, 12);
        for short in 0..4 {
            assert_eq!(frame_len(&stream[..short]), Frame::Need(4));
        }
        for short in 4..12 {
            assert_eq!(frame_len(&stream[..short]), Frame::Need(12));
        }
        assert_eq!(frame_len(&stream), Frame::Whole(12));
        let parsed = ChannelData::parse(&stream[..12]).unwrap();
        assert_eq!(parsed, ChannelData { channel: 0x4001, payload: b"hello" });
    }

    #[test]
    fn a_datagram_is_not_padded() {
        let mut buffer = [0; 9];
        assert_eq!(write(&mut buffer, 0x4fff, b"hello", false), Some(9));
        assert_eq!(ChannelData::parse(&buffer).unwrap().payload, b"hello");
        assert_eq!(ChannelData::parse(&buffer[..8]), None);
        assert_eq!(write(&mut buffer, 0x4fff, b"hello", true), None, "padding does not fit");
    }

    #[test]
    fn what_cannot_begin_a_message_breaks_the_stream() {
        assert_eq!(frame_len(b"GET / HTTP/1.1"), Frame::Broken, "its first bytes ask for a channel message too large");
        assert_eq!(frame_len(&[22, 3, 1, 0]), Frame::Broken, "TLS");
        assert_eq!(frame_len(&[128, 0, 0, 0]), Frame::Broken, "no channel number begins so");
        assert_eq!(frame_len(&[0x40, 0, 0xff, 0xff]), Frame::Broken, "too large");
        assert_eq!(frame_len(&[0, 1, 0, 3]), Frame::Broken, "STUN is a multiple of four");
    }

    proptest! {
        #[test]
        fn framing_never_asks_for_what_is_there_and_never_for_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            match frame_len(&bytes) {
                Frame::Need(len) => prop_assert!(len > bytes.len() && len <= MAX_FRAME),
                Frame::Whole(len) => prop_assert!(len <= bytes.len() && len >= HEADER),
                Frame::Broken => {}
            }
            if let Some(parsed) = ChannelData::parse(&bytes) {
                prop_assert!(ChannelData::looks_so(&bytes) && parsed.payload.len() + HEADER <= bytes.len());
            }
        }
    }
}
