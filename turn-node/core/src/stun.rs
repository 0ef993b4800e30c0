//! STUN messages as a TURN server meets them (RFC 8489, RFC 8656): parsed in place, without a copy.
//!
//! What a message says is in fields; whether it may say so is the server's to decide.

pub mod write;

use plenum_sansio::stun::address::read_xor;
use plenum_sansio::stun::{Attribute, HEADER, Header, INTEGRITY_LEN, fingerprint, integrity_holds};
pub use plenum_sansio::stun::{Class, attribute, method};
use std::net::SocketAddr;

/// Most attributes of one message: more is noise.
const MAX_ATTRIBUTES: usize = 128;
/// Unknown attributes that an answer names.
const MAX_UNKNOWN: usize = 8;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not STUN, or not whole.
    #[error("not a STUN message")]
    Structure,
    /// FINGERPRINT is there and wrong.
    #[error("the fingerprint does not hold")]
    Fingerprint,
}

/// Attribute types that must be understood and are not, in the order of the message, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unknown {
    kinds: [u16; MAX_UNKNOWN],
    len: usize,
}

impl Unknown {
    fn push(&mut self, kind: u16) {
        if !self.as_slice().contains(&kind)
            && let Some(slot) = self.kinds.get_mut(self.len)
        {
            *slot = kind;
            self.len += 1;
        }
    }

    /// The types; at most eight.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        self.kinds.get(..self.len).unwrap_or_default()
    }
}

/// A parsed message. Of attributes that may stand once, the first counts; those behind MESSAGE-INTEGRITY do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Which kind.
    pub class: Class,
    /// See [`method`].
    pub method: u16,
    /// Transaction.
    pub transaction: [u8; 12],
    /// USERNAME.
    pub username: Option<&'a [u8]>,
    /// REALM.
    pub realm: Option<&'a [u8]>,
    /// NONCE.
    pub nonce: Option<&'a [u8]>,
    /// LIFETIME, seconds.
    pub lifetime: Option<u32>,
    /// CHANNEL-NUMBER.
    pub channel: Option<u16>,
    /// REQUESTED-TRANSPORT: an IP protocol.
    pub transport: Option<u8>,
    /// REQUESTED-ADDRESS-FAMILY: 1 is IPv4, 2 is IPv6.
    pub family: Option<u8>,
    /// ADDITIONAL-ADDRESS-FAMILY.
    pub additional_family: Option<u8>,
    /// EVEN-PORT: whether the next port is to be reserved.
    pub even_port: Option<bool>,
    /// RESERVATION-TOKEN is there.
    pub reservation: bool,
    /// DATA.
    pub data: Option<&'a [u8]>,
    /// The first XOR-PEER-ADDRESS; [`Message::peers`] has all.
    pub peer: Option<SocketAddr>,
    /// FINGERPRINT is there (and right).
    pub fingerprint: bool,
    /// Attributes that must be understood and are not.
    pub unknown: Unknown,
    /// An attribute has a value of the wrong length or form.
    pub invalid: bool,
    integrity_at: Option<usize>,
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Parses a whole message.
    ///
    /// # Errors
    /// It is none: nothing is to be answered then.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut message = Self::header(bytes).ok_or(Malformed::Structure)?;
        let mut at = HEADER;
        for _ in 0..MAX_ATTRIBUTES {
            if at == bytes.len() {
                return Ok(message);
            }
            let Attribute { kind, value, next } = Attribute::at(bytes, at).ok_or(Malformed::Structure)?;
            if kind == attribute::FINGERPRINT {
                let whole = next == bytes.len();
                message.fingerprint = true;
                return if whole && fingerprint_holds(bytes, at, value) {
                    Ok(message)
                } else {
                    Err(Malformed::Fingerprint)
                };
            }
            if message.integrity_at.is_none() {
                message.attribute(kind, value, at).ok_or(Malformed::Structure)?;
            }
            at = next;
        }
        Err(Malformed::Structure)
    }

    fn header(bytes: &'a [u8]) -> Option<Self> {
        let Header { class, method, transaction } = Header::parse(bytes)?;
        Some(Self {
            class,
            method,
            transaction,
            username: None,
            realm: None,
            nonce: None,
            lifetime: None,
            channel: None,
            transport: None,
            family: None,
            additional_family: None,
            even_port: None,
            reservation: false,
            data: None,
            peer: None,
            fingerprint: false,
            unknown: Unknown::default(),
            invalid: false,
            integrity_at: None,
            bytes,
        })
    }

    /// `None` when the message is no message: only a MESSAGE-INTEGRITY of the wrong length is that bad.
    fn attribute(&mut self, kind: u16, value: &'a [u8], at: usize) -> Option<()> {
        let valid = match kind {
            attribute::USERNAME => first(&mut self.username, Some(value)),
            attribute::REALM => first(&mut self.realm, Some(value)),
            attribute::NONCE => first(&mut self.nonce, Some(value)),
            attribute::DATA => first(&mut self.data, Some(value)),
            attribute::LIFETIME => first(&mut self.lifetime, exactly(value).map(u32::from_be_bytes)),
            attribute::CHANNEL_NUMBER => {
                first(&mut self.channel, exactly(value).map(|[high, low, _, _]| u16::from_be_bytes([high, low])))
            }
            attribute::REQUESTED_TRANSPORT => first(&mut self.transport, leading(value)),
            attribute::REQUESTED_ADDRESS_FAMILY => first(&mut self.family, leading(value)),
            attribute::ADDITIONAL_ADDRESS_FAMILY => first(&mut self.additional_family, leading(value)),
            attribute::EVEN_PORT => first(&mut self.even_port, exactly(value).map(|[flags]| flags & 0x80 != 0)),
            attribute::RESERVATION_TOKEN => {
                self.reservation = true;
                value.len() == 8
            }
            attribute::XOR_PEER_ADDRESS => first(&mut self.peer, read_xor(value, &self.transaction)),
            attribute::MESSAGE_INTEGRITY if value.len() == INTEGRITY_LEN => {
                self.integrity_at = Some(at);
                true
            }
            attribute::MESSAGE_INTEGRITY => return None,
            // Known, and without meaning in what clients send.
            attribute::MAPPED_ADDRESS
            | attribute::ERROR_CODE
            | attribute::UNKNOWN_ATTRIBUTES
            | attribute::XOR_RELAYED_ADDRESS
            | attribute::XOR_MAPPED_ADDRESS => true,
            0..0x8000 => {
                self.unknown.push(kind);
                true
            }
            _ => true,
        };
        self.invalid |= !valid;
        Some(())
    }

    /// MESSAGE-INTEGRITY is there.
    #[must_use]
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// Every XOR-PEER-ADDRESS; `None` in the place of one that is malformed.
    pub fn peers(&self) -> impl Iterator<Item = Option<SocketAddr>> {
        let end = self.integrity_at.unwrap_or(self.bytes.len());
        let mut at = HEADER;
        std::iter::from_fn(move || {
            while at < end {
                let Attribute { kind, value, next } = Attribute::at(self.bytes, at)?;
                at = next;
                if kind == attribute::XOR_PEER_ADDRESS {
                    return Some(read_xor(value, &self.transaction));
                }
            }
            None
        })
    }

    /// Whether MESSAGE-INTEGRITY is there and made with `key` (RFC 8489, section 14.5).
    #[must_use]
    pub fn is_authentic(&self, key: &[u8]) -> bool {
        self.integrity_at.is_some_and(|at| integrity_holds(self.bytes, at, key))
    }
}

fn fingerprint_holds(bytes: &[u8], at: usize, value: &[u8]) -> bool {
    let told = exactly(value).map(u32::from_be_bytes);
    told.is_some() && told == bytes.get(..at).map(fingerprint)
}

/// Keeps the first value; answers whether this one is well-formed.
fn first<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let valid = value.is_some();
    if slot.is_none() {
        *slot = value;
    }
    valid
}

fn exactly<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// The first of four bytes; the others are reserved.
fn leading(value: &[u8]) -> Option<u8> {
    exactly(value).map(|[first, _, _, _]| first)
}

#[cfg(test)]
mod tests;
