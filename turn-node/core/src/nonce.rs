//! Nonces without memory: each says which worker made it, for whom, and until when, signed.
//!
//! Worker, expiry and 12 bytes of HMAC-SHA256 over both and the client's address, as 24 characters of base64.

use crate::client::ClientId;
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plenum_sansio::wire::{array_at, put, u16_at, u32_at};
use std::time::Duration;

/// Characters of a nonce.
pub(crate) const LEN: usize = 24;
const TAG: usize = 12;
const BYTES: usize = 6 + TAG;

pub(crate) struct Nonces {
    key: hmac::Key,
    worker: u16,
    lifetime: u32,
}

impl Nonces {
    pub(crate) fn new(key: &[u8; 32], worker: u16, lifetime: Duration) -> Self {
        let lifetime = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), worker, lifetime }
    }

    pub(crate) fn make(&self, unix: u64, client: ClientId) -> [u8; LEN] {
        let expires = seconds(unix).wrapping_add(self.lifetime);
        let mut bytes = [0; BYTES];
        let tag = self.tag(self.worker, expires, client);
        let [a, b] = self.worker.to_be_bytes();
        let [c, d, e, f] = expires.to_be_bytes();
        let mut text = [0; LEN];
        let written = put(&mut bytes, 0, &[a, b, c, d, e, f]).and_then(|()| put(&mut bytes, 6, &tag));
        let encoded = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        debug_assert!(written.is_some() && encoded == Ok(LEN));
        text
    }

    /// Whether this worker made it for this client and it has not expired.
    pub(crate) fn is_fresh(&self, nonce: &[u8], unix: u64, client: ClientId) -> bool {
        self.expiry(nonce, client).is_some_and(|expires| {
            // Wrapping: seconds of 32 bits end in 2106, lifetimes are short.
            let left = expires.wrapping_sub(seconds(unix));
            left > 0 && left <= self.lifetime
        })
    }

    /// The expiry of a nonce of this worker for this client.
    fn expiry(&self, nonce: &[u8], client: ClientId) -> Option<u32> {
        let mut bytes = [0; BYTES];
        if nonce.len() != LEN || URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes) != Ok(BYTES) {
            return None;
        }
        let (worker, expires) = (u16_at(&bytes, 0)?, u32_at(&bytes, 2)?);
        let tag: [u8; TAG] = array_at(&bytes, 6)?;
        let holds = worker == self.worker
            && constant_time::verify_slices_are_equal(&self.tag(worker, expires, client), &tag).is_ok();
        holds.then_some(expires)
    }

    fn tag(&self, worker: u16, expires: u32, client: ClientId) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&worker.to_be_bytes());
        context.update(&expires.to_be_bytes());
        let address = client.address();
        let ip = match address.ip() {
            std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            std::net::IpAddr::V6(ip) => ip,
        };
        context.update(&ip.octets());
        context.update(&address.port().to_be_bytes());
        array_at(context.sign().as_ref(), 0).unwrap_or_default()
    }
}

/// The lower 32 bits.
fn seconds(unix: u64) -> u32 {
    (unix & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::turn::RelayTransport;

    fn client(port: u16) -> ClientId {
        ClientId { transport: RelayTransport::Udp, remote: ([192, 0, 2, 1], port).into(), stream: 0 }
    }

    fn nonces(worker: u16) -> Nonces {
        Nonces::new(&[7; 32], worker, Duration::from_secs(600))
    }

    #[test]
    fn a_nonce_is_good_for_its_client_until_it_expires() {
        let nonce = nonces(3).make(1_000, client(1));
        for (unix, fresh) in [(1_000, true), (1_599, true), (1_600, false), (5_000, false), (900, false)] {
            assert_eq!(nonces(3).is_fresh(&nonce, unix, client(1)), fresh, "{unix}");
        }
        assert!(!nonces(3).is_fresh(&nonce, 1_000, client(2)), "another client");
        assert!(!nonces(2).is_fresh(&nonce, 1_000, client(1)), "another worker");
        let other = Nonces::new(&[8; 32], 3, Duration::from_secs(600));
        assert!(!other.is_fresh(&nonce, 1_000, client(1)), "another key");
    }

    #[test]
    fn every_changed_character_breaks_it() {
        let nonce = nonces(0).make(1_000, client(1));
        for at in 0..LEN {
            let mut bad = nonce;
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            assert!(!nonces(0).is_fresh(&bad, 1_000, client(1)), "character {at}");
        }
        for len in 0..LEN {
            assert!(!nonces(0).is_fresh(&nonce[..len], 1_000, client(1)));
        }
    }
}
