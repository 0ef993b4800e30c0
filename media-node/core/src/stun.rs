//! STUN binding messages (RFC 8489, RFC 8445), as far as the demultiplexer needs them: whose it is, and whether it
//! is authentic. Answers are made by the ICE agent behind the transport.

use crate::wire::{array_at, u8_at, u16_at, u32_at};
use aws_lc_rs::hmac;
use std::net::{IpAddr, SocketAddr};

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
const MAGIC_COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
const MAX_ATTRIBUTES: usize = 32;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
/// RFC 8489, section 14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554e;
const ICE_CONTROLLED: u16 = 0x8029;
const INTEGRITY_LEN: usize = 20;

/// The kinds of binding messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A check.
    Request,
    /// Keep-alive without answer.
    Indication,
    /// Answer to a check of ours.
    Success,
    /// Refusal of a check of ours.
    Error,
}

/// A parsed binding message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Which kind.
    pub class: Class,
    /// Transaction.
    pub transaction: [u8; 12],
    /// USERNAME: `local:remote` from the receiver's point of view.
    pub username: Option<&'a str>,
    /// USE-CANDIDATE is there: the pair is nominated.
    pub use_candidate: bool,
    /// ICE-CONTROLLED is there: the sender does not think that it controls.
    pub controlled: bool,
    /// Where MESSAGE-INTEGRITY starts.
    integrity_at: Option<usize>,
    message: &'a [u8],
}

impl<'a> Binding<'a> {
    /// Parses a datagram. `None` when it is not a binding message or malformed.
    #[must_use]
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let class = match u16_at(message, 0)? {
            0x0001 => Class::Request,
            0x0011 => Class::Indication,
            0x0101 => Class::Success,
            0x0111 => Class::Error,
            _ => return None,
        };
        let len = usize::from(u16_at(message, 2)?);
        if u32_at(message, 4)? != MAGIC_COOKIE || !len.is_multiple_of(4) || message.len() != HEADER + len {
            return None;
        }
        let mut binding = Self {
            class,
            transaction: array_at(message, 8)?,
            username: None,
            use_candidate: false,
            controlled: false,
            integrity_at: None,
            message,
        };
        let mut at = HEADER;
        for _ in 0..MAX_ATTRIBUTES {
            if at == message.len() {
                return Some(binding);
            }
            let kind = u16_at(message, at)?;
            let len = usize::from(u16_at(message, at + 2)?);
            let value = message.get(at + 4..at + 4 + len)?;
            binding.attribute(kind, value, at)?;
            at += 4 + len.next_multiple_of(4);
        }
        None
    }

    fn attribute(&mut self, kind: u16, value: &'a [u8], at: usize) -> Option<()> {
        if self.integrity_at.is_some() {
            // Only FINGERPRINT may follow, and nothing after the integrity is trusted.
            return Some(());
        }
        match kind {
            USERNAME if self.username.is_none() => self.username = Some(std::str::from_utf8(value).ok()?),
            USE_CANDIDATE => self.use_candidate = true,
            ICE_CONTROLLED => self.controlled = true,
            MESSAGE_INTEGRITY if value.len() == INTEGRITY_LEN => self.integrity_at = Some(at),
            MESSAGE_INTEGRITY => return None,
            _ => {}
        }
        Some(())
    }

    /// The receiver's half of the username.
    #[must_use]
    pub fn local_ufrag(&self) -> Option<&'a str> {
        self.username?.split_once(':').map(|(local, _)| local)
    }

    /// Whether MESSAGE-INTEGRITY is there and made with `password` (RFC 8489, section 14.5).
    #[must_use]
    pub fn is_authentic(&self, password: &str) -> bool {
        self.integrity_holds(password).unwrap_or(false)
    }

    fn integrity_holds(&self, password: &str) -> Option<bool> {
        let at = self.integrity_at?;
        let wanted = integrity_tag(self.message, at, password)?;
        let tag = self.message.get(at + 4..at + 4 + INTEGRITY_LEN)?;
        Some(aws_lc_rs::constant_time::verify_slices_are_equal(wanted.as_ref(), tag).is_ok())
    }
}

/// Makes the answer to a check name `told` instead of where the check came from, and signs it anew. `None`: it is no such
/// answer, or of another family; it must not be sent when it was signed.
pub fn tell(answer: &mut [u8], told: SocketAddr, password: &str) -> Option<()> {
    let (mut mapped, mut integrity, mut fingerprint) = (None, None, None);
    let mut at = HEADER;
    while at < answer.len() {
        let len = usize::from(u16_at(answer, at + 2)?);
        match u16_at(answer, at)? {
            XOR_MAPPED_ADDRESS => mapped = Some(at + 4),
            MESSAGE_INTEGRITY if len == INTEGRITY_LEN => integrity = Some(at),
            FINGERPRINT => fingerprint = Some(at),
            _ => {}
        }
        at += 4 + len.next_multiple_of(4);
    }
    let (mapped, integrity) = (mapped?, integrity?);
    // RFC 8489, section 14.2: the mask is the magic cookie, then the transaction.
    let mask: [u8; 16] = array_at(answer, 4)?;
    let (family, octets) = match told.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    if u8_at(answer, mapped + 1)? != family {
        return None;
    }
    let port = told.port().to_be_bytes();
    let masked = |(byte, mask): (&u8, &u8)| byte ^ mask;
    let value: Vec<u8> = port.iter().zip(&mask).map(masked).chain(octets.iter().zip(&mask).map(masked)).collect();
    answer.get_mut(mapped + 2..mapped + 2 + value.len())?.copy_from_slice(&value);
    let tag = integrity_tag(answer, integrity, password)?;
    answer.get_mut(integrity + 4..integrity + 4 + INTEGRITY_LEN)?.copy_from_slice(tag.as_ref());
    if let Some(at) = fingerprint {
        let sum = CRC.checksum(answer.get(..at)?) ^ FINGERPRINT_XOR;
        answer.get_mut(at + 4..at + 8)?.copy_from_slice(&sum.to_be_bytes());
    }
    Some(())
}

/// HMAC of a message up to its integrity attribute, which starts at `at`.
fn integrity_tag(message: &[u8], at: usize, password: &str) -> Option<hmac::Tag> {
    // The length field covers everything up to and with the integrity attribute.
    let len = u16::try_from(at + 4 + INTEGRITY_LEN - HEADER).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(message.get(..2)?);
    context.update(&len.to_be_bytes());
    context.update(message.get(4..at)?);
    Some(context.sign())
}

/// The kind of a datagram by its first bytes (RFC 7983).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 0 to 3.
    Stun,
    /// 20 to 63.
    Dtls,
    /// 128 to 191, with an RTCP packet type in the second byte (RFC 5761).
    Rtcp,
    /// 128 to 191, else.
    Rtp,
}

/// Classifies a datagram. `None`: nothing that belongs here.
#[must_use]
pub fn classify(datagram: &[u8]) -> Option<Kind> {
    match u8_at(datagram, 0)? {
        0..=3 => Some(Kind::Stun),
        20..=63 => Some(Kind::Dtls),
        128..=191 => match u8_at(datagram, 1)? {
            192..=223 => Some(Kind::Rtcp),
            _ => Some(Kind::Rtp),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 5769, section 2.1.
    const REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
        \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    #[test]
    fn the_test_vector_of_rfc_5769_is_authentic() {
        let binding = Binding::parse(REQUEST).unwrap();
        assert_eq!((binding.class, binding.local_ufrag()), (Class::Request, Some("evtj")));
        assert!(binding.controlled && !binding.use_candidate);
        assert!(binding.is_authentic(PASSWORD));
        assert!(!binding.is_authentic("another password of this length"));
    }

    /// RFC 5769, section 2.2: the answer names 192.0.2.1:32853.
    const ANSWER: &[u8] = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0btest vector\x20\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
        \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
        \x80\x28\x00\x04\xc0\x7d\x4c\x96";

    #[test]
    fn an_answer_that_names_the_same_address_again_is_the_test_vector_again() {
        let mut answer = ANSWER.to_vec();
        assert_eq!(tell(&mut answer, "192.0.2.1:32853".parse().unwrap(), PASSWORD), Some(()));
        assert_eq!(answer, ANSWER);
    }

    #[test]
    fn an_answer_names_another_address_and_is_authentic() {
        let mut answer = ANSWER.to_vec();
        assert_eq!(tell(&mut answer, "203.0.113.9:50000".parse().unwrap(), PASSWORD), Some(()));
        assert_ne!(answer, ANSWER);
        let binding = Binding::parse(&answer).unwrap();
        assert!(binding.is_authentic(PASSWORD));
        assert_eq!(answer[42..48], [0xe2, 0x42, 0xea, 0x12, 0xd5, 0x4b]);
        for other in [&ANSWER[..60], &ANSWER[..20], &[]] {
            let told = "203.0.113.9:50000".parse().unwrap();
            assert_eq!(tell(&mut other.to_vec(), told, PASSWORD), None);
        }
        assert_eq!(tell(&mut ANSWER.to_vec(), "[2001:db8::1]:50000".parse().unwrap(), PASSWORD), None);
    }

    #[test]
    fn every_flipped_byte_before_the_fingerprint_breaks_it() {
        for at in 0..REQUEST.len() - 8 {
            let mut bad = REQUEST.to_vec();
            bad[at] ^= 0x10;
            assert!(!Binding::parse(&bad).is_some_and(|binding| binding.is_authentic(PASSWORD)), "byte {at}");
        }
    }

    #[test]
    fn what_follows_the_integrity_is_not_trusted() {
        let mut message = REQUEST.to_vec();
        message.truncate(REQUEST.len() - 8);
        message.extend([0x00, 0x25, 0, 0]);
        let len = (message.len() - 20) as u16;
        message[2..4].copy_from_slice(&len.to_be_bytes());
        let binding = Binding::parse(&message).unwrap();
        assert!(binding.is_authentic(PASSWORD) && !binding.use_candidate);
    }

    #[test]
    fn truncated_messages_do_not_parse() {
        for len in 0..REQUEST.len() {
            assert_eq!(Binding::parse(&REQUEST[..len]), None);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            std::hint::black_box(classify(&bytes));
            std::hint::black_box(Binding::parse(&bytes).map(|binding| binding.is_authentic("x")));
        }
    }
}
