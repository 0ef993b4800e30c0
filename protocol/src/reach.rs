//! Can a gateway reach a media node? The leader asks before it calls a node dead.

use crate::ids::{BootId, RoomName, RoomUid};
use serde::{Deserialize, Serialize};

/// Leader to gateway: `POST /v1/reach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReachRequest {
    /// Namespace of the node's pod: names the certificate that is expected.
    pub namespace: String,
    /// `address:port` of the node's control API.
    pub control: String,
    /// How long to try, in milliseconds; at most 2,000 are taken.
    pub timeout_millis: u32,
}

/// The gateway's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReachReport {
    /// The node answered `GET /v1/ping`.
    pub reachable: bool,
    /// Boot id that the node named, when it answered.
    pub boot_id: Option<BootId>,
}

/// A node's answer to `GET /v1/ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// This start of the node.
    pub boot_id: BootId,
}

/// Gateway to leader: somebody wants to join a room that waits for its first participant (`POST /v1/bind`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindRequest {
    /// The room.
    pub room: RoomName,
    /// Its uid, so that a recreated room is not bound by an old wish.
    pub uid: RoomUid,
    /// Where the first participant is, when the gateway knows.
    pub region: Option<String>,
}
