//! Messages of the test client: requests as bytes, replies as numbers and addresses.

use super::{Credential, FromPeer};
use anyhow::{Context, Result, bail};
use rtc_stun::attributes::{
    ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_ERROR_CODE, ATTR_LIFETIME, ATTR_NONCE, ATTR_REALM,
    ATTR_REQUESTED_ADDRESS_FAMILY, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS, AttrType,
};
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_CHANNEL_BIND,
    METHOD_CREATE_PERMISSION, METHOD_DATA, METHOD_REFRESH, METHOD_SEND, Message, MessageClass, MessageType, Setter,
    TransactionId, is_stun_message,
};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::SocketAddr;

/// REQUESTED-TRANSPORT: UDP, the only one that is used.
const UDP: [u8; 4] = [17, 0, 0, 0];
/// REQUESTED-ADDRESS-FAMILY: IPv6 (RFC 8656 section 18.6).
const IPV6: [u8; 4] = [2, 0, 0, 0];
/// Channel numbers (RFC 8656 section 12).
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x4fff;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// An allocation.
    Allocate,
    /// More time.
    Refresh,
    /// Leave to speak with an address.
    CreatePermission,
    /// A channel to an address and port.
    ChannelBind,
    /// Data to a peer.
    Send,
}

/// What a request says.
#[derive(Debug, Clone)]
pub enum Attribute {
    /// UDP is wanted.
    RequestedTransport,
    /// An IPv6 address is wanted.
    Ipv6,
    /// Seconds.
    Lifetime(u32),
    /// A peer.
    Peer(SocketAddr),
    /// A channel.
    Channel(u16),
    /// Data for a peer.
    Data(Vec<u8>),
}

/// A request or indication.
#[derive(Debug)]
pub(super) struct Request {
    message: Message,
}

impl Request {
    /// Without credentials.
    pub(super) fn plain(method: Method, attributes: &[Attribute]) -> Result<Self> {
        let mut request = Self::with(method, CLASS_REQUEST, attributes)?;
        request.message.write_header();
        Ok(request)
    }

    /// Which nobody answers.
    pub(super) fn indication(method: Method, attributes: &[Attribute]) -> Result<Self> {
        let mut request = Self::with(method, CLASS_INDICATION, attributes)?;
        request.message.write_header();
        Ok(request)
    }

    /// With long-term credentials (RFC 8489 section 9.2).
    pub(super) fn signed(
        method: Method,
        attributes: &[Attribute],
        credential: &Credential,
        realm: &str,
        nonce: &[u8],
    ) -> Result<Self> {
        let mut request = Self::with(method, CLASS_REQUEST, attributes)?;
        let message = &mut request.message;
        message.add(ATTR_USERNAME, credential.username.as_bytes());
        message.add(ATTR_REALM, realm.as_bytes());
        message.add(ATTR_NONCE, nonce);
        let provider = rtc_crypto::default_provider().context("finding a crypto provider")?;
        let integrity = MessageIntegrity::new_long_term_integrity_with_provider(
            credential.username.clone(),
            realm.to_owned(),
            credential.password.clone(),
            provider.crypto(),
        )
        .context("making a key")?;
        integrity.add_to(message).context("signing a request")?;
        Ok(request)
    }

    fn with(method: Method, class: MessageClass, attributes: &[Attribute]) -> Result<Self> {
        let mut message = Message::new();
        message.set_type(MessageType::new(
            match method {
                Method::Allocate => METHOD_ALLOCATE,
                Method::Refresh => METHOD_REFRESH,
                Method::CreatePermission => METHOD_CREATE_PERMISSION,
                Method::ChannelBind => METHOD_CHANNEL_BIND,
                Method::Send => METHOD_SEND,
            },
            class,
        ));
        message.transaction_id = TransactionId::new();
        message.write_header();
        for attribute in attributes {
            match attribute {
                Attribute::RequestedTransport => message.add(ATTR_REQUESTED_TRANSPORT, &UDP),
                Attribute::Ipv6 => message.add(ATTR_REQUESTED_ADDRESS_FAMILY, &IPV6),
                Attribute::Lifetime(seconds) => message.add(ATTR_LIFETIME, &seconds.to_be_bytes()),
                Attribute::Peer(peer) => XorMappedAddress { ip: peer.ip(), port: peer.port() }
                    .add_to_as(&mut message, ATTR_XOR_PEER_ADDRESS)
                    .context("writing a peer's address")?,
                Attribute::Channel(number) => {
                    let [high, low] = number.to_be_bytes();
                    message.add(ATTR_CHANNEL_NUMBER, &[high, low, 0, 0]);
                }
                Attribute::Data(data) => message.add(ATTR_DATA, data),
            }
        }
        Ok(Self { message })
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.message.raw
    }

    /// The reply to this request, if the datagram is it.
    pub(super) fn reply(&self, datagram: &[u8]) -> Result<Option<Reply>> {
        let Some(message) = decoded(datagram)? else { return Ok(None) };
        let ours =
            message.transaction_id == self.message.transaction_id && message.typ.method == self.message.typ.method;
        Ok(ours.then_some(Reply { message }))
    }
}

/// What the server says.
#[derive(Debug)]
pub struct Reply {
    message: Message,
}

impl Reply {
    /// Error code, if it is an error.
    #[must_use]
    pub fn error(&self) -> Option<u16> {
        if self.message.typ.class != CLASS_ERROR_RESPONSE {
            return None;
        }
        let value = self.bytes(ATTR_ERROR_CODE).unwrap_or_default();
        // RFC 8489 section 14.8: class and number. An error without one is 0, which no test expects.
        let digit = |index: usize| u16::from(value.get(index).copied().unwrap_or_default());
        Some((digit(2) & 7) * 100 + digit(3))
    }

    /// An attribute's bytes.
    #[must_use]
    pub fn bytes(&self, attribute: AttrType) -> Option<Vec<u8>> {
        self.message.get(attribute).ok()
    }

    /// An attribute as text.
    #[must_use]
    pub fn text(&self, attribute: AttrType) -> Option<String> {
        String::from_utf8(self.bytes(attribute)?).ok()
    }

    /// An attribute as a number.
    #[must_use]
    pub fn number(&self, attribute: AttrType) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(attribute)?.try_into().ok()?))
    }

    /// An attribute as an address.
    #[must_use]
    pub fn address(&self, attribute: AttrType) -> Option<SocketAddr> {
        address(&self.message, attribute)
    }
}

/// ChannelData (RFC 8656 section 12.4).
pub(super) struct ChannelData;

impl ChannelData {
    /// As it is sent over UDP: without padding.
    pub(super) fn encode(channel: u16, data: &[u8]) -> Result<Vec<u8>> {
        let length = u16::try_from(data.len()).context("too much for one datagram")?;
        Ok([&channel.to_be_bytes(), &length.to_be_bytes(), data].concat())
    }
}

/// What a peer sent, if the datagram brings that.
pub(super) fn from_peer(datagram: &[u8]) -> Result<Option<FromPeer>> {
    if let Some((head, rest)) = datagram.split_first_chunk::<4>()
        && CHANNELS.contains(&u16::from_be_bytes([head[0], head[1]]))
    {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let data = rest.get(..length).context("a channel's datagram is shorter than it says")?.to_vec();
        return Ok(Some(FromPeer { peer: None, data }));
    }
    let Some(message) = decoded(datagram)? else { bail!("the server sent what is neither STUN nor a channel's") };
    if message.typ.method != METHOD_DATA || message.typ.class != CLASS_INDICATION {
        return Ok(None);
    }
    let peer = address(&message, ATTR_XOR_PEER_ADDRESS).context("a Data indication without a peer")?;
    let data = message.get(ATTR_DATA).context("a Data indication without data")?;
    Ok(Some(FromPeer { peer: Some(peer), data }))
}

fn decoded(datagram: &[u8]) -> Result<Option<Message>> {
    if !is_stun_message(datagram) {
        return Ok(None);
    }
    let mut message = Message::new();
    message.unmarshal_binary(datagram).context("reading a STUN message")?;
    Ok(Some(message))
}

fn address(message: &Message, attribute: AttrType) -> Option<SocketAddr> {
    let mut found = XorMappedAddress::default();
    found.get_from_as(message, attribute).ok()?;
    Some(SocketAddr::new(found.ip, found.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_request_can_be_checked_by_its_key() {
        let credential = Credential { username: "1:a".to_owned(), password: "secret".to_owned() };
        let peer: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let request =
            Request::signed(Method::CreatePermission, &[Attribute::Peer(peer)], &credential, "realm", b"nonce")
                .unwrap();
        let mut message = decoded(request.bytes()).unwrap().unwrap();
        assert_eq!(address(&message, ATTR_XOR_PEER_ADDRESS), Some(peer));
        let provider = rtc_crypto::default_provider().unwrap();
        let key = |password: &str| {
            let (user, realm) = (credential.username.clone(), "realm".to_owned());
            MessageIntegrity::long_term_integrity_key(user, realm, password.to_owned(), provider.crypto()).unwrap()
        };
        assert!(MessageIntegrity::check(&mut message, &key("secret"), provider.crypto()).is_ok());
        assert!(MessageIntegrity::check(&mut message, &key("other"), provider.crypto()).is_err());
    }

    #[test]
    fn a_channels_datagram_is_read_back() {
        let datagram = ChannelData::encode(0x4001, b"hello").unwrap();
        assert_eq!(from_peer(&datagram).unwrap(), Some(FromPeer { peer: None, data: b"hello".to_vec() }));
        assert!(from_peer(&datagram[..6]).is_err());
    }
}
