//! ICE servers as clients get them: `POST /v1/ice-servers`, in the shape of WebRTC's `RTCConfiguration`.

use crate::ids::ParticipantId;
use crate::room::RoomMode;
use serde::{Deserialize, Serialize};

/// Most relays that a client may ask to avoid.
pub const MAX_AVOID: usize = 16;

/// Body of `POST /v1/ice-servers`; the join token of the room is the bearer token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceServersRequest {
    /// Namespace of the Room.
    pub namespace: String,
    /// Name of the Room.
    pub room: String,
    /// Where the client is, when it knows better than its gateway.
    #[serde(default)]
    pub region: Option<String>,
    /// Pods of relays that just failed the client ([`RelayPlace::pod`]): others are named if there are any.
    #[serde(default)]
    pub avoid: Vec<String>,
    /// Public id of the client in the room, once it has joined: relays then report its legs under that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantId>,
    /// How the room took the client in (`mode` of `joined`): `MediaServer` gets credentials for media pods even where the
    /// gateway does not know yet that the room has grown. Nothing else is asked for by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<RoomMode>,
}

/// Where a relay is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayPlace {
    /// Pod.
    pub pod: String,
    /// Region.
    pub region: String,
}

/// One `RTCIceServer`. Browsers ignore the members that they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs (RFC 7064, RFC 7065), most wanted first.
    pub urls: Vec<String>,
    /// TURN username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Which relay it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayPlace>,
}

/// `RTCIceTransportPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceTransportPolicy {
    /// Any candidate.
    All,
    /// Relayed candidates only.
    Relay,
}

/// Answer of `POST /v1/ice-servers`: can be given to `RTCPeerConnection` as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceServers {
    /// The servers; none when no relay is ready.
    pub ice_servers: Vec<IceServer>,
    /// `relay` in a room whose `relay.policy` is `Always`.
    pub ice_transport_policy: IceTransportPolicy,
    /// When the credentials expire, seconds since 1970: ask again before an ICE restart after that.
    pub expires_at: u64,
}
