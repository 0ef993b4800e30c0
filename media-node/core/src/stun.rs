//! STUN binding messages (RFC 8489, RFC 8445), as far as the demultiplexer needs them: whose it is, and whether it
//! is authentic. Answers are made by the ICE agent behind the transport.

pub use plenum_sansio::stun::Class;

use plenum_sansio::stun::address::write_xor;
use plenum_sansio::stun::{
    Attribute, HEADER, Header, INTEGRITY_LEN, attribute, fingerprint, integrity, integrity_holds, method,
};
use plenum_sansio::wire::{put, u8_at};
use std::net::SocketAddr;

const MAX_ATTRIBUTES: usize = 32;

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
        let Header { class, transaction, .. } = Header::parse(message).filter(|it| it.method == method::BINDING)?;
        let mut binding = Self {
            class,
            transaction,
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
            let Attribute { kind, value, next } = Attribute::at(message, at)?;
            binding.attribute(kind, value, at)?;
            at = next;
        }
        None
    }

    fn attribute(&mut self, kind: u16, value: &'a [u8], at: usize) -> Option<()> {
        if self.integrity_at.is_some() {
            // Only FINGERPRINT may follow, and nothing after the integrity is trusted.
            return Some(());
        }
        match kind {
            attribute::USERNAME if self.username.is_none() => self.username = Some(std::str::from_utf8(value).ok()?),
            attribute::USE_CANDIDATE => self.use_candidate = true,
            attribute::ICE_CONTROLLED => self.controlled = true,
            attribute::MESSAGE_INTEGRITY if value.len() == INTEGRITY_LEN => self.integrity_at = Some(at),
            attribute::MESSAGE_INTEGRITY => return None,
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
        self.integrity_at.is_some_and(|at| integrity_holds(self.message, at, password.as_bytes()))
    }
}

/// Makes the answer to a check name `told` instead of where the check came from, and signs it anew. `None`: it is no such
/// answer, or of another family, and is as it was.
pub fn tell(answer: &mut [u8], told: SocketAddr, password: &str) -> Option<()> {
    let Header { transaction, .. } = Header::parse(answer)?;
    let (address, len) = write_xor(told, &transaction);
    let (mut mapped, mut signed, mut summed) = (None, None, None);
    let mut at = HEADER;
    while at < answer.len() {
        let Attribute { kind, value, next } = Attribute::at(answer, at)?;
        match kind {
            // The length tells the family.
            attribute::XOR_MAPPED_ADDRESS if value.len() == len => mapped = Some(at + 4),
            attribute::MESSAGE_INTEGRITY if value.len() == INTEGRITY_LEN => signed = Some(at),
            attribute::FINGERPRINT if value.len() == 4 => summed = Some(at),
            _ => {}
        }
        at = next;
    }
    let (mapped, signed) = (mapped?, signed?);
    put(answer, mapped, address.get(..len)?)?;
    let tag = integrity(answer, signed, password.as_bytes())?;
    put(answer, signed + 4, &tag)?;
    if let Some(at) = summed {
        let sum = fingerprint(answer.get(..at)?);
        put(answer, at + 4, &sum.to_be_bytes())?;
    }
    Some(())
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
    use plenum_testing::rfc5769::{PASSWORD, REQUEST, RESPONSE_V4 as ANSWER};
    use proptest::prelude::*;

    #[test]
    fn the_test_vector_of_rfc_5769_is_authentic() {
        let binding = Binding::parse(REQUEST).unwrap();
        assert_eq!((binding.class, binding.local_ufrag()), (Class::Request, Some("evtj")));
        assert!(binding.controlled && !binding.use_candidate);
        assert!(binding.is_authentic(PASSWORD));
        assert!(!binding.is_authentic("another password of this length"));
    }

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
    }

    #[test]
    fn what_is_no_answer_to_be_told_stays_as_it_was() {
        let (same, other) = ("203.0.113.9:50000", "[2001:db8::1]:50000");
        for (bytes, told) in
            [(&ANSWER[..60], same), (&ANSWER[..20], same), (&ANSWER[..0], same), (REQUEST, same), (ANSWER, other)]
        {
            let mut answer = bytes.to_vec();
            assert_eq!(tell(&mut answer, told.parse().unwrap(), PASSWORD), None);
            assert_eq!(answer, bytes);
        }
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
