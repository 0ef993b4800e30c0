//! The framing of STUN messages (RFC 8489): header, attributes, FINGERPRINT, MESSAGE-INTEGRITY.
//!
//! Which attributes a message must have, and what they mean, is for its reader to decide.

pub mod address;

use crate::wire::{array_at, u16_at, u32_at};
use aws_lc_rs::{constant_time, hmac};

/// What every message has at its fifth byte.
pub const MAGIC_COOKIE: u32 = 0x2112_a442;
/// Bytes before the attributes.
pub const HEADER: usize = 20;
/// Bytes of the value of MESSAGE-INTEGRITY.
pub const INTEGRITY_LEN: usize = 20;
/// RFC 8489, section 14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554e;
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// Attribute types that engines read or write.
pub mod attribute {
    #![allow(missing_docs, reason = "names of the IANA registry of STUN attributes")]
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    pub const USERNAME: u16 = 0x0006;
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub const ERROR_CODE: u16 = 0x0009;
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub const CHANNEL_NUMBER: u16 = 0x000c;
    pub const LIFETIME: u16 = 0x000d;
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub const DATA: u16 = 0x0013;
    pub const REALM: u16 = 0x0014;
    pub const NONCE: u16 = 0x0015;
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub const EVEN_PORT: u16 = 0x0018;
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub const RESERVATION_TOKEN: u16 = 0x0022;
    pub const USE_CANDIDATE: u16 = 0x0025;
    pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
    pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
    pub const SOFTWARE: u16 = 0x8022;
    pub const FINGERPRINT: u16 = 0x8028;
    pub const ICE_CONTROLLED: u16 = 0x8029;
}

/// Methods of RFC 8489 and 8656.
pub mod method {
    #![allow(missing_docs, reason = "names of the IANA registry of STUN methods")]
    pub const BINDING: u16 = 0x001;
    pub const ALLOCATE: u16 = 0x003;
    pub const REFRESH: u16 = 0x004;
    pub const SEND: u16 = 0x006;
    pub const DATA: u16 = 0x007;
    pub const CREATE_PERMISSION: u16 = 0x008;
    pub const CHANNEL_BIND: u16 = 0x009;
}

/// The kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// Answer.
    Success,
    /// Refusal.
    Error,
}

/// What stands before the attributes of a whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which kind.
    pub class: Class,
    /// See [`method`].
    pub method: u16,
    /// Transaction.
    pub transaction: [u8; 12],
}

impl Header {
    /// Parses it. `None` when `message` is not STUN, or not one whole message.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let kind = u16_at(message, 0)?;
        let len = usize::from(u16_at(message, 2)?);
        let whole = len.is_multiple_of(4) && message.len() == HEADER + len;
        if kind & 0xc000 != 0 || u32_at(message, 4)? != MAGIC_COOKIE || !whole {
            return None;
        }
        let class = match kind & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        };
        let method = kind & 0x000f | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2;
        Some(Self { class, method, transaction: array_at(message, 8)? })
    }
}

/// An attribute where it stands in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// See [`attribute`].
    pub kind: u16,
    /// Without padding.
    pub value: &'a [u8],
    /// Where the next one begins, or the message ends.
    pub next: usize,
}

impl<'a> Attribute<'a> {
    /// The attribute that begins at `at`. `None` when it is not there as a whole, padding included.
    #[must_use]
    pub fn at(message: &'a [u8], at: usize) -> Option<Self> {
        let kind = u16_at(message, at)?;
        let len = usize::from(u16_at(message, at + 2)?);
        let next = at + 4 + len.next_multiple_of(4);
        let value = message.get(at + 4..at + 4 + len)?;
        (next <= message.len()).then_some(Self { kind, value, next })
    }
}

/// FINGERPRINT of what stands before it.
#[must_use]
pub fn fingerprint(before: &[u8]) -> u32 {
    CRC.checksum(before) ^ FINGERPRINT_XOR
}

/// The value of a MESSAGE-INTEGRITY that begins at `at`, made with `key` (RFC 8489, section 14.5). `None` when no
/// message is that short or long.
#[must_use]
pub fn integrity(message: &[u8], at: usize, key: &[u8]) -> Option<[u8; INTEGRITY_LEN]> {
    // The length field covers everything up to and with the integrity attribute.
    let len = u16::try_from((at + 4 + INTEGRITY_LEN).checked_sub(HEADER)?).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    context.update(message.get(..2)?);
    context.update(&len.to_be_bytes());
    context.update(message.get(4..at)?);
    array_at(context.sign().as_ref(), 0)
}

/// Whether the MESSAGE-INTEGRITY that begins at `at` was made with `key`.
#[must_use]
pub fn integrity_holds(message: &[u8], at: usize, key: &[u8]) -> bool {
    let told = array_at::<INTEGRITY_LEN>(message, at + 4);
    let wanted = integrity(message, at, key);
    told.zip(wanted).is_some_and(|(told, wanted)| constant_time::verify_slices_are_equal(&told, &wanted).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_testing::rfc5769::{PASSWORD, REQUEST};

    fn attributes(message: &[u8]) -> Vec<(usize, Attribute<'_>)> {
        let first = Attribute::at(message, HEADER).map(|attribute| (HEADER, attribute));
        std::iter::successors(first, |(_, last)| Some((last.next, Attribute::at(message, last.next)?))).collect()
    }

    #[test]
    fn the_test_vector_of_rfc_5769_is_taken_apart() {
        let Header { class, method, transaction } = Header::parse(REQUEST).unwrap();
        assert_eq!((class, method, &transaction[..4]), (Class::Request, method::BINDING, &b"\xb7\xe7\xa7\x01"[..]));
        let found = attributes(REQUEST);
        assert_eq!(found.len(), 6);
        assert_eq!((found[3].1.kind, found[3].1.value), (attribute::USERNAME, &b"evtj:h6vY"[..]));
        let (integrity_at, integrity) = found[4];
        assert_eq!(integrity.kind, attribute::MESSAGE_INTEGRITY);
        assert!(integrity_holds(REQUEST, integrity_at, PASSWORD.as_bytes()));
        assert!(!integrity_holds(REQUEST, integrity_at, b"another password"));
        let (fingerprint_at, last) = found[5];
        assert_eq!((last.kind, last.next), (attribute::FINGERPRINT, REQUEST.len()));
        assert_eq!(last.value, fingerprint(&REQUEST[..fingerprint_at]).to_be_bytes());
    }

    #[test]
    fn a_part_of_a_message_is_no_message() {
        for len in 0..REQUEST.len() {
            assert_eq!(Header::parse(&REQUEST[..len]), None, "{len}");
            assert!(attributes(&REQUEST[..len]).len() < 6, "{len}");
        }
        for at in [0, 5, 19, REQUEST.len() - 4, REQUEST.len(), usize::from(u16::MAX)] {
            assert!(!integrity_holds(REQUEST, at, PASSWORD.as_bytes()), "{at}");
        }
    }

    #[test]
    fn methods_and_classes_are_interleaved() {
        for (kind, method, class) in [
            (0x0001, method::BINDING, Class::Request),
            (0x0017, method::DATA, Class::Indication),
            (0x0103, method::ALLOCATE, Class::Success),
            (0x0119, method::CHANNEL_BIND, Class::Error),
            (0x3eef, 0xfff, Class::Request),
        ] {
            let mut message = [0; HEADER];
            message[..2].copy_from_slice(&u16::to_be_bytes(kind));
            message[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            let header = Header::parse(&message).unwrap();
            assert_eq!((header.method, header.class), (method, class), "{kind:04x}");
        }
    }
}
