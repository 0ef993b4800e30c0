//! A TURN client over UDP that does as it is told, allowed or not: RFC 8656 by the message codec of `rtc-stun`.
//!
//! It asks; what a refusal means is the test's business.

mod message;

pub use message::{Attribute, Method, Reply};

use anyhow::{Context, Result, bail, ensure};
use message::{ChannelData, Request};
use rtc_stun::attributes::{ATTR_LIFETIME, ATTR_NONCE, ATTR_REALM, ATTR_XOR_RELAYED_ADDRESS};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How often a request is sent again before it is given up, and how long each try waits (RFC 8489 section 6.2.1 begins with
/// 500 ms).
const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_millis(500);
const MAX_DATAGRAM: usize = 2_048;

/// Username and password.
#[derive(Debug, Clone)]
pub struct Credential {
    /// USERNAME.
    pub username: String,
    /// What the key is made of.
    pub password: String,
}

/// What came from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromPeer {
    /// Who sent it; unset when it came by a channel.
    pub peer: Option<SocketAddr>,
    /// What.
    pub data: Vec<u8>,
}

/// The client.
#[derive(Debug)]
pub struct TurnClient {
    socket: UdpSocket,
    server: SocketAddr,
    credential: Credential,
    realm: String,
    nonce: Vec<u8>,
    arrived: VecDeque<FromPeer>,
}

impl TurnClient {
    /// A client of `server` by `socket`, which may be one of another network namespace.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub fn new(socket: std::net::UdpSocket, server: SocketAddr, credential: Credential) -> Result<Self> {
        socket.set_nonblocking(true).context("preparing a socket")?;
        let socket = UdpSocket::from_std(socket).context("preparing a socket")?;
        let (realm, nonce, arrived) = Default::default();
        Ok(Self { socket, server, credential, realm, nonce, arrived })
    }

    /// Asks for an allocation: its relayed address, or the error code.
    ///
    /// # Errors
    /// The server does not answer, or not as the RFC says.
    pub async fn allocate(&mut self, attributes: Vec<Attribute>) -> Result<Result<SocketAddr, u16>> {
        let mut all = vec![Attribute::RequestedTransport];
        all.extend(attributes);
        let reply = self.request(Method::Allocate, &all).await?;
        match reply.error() {
            Some(code) => Ok(Err(code)),
            None => {
                Ok(Ok(reply.address(ATTR_XOR_RELAYED_ADDRESS).context("an allocation without a relayed address")?))
            }
        }
    }

    /// Asks to renew the allocation (or, with 0 s, to end it): the granted lifetime, or the error code.
    ///
    /// # Errors
    /// The server does not answer, or not as the RFC says.
    pub async fn refresh(&mut self, seconds: u32) -> Result<Result<u32, u16>> {
        let reply = self.request(Method::Refresh, &[Attribute::Lifetime(seconds)]).await?;
        match reply.error() {
            Some(code) => Ok(Err(code)),
            None => Ok(Ok(reply.number(ATTR_LIFETIME).context("a refresh without a lifetime")?)),
        }
    }

    /// Asks for a permission: granted, or the error code.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn permit(&mut self, peer: SocketAddr) -> Result<Result<(), u16>> {
        let reply = self.request(Method::CreatePermission, &[Attribute::Peer(peer)]).await?;
        Ok(reply.error().map_or(Ok(()), Err))
    }

    /// Asks for a channel: granted, or the error code.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<Result<(), u16>> {
        let reply = self.request(Method::ChannelBind, &[Attribute::Channel(channel), Attribute::Peer(peer)]).await?;
        Ok(reply.error().map_or(Ok(()), Err))
    }

    /// Sends to a peer by a Send indication, which nobody answers.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn send(&self, peer: SocketAddr, data: &[u8]) -> Result<()> {
        let attributes = [Attribute::Peer(peer), Attribute::Data(data.to_vec())];
        let indication = Request::indication(Method::Send, &attributes)?;
        self.transmit(indication.bytes()).await
    }

    /// Sends by a channel.
    ///
    /// # Errors
    /// The socket fails, or the data is too long.
    pub async fn send_by_channel(&self, channel: u16, data: &[u8]) -> Result<()> {
        self.transmit(&ChannelData::encode(channel, data)?).await
    }

    /// The next datagram of a peer, if one comes within `within`.
    ///
    /// # Errors
    /// The socket fails, or the server speaks no TURN.
    pub async fn from_peer(&mut self, within: Duration) -> Result<Option<FromPeer>> {
        if let Some(first) = self.arrived.pop_front() {
            return Ok(Some(first));
        }
        let wanted = async {
            loop {
                let datagram = self.datagram().await?;
                if let Some(found) = message::from_peer(&datagram)? {
                    return Ok(found);
                }
            }
        };
        timeout(within, wanted).await.map_or(Ok(None), |found| found.map(Some))
    }

    /// Asks, with credentials once the server said its realm, and again with a fresh nonce when the old one is stale.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn request(&mut self, method: Method, attributes: &[Attribute]) -> Result<Reply> {
        for _ in 0..3 {
            let first = self.nonce.is_empty();
            let request = if first {
                Request::plain(method, attributes)?
            } else {
                Request::signed(method, attributes, &self.credential, &self.realm, &self.nonce)?
            };
            let reply = self.exchange(&request).await.with_context(|| format!("{method:?}"))?;
            let again = matches!((first, reply.error()), (true, Some(401)) | (_, Some(438)));
            if !again {
                return Ok(reply);
            }
            self.realm = reply.text(ATTR_REALM).context("a challenge without a realm")?;
            self.nonce = reply.bytes(ATTR_NONCE).context("a challenge without a nonce")?;
            ensure!(!self.nonce.is_empty(), "a challenge with an empty nonce");
        }
        bail!("{method:?}: the server finds each of its own nonces stale");
    }

    async fn exchange(&mut self, request: &Request) -> Result<Reply> {
        for _ in 0..TRIES {
            self.transmit(request.bytes()).await?;
            match timeout(PATIENCE, self.reply_to(request)).await {
                Ok(reply) => return reply,
                Err(_) => continue,
            }
        }
        bail!("{} does not answer", self.server)
    }

    async fn reply_to(&mut self, request: &Request) -> Result<Reply> {
        loop {
            let datagram = self.datagram().await?;
            if let Some(found) = message::from_peer(&datagram)? {
                self.arrived.push_back(found);
            } else if let Some(reply) = request.reply(&datagram)? {
                return Ok(reply);
            }
        }
    }

    async fn transmit(&self, datagram: &[u8]) -> Result<()> {
        self.socket.send_to(datagram, self.server).await.context("sending a datagram").map(drop)
    }

    async fn datagram(&self) -> Result<Vec<u8>> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).await.context("receiving a datagram")?;
            if from == self.server {
                buffer.truncate(length);
                return Ok(buffer);
            }
        }
    }
}
