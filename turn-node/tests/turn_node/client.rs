//! A small TURN client over a stream.

use crate::harness::{DEADLINE, Harness, credentials};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::collections::VecDeque;
use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use stun::agent::TransactionId;
use stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME};
use stun::error_code::ErrorCodeAttribute;
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_REQUEST, Getter, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, METHOD_REFRESH, Message, MessageType, Method, Setter,
};
use stun::textattrs::TextAttribute;
use turn::proto::PROTO_UDP;
use turn::proto::channum::ChannelNumber;
use turn::proto::lifetime::Lifetime;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::relayaddr::RelayedAddress;
use turn::proto::reqtrans::RequestedTransport;

/// Either kind of stream.
pub(crate) trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// One message of a stream.
pub(crate) enum Heard {
    Stun(Message),
    Data(u16, Vec<u8>),
}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    username: String,
    password: String,
    realm: String,
    nonce: String,
    data: VecDeque<(u16, Vec<u8>)>,
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A TLS stream that offers `protocols`.
pub(crate) fn connect_tls(harness: &Harness, protocols: &[&[u8]]) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(harness.certificate.clone()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap().to_owned()).unwrap();
    StreamOwned::new(connection, connect(harness.listener("tls")))
}

impl Client {
    pub(crate) fn new(stream: impl Stream + 'static, session: &str) -> Self {
        let (username, password) = credentials(session);
        let (realm, nonce) = (String::new(), String::new());
        Self { stream: Box::new(stream), username, password, realm, nonce, data: VecDeque::new() }
    }

    /// Writes as it is.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads one message.
    pub(crate) fn hear(&mut self) -> Result<Heard> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] & 0xc0 == 0x40 {
            let mut payload = vec![0; len.next_multiple_of(4)];
            self.stream.read_exact(&mut payload)?;
            payload.truncate(len);
            return Ok(Heard::Data(u16::from_be_bytes([header[0], header[1]]), payload));
        }
        let mut rest = vec![0; len + 16];
        self.stream.read_exact(&mut rest)?;
        let mut message = Message::new();
        message.unmarshal_binary(&[&header[..], &rest].concat()).unwrap();
        Ok(Heard::Stun(message))
    }

    /// Asks once; credentials go along once there is a nonce.
    pub(crate) fn ask(&mut self, method: Method, attributes: Vec<Box<dyn Setter>>) -> Result<Message> {
        let mut setters: Vec<Box<dyn Setter>> =
            vec![Box::new(TransactionId::new()), Box::new(MessageType::new(method, CLASS_REQUEST))];
        setters.extend(attributes);
        if !self.nonce.is_empty() {
            setters.push(Box::new(TextAttribute::new(ATTR_USERNAME, self.username.clone())));
            setters.push(Box::new(TextAttribute::new(ATTR_REALM, self.realm.clone())));
            setters.push(Box::new(TextAttribute::new(ATTR_NONCE, self.nonce.clone())));
            setters.push(Box::new(MessageIntegrity::new_long_term_integrity(
                self.username.clone(),
                self.realm.clone(),
                self.password.clone(),
            )));
        }
        let mut request = Message::new();
        request.build(&setters).unwrap();
        self.write(&request.raw)?;
        loop {
            match self.hear()? {
                Heard::Stun(message) if message.transaction_id == request.transaction_id => return Ok(message),
                Heard::Stun(message) => panic!("an answer to nothing: {message}"),
                Heard::Data(channel, payload) => self.data.push_back((channel, payload)),
            }
        }
    }

    /// Allocates, by way of the challenge: the relayed address, or the error code.
    pub(crate) fn allocate(&mut self) -> std::result::Result<SocketAddr, u16> {
        let transport = || -> Vec<Box<dyn Setter>> { vec![Box::new(RequestedTransport { protocol: PROTO_UDP })] };
        let challenge = self.ask(METHOD_ALLOCATE, transport()).unwrap();
        assert_eq!(code(&challenge), Some(401));
        self.realm = TextAttribute::get_from_as(&challenge, ATTR_REALM).unwrap().text;
        self.nonce = TextAttribute::get_from_as(&challenge, ATTR_NONCE).unwrap().text;
        let answer = self.ask(METHOD_ALLOCATE, transport()).unwrap();
        if let Some(code) = code(&answer) {
            return Err(code);
        }
        let mut relayed = RelayedAddress::default();
        relayed.get_from(&answer).unwrap();
        Ok(SocketAddr::new(relayed.ip, relayed.port))
    }

    /// Binds a channel; the error code when it was refused.
    pub(crate) fn bind(&mut self, channel: u16, peer: SocketAddr) -> Option<u16> {
        let address = PeerAddress { ip: peer.ip(), port: peer.port() };
        let answer = self.ask(METHOD_CHANNEL_BIND, vec![Box::new(ChannelNumber(channel)), Box::new(address)]);
        code(&answer.unwrap())
    }

    /// Gives the allocation back.
    pub(crate) fn release(&mut self) {
        let answer = self.ask(METHOD_REFRESH, vec![Box::new(Lifetime(std::time::Duration::ZERO))]).unwrap();
        assert_eq!(code(&answer), None);
    }

    pub(crate) fn send(&mut self, channel: u16, payload: &[u8]) -> Result<()> {
        let mut message = channel.to_be_bytes().to_vec();
        message.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        message.extend_from_slice(payload);
        message.resize(message.len().next_multiple_of(4), 0);
        self.write(&message)
    }

    pub(crate) fn receive(&mut self) -> Result<(u16, Vec<u8>)> {
        if let Some(data) = self.data.pop_front() {
            return Ok(data);
        }
        match self.hear()? {
            Heard::Data(channel, payload) => Ok((channel, payload)),
            Heard::Stun(message) => panic!("no data: {message}"),
        }
    }
}

/// The error code of an answer; `None` for success.
pub(crate) fn code(message: &Message) -> Option<u16> {
    let mut error = ErrorCodeAttribute::default();
    error.get_from(message).ok().map(|()| error.code.0)
}
