//! STUN binding messages (RFC 8489, RFC 8445), as far as the demultiplexer needs them: whose it is, and whether it
//! is authentic. Answers are made by the ICE agent behind the transport.

use crate::wire::{array_at, u8_at, u16_at, u32_at};
use aws_lc_rs::hmac;

const MAGIC_COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
const MAX_ATTRIBUTES: usize = 32;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const USE_CANDIDATE: u16 = 0x0025;
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
        // The length field covers everything up to and with the integrity attribute.
        let len = u16::try_from(at + 4 + INTEGRITY_LEN - HEADER).ok()?;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(self.message.get(..2)?);
        context.update(&len.to_be_bytes());
        context.update(self.message.get(4..at)?);
        let tag = self.message.get(at + 4..at + 4 + INTEGRITY_LEN)?;
        Some(aws_lc_rs::constant_time::verify_slices_are_equal(context.sign().as_ref(), tag).is_ok())
    }
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
