//! Writes a STUN message into a buffer of fixed size.

use plenum_sansio::stun::address::write_xor;
use plenum_sansio::stun::{HEADER, MAGIC_COOKIE, attribute, fingerprint, integrity};
use plenum_sansio::wire::put;
use std::net::SocketAddr;

/// A message that grows. What does not fit makes [`Writer::finish`] answer `None`; nothing panics.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    transaction: [u8; 12],
    len: usize,
    whole: bool,
}

impl<'a> Writer<'a> {
    /// Begins a message. `kind` is the first 16 bits: see [`kind`].
    pub fn new(buffer: &'a mut [u8], kind: u16, transaction: [u8; 12]) -> Self {
        let mut writer = Self { buffer, transaction, len: 0, whole: true };
        writer.append(&kind.to_be_bytes());
        writer.append(&[0, 0]);
        writer.append(&MAGIC_COOKIE.to_be_bytes());
        writer.append(&transaction);
        writer
    }

    fn append(&mut self, bytes: &[u8]) {
        match put(self.buffer, self.len, bytes) {
            Some(()) => self.len += bytes.len(),
            None => self.whole = false,
        }
    }

    /// The length field counts what is there and `more`.
    fn set_len(&mut self, more: usize) {
        let len = u16::try_from(self.len - HEADER.min(self.len) + more);
        let set = len.ok().and_then(|len| put(self.buffer, 2, &len.to_be_bytes()));
        self.whole &= set.is_some();
    }

    /// Appends an attribute with its padding.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        let Ok(len) = u16::try_from(value.len()) else {
            self.whole = false;
            return;
        };
        self.append(&kind.to_be_bytes());
        self.append(&len.to_be_bytes());
        self.append(value);
        let padding = value.len().next_multiple_of(4) - value.len();
        self.append([0; 3].get(..padding).unwrap_or_default());
    }

    /// Appends an address that is hidden from meddling NATs.
    pub fn xor_address(&mut self, kind: u16, value: SocketAddr) {
        let (bytes, len) = write_xor(value, &self.transaction);
        self.attribute(kind, bytes.get(..len).unwrap_or_default());
    }

    /// Appends ERROR-CODE, or another attribute of its form whose second byte is `family`.
    pub fn error(&mut self, kind: u16, family: u8, code: u16, reason: &str) {
        let mut value = [0; 4 + 40];
        let class = u8::try_from(code / 100).unwrap_or_default();
        let number = u8::try_from(code % 100).unwrap_or_default();
        let text = reason.as_bytes().get(..reason.len().min(40)).unwrap_or_default();
        let written = put(&mut value, 0, &[family, 0, class, number]).and_then(|()| put(&mut value, 4, text));
        self.whole &= written.is_some();
        self.attribute(kind, value.get(..4 + text.len()).unwrap_or_default());
    }

    /// Appends MESSAGE-INTEGRITY.
    pub fn integrity(&mut self, key: &[u8]) {
        match integrity(self.buffer, self.len, key) {
            Some(tag) => self.attribute(attribute::MESSAGE_INTEGRITY, &tag),
            None => self.whole = false,
        }
    }

    /// Appends FINGERPRINT; nothing may follow.
    pub fn fingerprint(&mut self) {
        self.set_len(8);
        let value = fingerprint(self.buffer.get(..self.len).unwrap_or_default());
        self.attribute(attribute::FINGERPRINT, &value.to_be_bytes());
    }

    /// The length of the message, if it fitted.
    #[must_use]
    pub fn finish(mut self) -> Option<usize> {
        self.set_len(0);
        self.whole.then_some(self.len)
    }
}

/// The first 16 bits of a message. `class` is 0x000 for a request, 0x010, 0x100 and 0x110 for an indication, a success
/// and an error.
#[must_use]
pub fn kind(method: u16, class: u16) -> u16 {
    method & 0x000f | (method & 0x0070) << 1 | (method & 0x0f80) << 2 | class
}
