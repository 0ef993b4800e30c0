//! Looks into a DTLS ClientHello for `use_srtp` (RFC 5764), before DTLS itself does.
//!
//! A DTLS server library picks the SRTP profile in the client's order, and browsers list the expensive one first.
//! So the node looks what is offered and lets DTLS accept only the best. Nothing here is trusted for more.

use plenum_sansio::wire::{put, take, u8_at, u16_at, u24_at};

const RECORD_HEADER: usize = 13;
const RECORD_HANDSHAKE: u8 = 22;
const HANDSHAKE_HEADER: usize = 12;
const CLIENT_HELLO: u8 = 1;
const USE_SRTP: u16 = 14;
const MAX_EXTENSIONS: usize = 64;
/// Longest ClientHello that is put together; with post-quantum key shares they have some 1,700 bytes.
const MAX_HELLO: usize = 8 << 10;
/// Most fragments of one ClientHello.
const MAX_FRAGMENTS: usize = 16;
const AES128_CM_SHA1_80: u16 = 0x0001;
const AEAD_AES_128_GCM: u16 = 0x0007;

/// What is known about the SRTP profiles that a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// The datagram is no part of a ClientHello.
    NotHello,
    /// More fragments are needed.
    Partial,
    /// Malformed, or too large to look into: let DTLS decide.
    Unclear,
    /// A whole ClientHello.
    Offers {
        /// `AEAD_AES_128_GCM` is offered.
        gcm: bool,
        /// `AES128_CM_HMAC_SHA1_80` is offered.
        cm: bool,
    },
}

/// Puts a ClientHello together from its fragments (RFC 6347, section 4.2.3).
#[derive(Debug, Default)]
pub struct HelloPeek {
    message: Vec<u8>,
    /// Start and end of the fragments that came.
    fragments: Vec<(usize, usize)>,
}

impl HelloPeek {
    /// Looks at a datagram.
    pub fn add(&mut self, datagram: &[u8]) -> Peek {
        let mut rest = datagram;
        let mut found = false;
        while let Some(handshake) = next_handshake(&mut rest) {
            if u8_at(handshake, 0) != Some(CLIENT_HELLO) {
                break;
            }
            found = true;
            if self.fragment(handshake).is_none() {
                return Peek::Unclear;
            }
        }
        match (found, self.is_whole()) {
            (false, _) => Peek::NotHello,
            (true, false) => Peek::Partial,
            (true, true) => offers(&self.message).unwrap_or(Peek::Unclear),
        }
    }

    fn fragment(&mut self, handshake: &[u8]) -> Option<()> {
        let (total, start, len) = (u24_at(handshake, 1)?, u24_at(handshake, 6)?, u24_at(handshake, 9)?);
        let body = handshake.get(HANDSHAKE_HEADER..HANDSHAKE_HEADER + len)?;
        if total > MAX_HELLO || self.fragments.len() >= MAX_FRAGMENTS {
            return None;
        }
        if self.message.len() != total {
            self.message = vec![0; total];
            self.fragments.clear();
        }
        put(&mut self.message, start, body)?;
        self.fragments.push((start, start + len));
        Some(())
    }

    fn is_whole(&self) -> bool {
        let mut sorted = self.fragments.clone();
        sorted.sort_unstable();
        let reached =
            sorted.iter().fold(0, |reached, (start, end)| if *start <= reached { reached.max(*end) } else { reached });
        !self.fragments.is_empty() && reached == self.message.len()
    }
}

/// The body of the next record, if it is a plaintext handshake record (RFC 6347, section 4.1).
fn next_handshake<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let header = take(rest, RECORD_HEADER)?;
    let body = take(rest, usize::from(u16_at(header, 11)?))?;
    let plain = u8_at(header, 0)? == RECORD_HANDSHAKE && u8_at(header, 1)? == 0xfe && u16_at(header, 3)? == 0;
    plain.then_some(body)
}

fn offers(hello: &[u8]) -> Option<Peek> {
    let mut rest = hello;
    take(&mut rest, 2 + 32)?;
    skip_vector8(&mut rest)?;
    skip_vector8(&mut rest)?;
    let suites = usize::from(u16_at(rest, 0)?);
    take(&mut rest, 2 + suites)?;
    skip_vector8(&mut rest)?;
    let extensions = usize::from(u16_at(rest, 0)?);
    let mut rest = rest.get(2..2 + extensions)?;
    for _ in 0..MAX_EXTENSIONS {
        if rest.is_empty() {
            return Some(Peek::Offers { gcm: false, cm: false });
        }
        let kind = u16_at(rest, 0)?;
        let len = usize::from(u16_at(rest, 2)?);
        take(&mut rest, 4)?;
        let body = take(&mut rest, len)?;
        if kind == USE_SRTP {
            let profiles = body.get(2..2 + usize::from(u16_at(body, 0)?))?;
            let has = |wanted| profiles.chunks_exact(2).any(|profile| u16_at(profile, 0) == Some(wanted));
            return Some(Peek::Offers { gcm: has(AEAD_AES_128_GCM), cm: has(AES128_CM_SHA1_80) });
        }
    }
    None
}

fn skip_vector8(rest: &mut &[u8]) -> Option<()> {
    let len = usize::from(u8_at(rest, 0)?);
    take(rest, 1 + len)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(profiles: &[u16]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
        let list: Vec<u8> = profiles.iter().flat_map(|profile| profile.to_be_bytes()).collect();
        let mut extensions = vec![0, 23, 0, 0, 0, 14];
        extensions.extend((list.len() as u16 + 3).to_be_bytes());
        extensions.extend((list.len() as u16).to_be_bytes());
        extensions.extend(list);
        extensions.push(0);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        body
    }

    fn record(body: &[u8], from: usize, to: usize) -> Vec<u8> {
        let bytes = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        let mut handshake = vec![1];
        handshake.extend(bytes(body.len()));
        handshake.extend([0, 0]);
        handshake.extend(bytes(from));
        handshake.extend(bytes(to - from));
        handshake.extend(&body[from..to]);
        let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend((handshake.len() as u16).to_be_bytes());
        record.extend(handshake);
        record
    }

    fn hello(profiles: &[u16]) -> Vec<u8> {
        let body = body(profiles);
        record(&body, 0, body.len())
    }

    fn peek(datagram: &[u8]) -> Peek {
        HelloPeek::default().add(datagram)
    }

    #[test]
    fn the_offered_profiles_are_found() {
        assert_eq!(peek(&hello(&[1, 7, 8])), Peek::Offers { gcm: true, cm: true });
        assert_eq!(peek(&hello(&[2, 1])), Peek::Offers { gcm: false, cm: true });
        assert_eq!(peek(&hello(&[])), Peek::Offers { gcm: false, cm: false });
        assert_eq!(peek(&[23, 0xfe, 0xfd]), Peek::NotHello);
        assert_eq!(peek(&[]), Peek::NotHello);
    }

    #[test]
    fn fragments_are_put_together_in_any_order_and_with_overlaps() {
        let body = body(&[1, 7]);
        let end = body.len();
        for parts in [[(0, 20), (20, end)], [(20, end), (0, 20)], [(10, end), (0, 15)]] {
            let mut hello = HelloPeek::default();
            assert_eq!(hello.add(&record(&body, parts[0].0, parts[0].1)), Peek::Partial);
            assert_eq!(hello.add(&record(&body, parts[1].0, parts[1].1)), Peek::Offers { gcm: true, cm: true });
        }
        let both = [record(&body, 0, 9), record(&body, 9, end)].concat();
        assert_eq!(peek(&both), Peek::Offers { gcm: true, cm: true });
    }

    #[test]
    fn fragments_are_bounded() {
        let body = vec![0; MAX_HELLO + 1];
        assert_eq!(peek(&record(&body, 0, 10)), Peek::Unclear);
        let mut hello = HelloPeek::default();
        let body = vec![0; 1_000];
        let last = (0..=MAX_FRAGMENTS).map(|at| hello.add(&record(&body, at, at + 1))).last();
        assert_eq!(last, Some(Peek::Unclear));
    }

    #[test]
    fn truncated_hellos_never_panic() {
        let whole = hello(&[1, 7]);
        for len in 0..whole.len() {
            assert!(!matches!(peek(&whole[..len]), Peek::Offers { .. }));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            std::hint::black_box(peek(&bytes));
            let mut record = hello(&[1, 7]);
            let end = record.len();
            for (at, byte) in bytes.iter().enumerate().take(end - 14) {
                record[14 + at] = *byte;
            }
            std::hint::black_box(peek(&record));
        }
    }
}
