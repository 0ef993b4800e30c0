//! The messages of a client that allocates and binds a channel. Pure.

use anyhow::{Context as _, bail};
use plenum_protocol::turn;
use rtc_crypto::RTCCryptoProvider;
use rtc_stun::attributes::{
    ATTR_CHANNEL_NUMBER, ATTR_ERROR_CODE, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME,
    ATTR_XOR_PEER_ADDRESS, ATTR_XOR_RELAYED_ADDRESS,
};
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, Message,
    MessageType, Setter as _, TransactionId, is_stun_message,
};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::SocketAddr;
use std::sync::Arc;

/// The one channel of each allocation.
pub(crate) const CHANNEL: u16 = 0x4000;
/// REQUESTED-TRANSPORT: UDP.
const UDP: [u8; 4] = [17, 0, 0, 0];

/// Long-term credentials that a shared secret makes, for peers that the operator names.
pub(crate) struct Credentials {
    username: String,
    realm: String,
    key: Vec<u8>,
    crypto: Arc<dyn RTCCryptoProvider>,
}

impl Credentials {
    /// Good until `expires`, seconds since 1970.
    pub(crate) fn new(secret: &str, realm: &str, expires: u64) -> anyhow::Result<Self> {
        let username = format!("{expires}:bench:media");
        let password = turn::password(secret.as_bytes(), &username);
        let crypto = rtc_crypto::default_provider().context("finding a crypto provider")?;
        let (name, realm) = (username.clone(), realm.to_owned());
        let key = MessageIntegrity::long_term_integrity_key(name, realm.clone(), password, crypto.crypto())
            .context("making a key")?;
        Ok(Self { username, realm, key, crypto })
    }
}

/// What a client asks, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// An allocation, without credentials: for a nonce.
    Nonce,
    /// An allocation.
    Allocation,
    /// The channel, to this peer.
    Channel(SocketAddr),
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The allocation, with its relayed address.
    Relayed(SocketAddr),
    /// The channel.
    Bound,
    /// No, and perhaps why not.
    Refused {
        /// Error code.
        code: u16,
        /// A nonce to come back with.
        nonce: Option<Vec<u8>>,
    },
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Request {
    message: Message,
}

impl Request {
    pub(super) fn new(question: Question, credentials: &Credentials, nonce: &[u8]) -> anyhow::Result<Self> {
        let method = match question {
            Question::Nonce | Question::Allocation => METHOD_ALLOCATE,
            Question::Channel(_) => METHOD_CHANNEL_BIND,
        };
        let mut message = Message::new();
        message.set_type(MessageType::new(method, CLASS_REQUEST));
        message.transaction_id = TransactionId::new();
        message.write_header();
        match question {
            Question::Nonce | Question::Allocation => message.add(ATTR_REQUESTED_TRANSPORT, &UDP),
            Question::Channel(peer) => {
                let [high, low] = CHANNEL.to_be_bytes();
                message.add(ATTR_CHANNEL_NUMBER, &[high, low, 0, 0]);
                let address = XorMappedAddress { ip: peer.ip(), port: peer.port() };
                address.add_to_as(&mut message, ATTR_XOR_PEER_ADDRESS).context("writing a peer's address")?;
            }
        }
        if question != Question::Nonce {
            message.add(ATTR_USERNAME, credentials.username.as_bytes());
            message.add(ATTR_REALM, credentials.realm.as_bytes());
            message.add(ATTR_NONCE, nonce);
            let crypto = credentials.crypto.crypto();
            let integrity = MessageIntegrity::new_raw_integrity_with_provider(credentials.key.clone(), crypto);
            integrity.add_to(&mut message).context("signing a request")?;
        }
        Ok(Self { message })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.message.raw
    }

    /// The answer to it, if the datagram is one.
    pub(super) fn answer(&self, datagram: &[u8]) -> anyhow::Result<Option<Answer>> {
        if !is_stun_message(datagram) {
            return Ok(None);
        }
        let mut message = Message::new();
        message.unmarshal_binary(datagram).context("reading an answer")?;
        if message.transaction_id != self.message.transaction_id {
            return Ok(None);
        }
        Ok(Some(match (message.typ.class, message.typ.method) {
            (CLASS_SUCCESS_RESPONSE, METHOD_ALLOCATE) => {
                let mut address = XorMappedAddress::default();
                address.get_from_as(&message, ATTR_XOR_RELAYED_ADDRESS).context("reading the relayed address")?;
                Answer::Relayed(SocketAddr::new(address.ip, address.port))
            }
            (CLASS_SUCCESS_RESPONSE, METHOD_CHANNEL_BIND) => Answer::Bound,
            (CLASS_ERROR_RESPONSE, _) => {
                let code = message.get(ATTR_ERROR_CODE).context("reading an error code")?;
                let [_, _, class, number, ..] = *code.as_slice() else { bail!("an error code of {code:?}") };
                Answer::Refused {
                    code: u16::from(class) * 100 + u16::from(number),
                    nonce: message.get(ATTR_NONCE).ok(),
                }
            }
            (class, method) => bail!("an answer of class {class:?}, method {method:?}"),
        }))
    }
}

/// Whether a server answers at `address`, within the socket's read timeout.
pub(crate) fn is_answered(
    socket: &std::net::UdpSocket,
    address: SocketAddr,
    credentials: &Credentials,
) -> anyhow::Result<bool> {
    let request = Request::new(Question::Nonce, credentials, &[])?;
    socket.send_to(request.bytes(), address).with_context(|| format!("sending to {address}"))?;
    let mut answer = [0; 1500];
    let Ok(len) = socket.recv(&mut answer) else { return Ok(false) };
    Ok(request.answer(answer.get(..len).unwrap_or_default())?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_stun::attributes::ATTR_MESSAGE_INTEGRITY;

    fn credentials() -> Credentials {
        Credentials::new("a secret", "a realm", 1_700_000_000).unwrap()
    }

    #[test]
    fn a_refusal_tells_code_and_nonce_to_its_request_only() {
        let (one, other) = [(); 2].map(|()| Request::new(Question::Nonce, &credentials(), &[]).unwrap()).into();
        let mut refusal = Message::new();
        refusal.set_type(MessageType::new(METHOD_ALLOCATE, CLASS_ERROR_RESPONSE));
        refusal.transaction_id = one.message.transaction_id;
        refusal.write_header();
        refusal.add(ATTR_ERROR_CODE, &[0, 0, 4, 1]);
        refusal.add(ATTR_NONCE, b"once");
        let expected = Answer::Refused { code: 401, nonce: Some(b"once".to_vec()) };
        assert_eq!(one.answer(&refusal.raw).unwrap(), Some(expected));
        assert_eq!(other.answer(&refusal.raw).unwrap(), None);
        assert_eq!(one.answer(b"not STUN").unwrap(), None);
    }

    #[test]
    fn all_but_the_first_request_are_signed() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let signed = |question| {
            Request::new(question, &credentials(), b"once").unwrap().message.contains(ATTR_MESSAGE_INTEGRITY)
        };
        assert!(!signed(Question::Nonce));
        assert!(signed(Question::Allocation) && signed(Question::Channel(peer)));
    }
}
