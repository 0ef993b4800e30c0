//! Sessions: what callers say and hear of them, and the state of one.

use crate::config::{RoomKey, SessionKey};
use crate::event::Path;
use crate::media::rate::Rate;
use crate::media::sent_track::SentTrack;
use crate::sdp::IceCredentials;
use crate::srtp::{KeyError, Opener, Profile, Sealer, split_keying_material};
use crate::transport::PeerTransport;
use plenum_protocol::flow::LegBytes;
use plenum_protocol::relay::RelaySource;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No authenticated check for this long: the peer does not consent any more (RFC 7675, section 5.1).
pub(crate) const CONSENT: Duration = Duration::from_secs(30);
/// ICE and DTLS must be done by then.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(15);
/// Reports, rates and rate limits run on this beat.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Most addresses that one session may check from.
pub(crate) const MAX_SOURCES: usize = 16;
/// Most STUN messages of one session in a beat; browsers send some twenty while they connect.
pub(crate) const CHECKS_PER_TICK: u32 = 200;
/// Most packets that one subscriber gets again in a beat.
pub(crate) const RESENDS_PER_TICK: u32 = 2_000;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// The client sends (WHIP).
    Publish,
    /// The client receives what another session publishes (WHEP).
    Subscribe {
        /// The publisher's session, in the same room.
        publication: SessionKey,
    },
}

/// A session to open.
#[derive(Debug, Clone, Copy)]
pub struct SessionSpec<'a> {
    /// Its key.
    pub id: SessionKey,
    /// What for.
    pub kind: SessionKind,
    /// The SDP offer, at most `plenum_protocol::control::MAX_SDP` bytes.
    pub offer: &'a str,
}

/// The session is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The SDP answer with all candidates.
    pub sdp: String,
    /// Entity tag of the ICE session, without quotes.
    pub etag: String,
    /// An audio section was accepted.
    pub audio: bool,
    /// A video section was accepted.
    pub video: bool,
}

/// What a PATCH did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patched {
    /// Candidates were taken; an ICE-lite node needs none of them.
    Trickled,
    /// ICE was restarted.
    Restarted {
        /// The node's new credentials and candidates (RFC 8840 fragment).
        fragment: String,
        /// New entity tag, without quotes.
        etag: String,
    },
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPhase {
    /// ICE or DTLS is not done.
    Connecting,
    /// Media can flow.
    Connected,
}

/// One session as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStats {
    /// Which session.
    pub session: SessionKey,
    /// What for.
    pub kind: SessionKind,
    /// Where it stands.
    pub phase: SessionPhase,
    /// The client's address in the nominated pair.
    pub remote: Option<SocketAddr>,
    /// The relay that the address is of; unset: the client speaks directly.
    pub relay: Option<Arc<RelaySource>>,
    /// The node's outside address of that pair's family, with the worker's port.
    pub local: Option<SocketAddr>,
    /// Round trip in microseconds.
    pub rtt_micros: Option<u32>,
    /// Media from the client over the last full second, kbit/s.
    pub receive_kbps: u32,
    /// Media to the client over the last full second, kbit/s.
    pub send_kbps: u32,
    /// RTP packets: received from a publisher, sent to a subscriber (resends included).
    pub packets: u64,
    /// Payload of all its datagrams, whatever they carry.
    pub bytes: LegBytes,
    /// It carries audio.
    pub audio: bool,
    /// It carries video.
    pub video: bool,
}

/// SRTP of both directions.
pub(crate) struct Secure {
    pub(crate) opener: Opener,
    pub(crate) sealer: Sealer,
}

impl Secure {
    /// The node is always the DTLS server.
    pub(crate) fn new(profile: Profile, material: &[u8]) -> Result<Self, KeyError> {
        let (client, server) = split_keying_material(profile, material)?;
        Ok(Self { opener: Opener::new(profile, client)?, sealer: Sealer::new(profile, server)? })
    }
}

/// What a subscriber receives.
pub(crate) struct Subscription {
    /// Slot of the publication.
    pub(crate) publication: usize,
    /// Audio and video.
    pub(crate) tracks: [Option<SentTrack>; 2],
    /// Resends left in this beat.
    pub(crate) resends_left: u32,
}

/// What a session carries.
pub(crate) enum Media {
    /// Slot of its publication.
    Publish(usize),
    /// What it receives.
    Subscribe(Box<Subscription>),
}

/// The state of one session.
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) room: RoomKey,
    pub(crate) kind: SessionKind,
    pub(crate) media: Media,
    /// Accepted sections, for the fragment of an ICE restart.
    pub(crate) mids: Vec<String>,
    pub(crate) local: IceCredentials,
    pub(crate) remote: IceCredentials,
    pub(crate) transport: Box<dyn PeerTransport>,
    /// Addresses that authenticated checks came from.
    pub(crate) sources: Vec<SocketAddr>,
    /// Remote address of the nominated pair.
    pub(crate) nominated: Option<SocketAddr>,
    /// The relay that it is of.
    pub(crate) relay: Option<Arc<RelaySource>>,
    /// Its room is for relays only.
    pub(crate) relay_only: bool,
    /// It ran directly when its room became one for relays only: it ends with the next timers.
    pub(crate) evicted: bool,
    /// The path that the owner knows.
    pub(crate) told: Option<Path>,
    pub(crate) secure: Option<Secure>,
    /// ICE and DTLS are done, and the owner knows.
    pub(crate) connected: bool,
    pub(crate) opened: Instant,
    /// When the last authenticated check came.
    pub(crate) consent: Instant,
    pub(crate) round_trip: Option<Duration>,
    /// SSRC of our own feedback.
    pub(crate) feedback_ssrc: u32,
    pub(crate) checks_left: u32,
    pub(crate) received: Rate,
    pub(crate) sent: Rate,
    pub(crate) packets: u64,
    pub(crate) bytes: LegBytes,
    pub(crate) next_tick: Instant,
}

impl Session {
    /// When the session gives up if nothing comes.
    pub(crate) fn expires_at(&self) -> Instant {
        if self.connected { self.consent + CONSENT } else { self.opened + HANDSHAKE }
    }

    /// Entity tag of its ICE session: the username fragment changes with every restart and with nothing else.
    pub(crate) fn etag(&self) -> &str {
        &self.local.ufrag
    }

    /// Notes an address that an authenticated check came from. `false`: one too many.
    pub(crate) fn add_source(&mut self, from: SocketAddr) -> bool {
        if self.sources.contains(&from) {
            return true;
        }
        if self.sources.len() >= MAX_SOURCES {
            return false;
        }
        self.sources.push(from);
        true
    }
}
