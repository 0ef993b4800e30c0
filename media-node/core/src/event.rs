//! What the engine tells its owner.

use crate::config::SessionKey;
use std::net::SocketAddr;

/// Drained with `Engine::poll_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// ICE and DTLS are done; media can flow. For a publisher this is the moment to announce the publication.
    SessionConnected {
        /// Which session.
        session: SessionKey,
        /// It carries an audio track.
        audio: bool,
        /// It carries a video track.
        video: bool,
        /// How it runs.
        path: Path,
    },
    /// A connected session runs another way: a nomination moved it, or a relay turned out to be one. At most one per
    /// session and second.
    PathChanged {
        /// Which session.
        session: SessionKey,
        /// How it runs now.
        path: Path,
    },
    /// The session is over and its state is gone. Not emitted for sessions that the owner closed itself.
    SessionClosed {
        /// Which session.
        session: SessionKey,
        /// Why.
        reason: CloseReason,
    },
}

/// The nominated pair of a session, from the node's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Where its packets come from.
    pub remote: SocketAddr,
    /// That is a relay of the cluster.
    pub relayed: bool,
}

/// Why a session ended. A fieldless enum, so that its name can be a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer sent DTLS `close_notify`.
    PeerClosed,
    /// No authenticated connectivity check for 30 s (RFC 7675).
    ConsentExpired,
    /// ICE and DTLS did not complete within 15 s.
    HandshakeTimeout,
    /// DTLS failed: wrong certificate fingerprint, no common cipher or SRTP profile.
    HandshakeFailed,
    /// The publication that a subscriber received is gone.
    PublicationEnded,
    /// It ran directly, and its room became one for relays only.
    RelayRequired,
    /// The transport library panicked; the session was cut off to save the others.
    Internal,
}

impl CloseReason {
    /// Stable name for logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PeerClosed => "PeerClosed",
            Self::ConsentExpired => "ConsentExpired",
            Self::HandshakeTimeout => "HandshakeTimeout",
            Self::HandshakeFailed => "HandshakeFailed",
            Self::PublicationEnded => "PublicationEnded",
            Self::RelayRequired => "RelayRequired",
            Self::Internal => "Internal",
        }
    }
}
