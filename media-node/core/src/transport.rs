//! Setting up a session: ICE-lite and DTLS of one peer, behind one trait so that the library can be exchanged.
//!
//! Cold path: it may allocate. The engine checks the integrity of STUN requests and bounds their sources before a
//! transport sees them; a transport nominates, answers checks, runs DTLS as the passive side and exports SRTP keys.

pub mod webrtc_rs;

use crate::config::Certificate;
use crate::sdp::IceCredentials;
use crate::srtp::Profile;
use std::net::SocketAddr;
use std::time::Instant;

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// What a transport reports.
#[derive(Clone, PartialEq, Eq)]
pub enum TransportEvent {
    /// The peer nominated the pair with this remote address; media goes there from now on.
    Nominated(SocketAddr),
    /// DTLS is done and the peer's certificate is the one of its offer.
    Keys {
        /// Negotiated SRTP profile.
        profile: Profile,
        /// `profile.keying_material_len()` bytes.
        material: Vec<u8>,
    },
    /// The peer sent `close_notify`.
    Closed,
    /// DTLS cannot succeed any more.
    Failed,
}

/// A datagram was refused; the session goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The ICE agent refused a message.
    #[error("ice: {0}")]
    Ice(String),
    /// DTLS refused a record.
    #[error("dtls: {0}")]
    Dtls(String),
    /// A DTLS record before any ClientHello.
    #[error("dtls: no handshake was started")]
    NoHandshake,
}

/// ICE-lite and DTLS of one peer.
pub trait PeerTransport: Send {
    /// A STUN message (requests already authenticated) or a DTLS record from `from`.
    ///
    /// # Errors
    /// [`TransportError`]: count and drop.
    fn handle_packet(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), TransportError>;
    /// The next datagram to send.
    fn poll_transmit(&mut self) -> Option<Transmit>;
    /// The next event.
    fn poll_event(&mut self) -> Option<TransportEvent>;
    /// When [`PeerTransport::handle_timeout`] is due. Nothing once DTLS is done.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Retransmissions.
    fn handle_timeout(&mut self, now: Instant);
    /// New credentials on both sides; DTLS and keys stay.
    ///
    /// # Errors
    /// [`TransportError::Ice`].
    fn restart(&mut self, now: Instant, local: &IceCredentials, remote: &IceCredentials) -> Result<(), TransportError>;
    /// Queues `close_notify` when DTLS is done.
    fn close(&mut self, now: Instant);
}

/// What a transport is made of.
#[derive(Clone, Copy)]
pub struct TransportSpec<'a> {
    /// The node's identity.
    pub certificate: &'a Certificate,
    /// The node's ICE credentials.
    pub local: &'a IceCredentials,
    /// The client's ICE credentials.
    pub remote: &'a IceCredentials,
    /// SHA-256 of the client's certificate, upper-case hex with colons.
    pub remote_fingerprint: &'a str,
}

/// Makes transports.
pub trait TransportFactory: Send {
    /// One for a new session.
    ///
    /// # Errors
    /// [`TransportError`] when the library refuses its configuration.
    fn create(&self, now: Instant, spec: TransportSpec<'_>) -> Result<Box<dyn PeerTransport>, TransportError>;
    /// SHA-256 fingerprint of the certificate that its transports show.
    fn fingerprint(&self, certificate: &Certificate) -> String {
        certificate.fingerprint().to_owned()
    }
}
