//! The room socket: JSON text frames between a client and its room (`/v1/rooms/{namespace}/{name}/socket`).
//!
//! The client's first message is `join`; the gateway checks its token and then pipes between client and media node.

use crate::flow::ClientView;
use crate::ids::{ParticipantId, ParticipantKey, PublicationId};
use crate::peer::{Instance, Signal};
use crate::problem::Code;
use serde::{Deserialize, Serialize};

/// WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "plenum.room.v1";
/// Largest message, in bytes.
pub const MAX_MESSAGE: usize = 64 << 10;
/// Most legs in one `view`.
pub const MAX_VIEWS: usize = 256;

/// Client to room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum ClientMessage {
    /// First message, within five seconds.
    #[serde(rename_all = "camelCase")]
    Join {
        /// Join token.
        token: String,
        /// Display name; unset: the token's.
        #[serde(default)]
        name: Option<String>,
        /// This load of the page: peer-to-peer rooms need it, others show it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<Instance>,
    },
    /// The client's own view of its legs; at most one a second is taken.
    #[serde(rename_all = "camelCase")]
    View {
        /// One per session.
        legs: Vec<ClientView>,
    },
    /// Something for the other one, in a peer-to-peer room. Dropped when they have just left.
    #[serde(rename_all = "camelCase")]
    Signal {
        /// For whom.
        to: ParticipantId,
        /// What.
        #[serde(flatten)]
        signal: Signal,
    },
    /// Goes; the room ends its sessions.
    Leave,
}

/// One participant as the others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RosterEntry {
    /// Public id.
    pub id: ParticipantId,
    /// Identity of its token.
    pub identity: String,
    /// Display name.
    pub name: String,
    /// This load of their page: who rejoins with the same one still has the same peer connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// What it publishes; nothing in a peer-to-peer room.
    pub publications: Vec<Publication>,
}

/// What one publisher session sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// Id, for `?publication=`.
    pub id: PublicationId,
    /// Has an audio track.
    pub audio: bool,
    /// Has a video track.
    pub video: bool,
}

/// How the people in a room are connected now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum RoomMode {
    /// By a media server: WHIP and WHEP.
    #[default]
    MediaServer,
    /// With each other: by `signal`.
    PeerToPeer,
}

/// Why a client has to join again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RejoinReason {
    /// The room moved to another media pod.
    Rebound,
    /// Its media pod is lost.
    MediaNodeLost,
    /// The gateway goes away.
    GatewayShutdown,
    /// The client was too slow to read.
    TooSlow,
    /// The room is for relays only now, and the client had a direct leg: ask for ICE servers anew.
    RelayRequired,
    /// Another gateway looks after the peer-to-peer room now: peer connections go on.
    HomeMoved,
    /// The room has a media server now: go there, and close the peer connection once media comes.
    Upgraded,
}

/// Room to client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum ServerMessage {
    /// Answer to `join`.
    #[serde(rename_all = "camelCase")]
    Joined {
        /// Own public id.
        participant: ParticipantId,
        /// Secret: goes into the header `Plenum-Participant` of WHIP and WHEP requests.
        participant_key: ParticipantKey,
        /// Everybody else, with what they publish.
        roster: Vec<RosterEntry>,
        /// How they are connected.
        #[serde(default)]
        mode: RoomMode,
        /// Most that one may send to the other, kbit/s, in a peer-to-peer room: nobody stands between them to see to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_bitrate_kbps: Option<u32>,
    },
    /// Somebody came.
    #[serde(rename_all = "camelCase")]
    ParticipantJoined {
        /// Who.
        participant: RosterEntry,
    },
    /// Somebody went; its publications went too.
    #[serde(rename_all = "camelCase")]
    ParticipantLeft {
        /// Who.
        participant: ParticipantId,
    },
    /// Something from the other one, in a peer-to-peer room.
    #[serde(rename_all = "camelCase")]
    Signal {
        /// From whom.
        from: ParticipantId,
        /// What.
        #[serde(flatten)]
        signal: Signal,
    },
    /// Media can be subscribed to.
    #[serde(rename_all = "camelCase")]
    Published {
        /// Who.
        participant: ParticipantId,
        /// What.
        publication: Publication,
    },
    /// Media ended.
    #[serde(rename_all = "camelCase")]
    Unpublished {
        /// Who.
        participant: ParticipantId,
        /// What.
        publication: PublicationId,
    },
    /// A relay is gone: a client whose legs go by it asks for ICE servers anew and restarts ICE at once.
    #[serde(rename_all = "camelCase")]
    RelayLost {
        /// Its pod, as in `relay.pod` of the ICE servers.
        pod: String,
    },
    /// Everything here is over: join again, with a random delay below `withinMillis`.
    #[serde(rename_all = "camelCase")]
    Rejoin {
        /// Why.
        reason: RejoinReason,
        /// Spread of the herd.
        within_millis: u32,
    },
    /// The room is closed or deleted: do not come back.
    #[serde(rename_all = "camelCase")]
    Ended {
        /// In plain words.
        detail: String,
    },
    /// A message or the join was refused; after a refused join the socket closes.
    #[serde(rename_all = "camelCase")]
    Error {
        /// Code.
        code: Code,
        /// What was wrong and what to do.
        detail: String,
    },
}
