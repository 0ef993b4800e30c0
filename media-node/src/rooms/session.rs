//! One WebRTC session as the registry knows it; the engine has the rest.

use super::participant::ParticipantSeq;
use plenum_media_core::{Path, SessionKey};
use plenum_protocol::flow::{ClientView, LegRole};
use plenum_protocol::ids::{PublicationId, SessionId};
use std::net::SocketAddr;
use std::time::Instant;

/// What a session is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Sends `publication`.
    Publish {
        /// What it sends.
        publication: PublicationId,
        /// Announced tracks: audio, video.
        tracks: (bool, bool),
    },
    /// Receives `publication`.
    Subscribe {
        /// What it receives.
        publication: PublicationId,
        /// The session that sends it.
        publisher: SessionKey,
    },
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The engine was asked for an answer.
    Opening,
    /// The client has the answer.
    Connecting,
    /// Media can flow; a publication is announced.
    Connected,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its name on the wire.
    pub(crate) id: SessionId,
    /// Whose it is.
    pub(crate) owner: ParticipantSeq,
    /// What for.
    pub(crate) purpose: Purpose,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// How it runs, once it is connected.
    pub(crate) path: Option<Path>,
    /// Gateway pod that opened it.
    pub(crate) gateway: String,
    /// When.
    pub(crate) opened: Instant,
    /// What its client says of it.
    pub(crate) view: Option<ClientView>,
}

impl Session {
    pub(crate) fn role(&self) -> LegRole {
        match self.purpose {
            Purpose::Publish { .. } => LegRole::Publisher,
            Purpose::Subscribe { .. } => LegRole::Subscriber,
        }
    }

    pub(crate) fn publication(&self) -> &PublicationId {
        match &self.purpose {
            Purpose::Publish { publication, .. } | Purpose::Subscribe { publication, .. } => publication,
        }
    }

    /// It sends something that others were told of.
    pub(crate) fn is_announced(&self) -> bool {
        self.phase == Phase::Connected && matches!(self.purpose, Purpose::Publish { .. })
    }

    /// Where it comes from, when it is connected by a relay.
    pub(crate) fn relayed_from(&self) -> Option<SocketAddr> {
        self.path.filter(|path| path.relayed).map(|path| path.remote)
    }

    pub(crate) fn receives_from(&self, other: SessionKey) -> bool {
        matches!(self.purpose, Purpose::Subscribe { publisher, .. } if publisher == other)
    }
}
