//! Peer-to-peer rooms: what two pages tell each other by the room socket, and what the room's home says of them.
//!
//! A room's home is a gateway; towards other gateways it behaves as a media node does, at [`HOME_EPOCH`].

use crate::control::MAX_SDP;
use crate::flow::{CandidateType, ClientView, Leg, LegBasis, LegCounts, LegRole};
use crate::ids::{Epoch, ParticipantId, RoomUid, SessionId};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fmt::Write as _;

/// People in a peer-to-peer room.
pub const PEERS: usize = 2;
/// Binding of a peer-to-peer room: it never has one.
pub const HOME_EPOCH: Epoch = Epoch(0);
/// Largest message of type `signal` from a client, in bytes: with the sender's name it still fits into one message.
pub const MAX_SIGNAL: usize = 60 << 10;
/// Longest candidate line, in bytes.
pub const MAX_CANDIDATE: usize = 1 << 10;
/// Longest `sdpMid` and `usernameFragment`, in bytes (RFC 8839 bounds the latter).
pub const MAX_SMALL: usize = 256;
/// Length of an instance, in characters.
const INSTANCE_LEN: std::ops::RangeInclusive<usize> = 8..=64;

/// One load of a page (or start of a client), minted by it at random: who has the same instance after a rejoin still has
/// the same peer connection. Not secret; everybody in the room sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instance(String);

/// An instance of another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("instance must be 8 to 64 characters of A-Z, a-z, 0-9, '_', '-'")]
pub struct InvalidInstance;

impl Instance {
    /// The instance as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Instance {
    type Error = InvalidInstance;
    fn try_from(text: String) -> Result<Self, InvalidInstance> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if INSTANCE_LEN.contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text));
        }
        Err(InvalidInstance)
    }
}

impl std::str::FromStr for Instance {
    type Err = InvalidInstance;
    fn from_str(text: &str) -> Result<Self, InvalidInstance> {
        Self::try_from(text.to_owned())
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> String {
        instance.0
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The session of the peer connection between two instances, the same from both sides: `P_` and the first 128 bits of
/// SHA-256 over `smaller.greater`, as 32 hexadecimal digits.
#[must_use]
pub fn pair_id(one: &Instance, other: &Instance) -> SessionId {
    let (smaller, greater) = if one <= other { (one, other) } else { (other, one) };
    let hash = digest::digest(&digest::SHA256, format!("{smaller}.{greater}").as_bytes());
    let bits = hash.as_ref().iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    SessionId::from_bits("P_", bits)
}

/// Whether `own` yields when two offers cross (the polite one of perfect negotiation): one of the two does, whatever
/// they rejoin.
#[must_use]
pub fn is_polite(own: &Instance, other: &Instance) -> bool {
    own > other
}

/// Type of a description; a rollback is local and is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SdpType {
    /// An offer.
    Offer,
    /// An answer.
    Answer,
}

/// `RTCIceCandidateInit`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// `candidate:…`, at most [`MAX_CANDIDATE`] bytes.
    pub candidate: String,
    /// Media section by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
    /// Media section by number.
    #[serde(default, rename = "sdpMLineIndex", skip_serializing_if = "Option::is_none")]
    pub sdp_m_line_index: Option<u16>,
    /// ICE generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// What one peer tells the other. The room passes it on and does not look into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Signal {
    /// An offer or an answer.
    #[serde(rename_all = "camelCase")]
    Description {
        /// Which of the two.
        sdp_type: SdpType,
        /// At most [`MAX_SDP`] bytes, and a message at most [`MAX_SIGNAL`].
        sdp: String,
    },
    /// A trickled candidate.
    Candidate {
        /// Unset: there are no more.
        #[serde(default)]
        candidate: Option<IceCandidate>,
    },
    /// The sender closes the peer connection.
    Bye,
}

/// A signal that is larger than anything that browsers make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} may have at most {most} bytes")]
pub struct TooLong {
    what: &'static str,
    most: usize,
}

impl Signal {
    /// Whether every part is within its bounds, and the message that it came in (`bytes` long) too.
    ///
    /// # Errors
    /// Which is not.
    pub fn check(&self, bytes: usize) -> Result<(), TooLong> {
        let fits = |what, length, most| if length > most { Err(TooLong { what, most }) } else { Ok(()) };
        fits("a signal", bytes, MAX_SIGNAL)?;
        match self {
            Self::Description { sdp_type: _, sdp } => fits("sdp", sdp.len(), MAX_SDP),
            Self::Candidate { candidate: Some(candidate) } => {
                let IceCandidate { candidate, sdp_mid, sdp_m_line_index: _, username_fragment } = candidate;
                fits("a candidate", candidate.len(), MAX_CANDIDATE)?;
                fits("sdpMid", sdp_mid.as_ref().map_or(0, String::len), MAX_SMALL)?;
                fits("usernameFragment", username_fragment.as_ref().map_or(0, String::len), MAX_SMALL)
            }
            Self::Candidate { candidate: None } | Self::Bye => Ok(()),
        }
    }
}

/// Session in the TURN username of a participant: the relay's report names the participant by it, and no two requests
/// share a quota. `bits` are random.
#[must_use]
pub fn relay_session(participant: &ParticipantId, bits: u128) -> String {
    let mut session = relay_session_start(participant);
    // Writing to a String cannot fail.
    let _infallible = write!(session, "{bits:032x}");
    session
}

/// What every [`relay_session`] of the participant starts with.
#[must_use]
pub fn relay_session_start(participant: &ParticipantId) -> String {
    format!("{participant}.")
}

/// One room as its home sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerRoomReport {
    /// The room.
    pub uid: RoomUid,
    /// People in it, at most [`PEERS`].
    pub participants: u32,
    /// Legs that both people agree on: who they are and what they see in detail is no business of the leader.
    pub legs: LegCounts,
}

/// `GET /v1/peer-rooms` of a gateway, for the leader: every room that it is home of and that somebody is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerRoomsReport {
    /// Pod of the gateway.
    pub gateway: String,
    /// By uid.
    pub rooms: Vec<PeerRoomReport>,
}

/// Judges the legs of peers by each other: `Confirmed` where both name mirrored ways and `allocated` holds for each leg
/// that says it goes by a relay, else `Claimed`. Other legs stay as they are.
pub fn confirm(legs: &mut [Leg], allocated: impl Fn(&Leg) -> bool) {
    let sound: Vec<bool> = legs.iter().map(|leg| is_confirmed(leg, legs, &allocated)).collect();
    for (leg, sound) in legs.iter_mut().zip(sound).filter(|(leg, _)| leg.role == LegRole::Peer) {
        leg.basis = if sound { LegBasis::Confirmed } else { LegBasis::Claimed };
    }
}

fn is_confirmed(leg: &Leg, legs: &[Leg], allocated: &impl Fn(&Leg) -> bool) -> bool {
    let other = legs.iter().find(|other| other.session == leg.session && other.participant != leg.participant);
    let (Some(other), Some(own)) = (other, &leg.client_view) else { return false };
    let Some(theirs) = &other.client_view else { return false };
    let honest = |leg: &Leg, view: &ClientView| view.local_type != Some(CandidateType::Relay) || allocated(leg);
    mirrored(own, theirs) && honest(leg, own) && honest(other, theirs)
}

/// Whether two views can be of one peer connection: a relay at one end is a relay from both sides. Which direct type an
/// end has depends on who looks.
fn mirrored(one: &ClientView, other: &ClientView) -> bool {
    let relayed = |kind: Option<CandidateType>| kind.map(|kind| kind == CandidateType::Relay);
    let same = |local, remote| relayed(local).is_some() && relayed(local) == relayed(remote);
    same(one.local_type, other.remote_type) && same(other.local_type, one.remote_type)
}

#[cfg(test)]
mod tests;
