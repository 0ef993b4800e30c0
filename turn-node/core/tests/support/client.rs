//! A small TURN client on another project's STUN codec. It does one thing at a time and shows every answer.

use super::world::{REALM, World};
use plenum_turn_core::ClientId;
use rtc_crypto::RTCCryptoProvider;
use rtc_stun::attributes::*;
use rtc_stun::error_code::ErrorCodeAttribute;
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::*;
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

pub const ALLOCATE: Method = METHOD_ALLOCATE;
pub const UDP: [u8; 4] = [17, 0, 0, 0];

pub fn provider() -> &'static Arc<dyn RTCCryptoProvider> {
    static PROVIDER: OnceLock<Arc<dyn RTCCryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| rtc_crypto::default_provider().expect("a crypto provider"))
}

/// An answer, or an indication, decoded by the other codec.
#[derive(Debug, Clone)]
pub struct Answer {
    pub bytes: Vec<u8>,
    pub message: Message,
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let mut message = Message::new();
        message.unmarshal_binary(bytes).expect("a STUN message");
        if message.contains(ATTR_FINGERPRINT) {
            FINGERPRINT.check(&message).expect("a good fingerprint");
        }
        Self { bytes: bytes.to_vec(), message }
    }

    pub fn is_success(&self) -> bool {
        self.message.typ.class == CLASS_SUCCESS_RESPONSE
    }

    /// The error code; 0 for success.
    pub fn code(&self) -> u16 {
        let mut code = ErrorCodeAttribute::default();
        code.get_from(&self.message).map_or(0, |()| code.code.0)
    }

    pub fn has(&self, kind: AttrType) -> bool {
        self.message.contains(kind)
    }

    pub fn attribute(&self, kind: AttrType) -> Vec<u8> {
        self.message.get(kind).expect("the attribute")
    }

    pub fn text(&self, kind: AttrType) -> String {
        String::from_utf8(self.attribute(kind)).expect("text")
    }

    pub fn number(&self, kind: AttrType) -> u32 {
        u32::from_be_bytes(self.attribute(kind).try_into().expect("four bytes"))
    }

    pub fn address(&self, kind: AttrType) -> SocketAddr {
        let mut address = XorMappedAddress::default();
        address.get_from_as(&self.message, kind).expect("an address");
        SocketAddr::new(address.ip, address.port)
    }
}

/// A request in the making.
pub struct Request {
    pub message: Message,
}

impl Request {
    pub fn new(method: Method, class: MessageClass) -> Self {
        let mut message = Message::new();
        message.set_type(MessageType::new(method, class));
        message.new_transaction_id().unwrap();
        message.write_header();
        Self { message }
    }

    pub fn with(mut self, kind: AttrType, value: &[u8]) -> Self {
        self.message.add(kind, value);
        self
    }

    pub fn peer(mut self, peer: SocketAddr) -> Self {
        let peer = XorMappedAddress { ip: peer.ip(), port: peer.port() };
        peer.add_to_as(&mut self.message, ATTR_XOR_PEER_ADDRESS).unwrap();
        self
    }

    pub fn fingerprint(mut self) -> Self {
        FINGERPRINT.add_to(&mut self.message).unwrap();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.message.raw.clone()
    }
}

pub fn request(method: Method) -> Request {
    Request::new(method, CLASS_REQUEST)
}

pub fn allocate_request() -> Request {
    request(METHOD_ALLOCATE).with(ATTR_REQUESTED_TRANSPORT, &UDP)
}

pub struct Client {
    pub id: ClientId,
    pub username: String,
    pub password: String,
    pub nonce: String,
    /// As told by the server.
    pub relayed: Option<SocketAddr>,
}

impl Client {
    pub fn new(id: ClientId, username: &str, password: &str) -> Self {
        Self { id, username: username.into(), password: password.into(), nonce: String::new(), relayed: None }
    }

    /// The port of the relay.
    pub fn port(&self) -> u16 {
        self.relayed.expect("an allocation").port()
    }

    pub fn key(&self) -> Vec<u8> {
        let crypto = provider().crypto();
        let (username, password) = (self.username.clone(), self.password.clone());
        MessageIntegrity::long_term_integrity_key(username, REALM.into(), password, crypto).unwrap()
    }

    /// Adds credentials and signs.
    pub fn sign(&self, mut request: Request) -> Request {
        let message = &mut request.message;
        message.add(ATTR_USERNAME, self.username.as_bytes());
        message.add(ATTR_REALM, REALM.as_bytes());
        message.add(ATTR_NONCE, self.nonce.as_bytes());
        MessageIntegrity::new_raw_integrity_with_provider(self.key(), provider().crypto()).add_to(message).unwrap();
        request
    }

    /// Gets a nonce, by a request without credentials.
    pub fn greet(&mut self, world: &mut World) {
        let answer = world.exchange(self.id, &allocate_request().bytes()).expect("an answer");
        assert_eq!((answer.code(), answer.text(ATTR_REALM)), (401, REALM.to_owned()));
        self.nonce = answer.text(ATTR_NONCE);
    }

    /// Sends a signed request; checks the signature of the answer, where there must be one.
    pub fn ask(&mut self, world: &mut World, request: Request) -> Answer {
        if self.nonce.is_empty() {
            self.greet(world);
        }
        let request = self.sign(request);
        let mut answer = world.exchange(self.id, &request.bytes()).expect("an answer");
        assert_eq!(answer.message.transaction_id, request.message.transaction_id);
        assert_eq!(answer.message.typ.method, request.message.typ.method);
        match answer.code() {
            401 | 438 => assert!(!answer.has(ATTR_MESSAGE_INTEGRITY)),
            _ => MessageIntegrity::check(&mut answer.message, &self.key(), provider().crypto()).expect("a signature"),
        }
        answer
    }

    pub fn allocate(&mut self, world: &mut World) -> Answer {
        self.allocate_with(world, |request| request)
    }

    pub fn allocate_with(&mut self, world: &mut World, change: impl FnOnce(Request) -> Request) -> Answer {
        let answer = self.ask(world, change(allocate_request()));
        if answer.is_success() {
            self.relayed = Some(answer.address(ATTR_XOR_RELAYED_ADDRESS));
        }
        answer
    }

    pub fn refresh(&mut self, world: &mut World, lifetime: u32) -> Answer {
        self.ask(world, request(METHOD_REFRESH).with(ATTR_LIFETIME, &lifetime.to_be_bytes()))
    }

    pub fn permit(&mut self, world: &mut World, peers: &[&str]) -> Answer {
        let request =
            peers.iter().fold(request(METHOD_CREATE_PERMISSION), |request, peer| request.peer(peer.parse().unwrap()));
        self.ask(world, request)
    }

    pub fn bind(&mut self, world: &mut World, number: u16, peer: &str) -> Answer {
        let [high, low] = number.to_be_bytes();
        let request = request(METHOD_CHANNEL_BIND).with(ATTR_CHANNEL_NUMBER, &[high, low, 0, 0]);
        self.ask(world, request.peer(peer.parse().unwrap()))
    }

    /// A Send indication.
    pub fn send(&self, world: &mut World, peer: &str, payload: &[u8]) {
        let indication = Request::new(METHOD_SEND, CLASS_INDICATION).peer(peer.parse().unwrap());
        world.deliver(self.id, &indication.with(ATTR_DATA, payload).bytes());
    }

    /// A ChannelData message.
    pub fn send_channel(&self, world: &mut World, number: u16, payload: &[u8]) {
        world.deliver(self.id, &channel_data(number, payload, self.id.is_stream()));
    }
}

pub fn channel_data(number: u16, payload: &[u8], padded: bool) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.extend((payload.len() as u16).to_be_bytes());
    message.extend(payload);
    if padded {
        message.resize(message.len().next_multiple_of(4), 0);
    }
    message
}
